//! Two replicas: does one take over when the other dies in the middle of a build, or is stopped?

use super::RESTARTS;
use super::journey::{jobs, slow_object, storefront};

use anyhow::{Context, Result, ensure};
use gowindows_crds::v1alpha1::{BuildPhase, GoWindowsImageStatus};
use gowindows_tests::thread::{LIMIT, Stage, is_ready, until};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn lease(stage: &Stage) -> Result<LeaseSpec> {
    let lease: Lease = serde_json::from_str(&stage.operator.kubectl.run(&["get", "lease", "gowindows", "--output", "json"]).await?)?;
    lease.spec.context("a Lease without a record")
}

fn holder(record: &LeaseSpec) -> &str {
    record.holder_identity.as_deref().unwrap_or_default()
}

/// A leader that has a ready standby, and its pod.
async fn leader(stage: &Stage) -> Result<(LeaseSpec, String)> {
    stage.operator.settled().await?;
    let record = lease(stage).await?;
    let pod = holder(&record).split('_').next().unwrap_or_default().to_owned();
    ensure!(!pod.is_empty(), "nobody leads: {record:?}");
    Ok((record, pod))
}

/// Waits until somebody else leads. Gives how long that took, and how long the Lease had not been written by then: both by the
/// clock of this machine, on which all replicas run.
async fn succeeded(stage: &Stage, before: &LeaseSpec) -> Result<(Duration, Duration)> {
    let (start, mut last) = (Instant::now(), before.clone());
    loop {
        let record = lease(stage).await?;
        if !holder(&record).is_empty() && holder(&record) != holder(before) {
            ensure!(record.lease_transitions > before.lease_transitions, "{before:?} -> {record:?}");
            let (acquired, written) = (record.acquire_time.context("an acquireTime")?, last.renew_time.context("a renewTime")?);
            eprintln!("leader: {} -> {}", holder(before), record.holder_identity.as_deref().unwrap_or_default());
            return Ok((start.elapsed(), acquired.0.duration_since(written.0).try_into().unwrap_or_default()));
        }
        ensure!(start.elapsed() < LIMIT, "nobody took over: {record:?}");
        last = record;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub async fn a_dead_and_a_stopped_leader_are_succeeded(stage: Arc<Stage>) -> Result<()> {
    let (tenant, _storefront) = storefront(&stage, "leader").await?;
    let _alone = RESTARTS.lock().await;
    stage.operator.settled().await?;
    tenant.kubectl.apply(&slow_object(&tenant)?).await?;
    let building = |status: &GoWindowsImageStatus| status.build.as_ref().is_some_and(|build| build.phase == BuildPhase::Running);
    until(&stage.lab.client(), "leader", "storefront", LIMIT, building).await?;

    let (before, pod) = leader(&stage).await?;
    let uid = stage.operator.kubectl.run(&["get", "pod", &pod, "--output", "jsonpath={.metadata.uid}"]).await?;
    stage.lab.kill_pod(&uid).await?;
    let (took, unwritten) = succeeded(&stage, &before).await?;
    eprintln!("leader: {took:.1?} after a crash another replica leads; the Lease had not been renewed for {unwritten:.1?}");
    ensure!(unwritten >= Duration::from_secs(15), "taken from a leader that may still have been alive: {unwritten:?}");
    // Below 20 s by the unit tests; here the machine may be busy with three builds.
    ensure!(took < Duration::from_secs(30), "{took:?}");

    let (before, pod) = leader(&stage).await?;
    stage.operator.kubectl.run(&["delete", "pod", &pod, "--wait=false"]).await?;
    let (took, unwritten) = succeeded(&stage, &before).await?;
    eprintln!("leader: {took:.1?} after a clean stop another replica leads, {unwritten:.1?} after the Lease was last written");
    // A Lease that was not given back is taken after 15 s at the earliest.
    ensure!(unwritten < Duration::from_secs(12), "the Lease was not given back: {unwritten:?}");

    until(&stage.lab.client(), "leader", "storefront", LIMIT, is_ready).await?;
    // Some passes more of the new leader.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let jobs = jobs(&tenant).await?;
    ensure!(jobs.len() == 1, "one build and not {jobs:?}");
    stage.operator.settled().await
}
