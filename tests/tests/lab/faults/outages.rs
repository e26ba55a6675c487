//! Git and the registry are down for a minute, while one program is built and another one only runs.

use super::WHOLE;
use super::app::{App, tenant};
use anyhow::{Result, ensure};
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::v1alpha1::{BuildPhase, GoWindowsImageStatus};
use gowindows_tests::lab::outage::Part;
use gowindows_tests::thread::{LIMIT, Ledger, Stage, is_for, is_ready, is_true, message, until};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Of both programs.
pub const NAMESPACE: &str = "outage";
const OUTAGE: Duration = Duration::from_secs(60);

pub async fn a_minute_without_git_and_registry(stage: Arc<Stage>) -> Result<()> {
    let whole = WHOLE.read().await;
    let (client, ledger) = (stage.lab.client(), Ledger::open(stage.lab.client()));
    let git = stage.lab.start_git("spare-git").await?;
    let registry = stage.lab.start_spare_registry().await?;
    let tenant = tenant(&stage, NAMESPACE, Some(&git)).await?;
    let (idle, busy) = (App::create(&git, "idle").await?, App::create_slow(&git, "busy").await?);
    idle.apply(&tenant, &registry).await?;
    let before = until(&client, NAMESPACE, "idle", LIMIT, is_ready).await?;
    let pods_before = running(&stage, "idle").await?;
    ensure!(pods_before.len() == 1, "{pods_before:?}");
    busy.apply(&tenant, &registry).await?;
    until(&client, NAMESPACE, "busy", LIMIT, is_fetched).await?;
    drop(whole);

    let back = Instant::now() + OUTAGE;
    git.set_reachable(false);
    stage.lab.take_away(Part::SpareRegistry).await?;
    let unreachable = |status: &GoWindowsImageStatus| is_for(status, ConditionType::SourceResolved, Reason::SourceUnreachable);
    let away = until(&client, NAMESPACE, "idle", LIMIT, unreachable).await?;
    ensure!(is_ready(&away) && away.image == before.image, "what runs still runs: {:?}", away.conditions);
    let unfinished = |status: &GoWindowsImageStatus| is_for(status, ConditionType::Built, Reason::RegistryUnreachable);
    let failed = until(&client, NAMESPACE, "busy", LIMIT, unfinished).await?;
    ensure!(message(&failed, ConditionType::Built).contains(&registry), "{:?}", failed.conditions);
    eprintln!("outage: idle: {}", message(&away, ConditionType::SourceResolved));
    eprintln!("outage: busy: {}", message(&failed, ConditionType::Built));
    sleep_until(back).await;
    ensure!(running(&stage, "idle").await? == pods_before, "the pods that ran are not those that run");

    let took = Instant::now();
    git.set_reachable(true);
    stage.lab.bring_back(Part::SpareRegistry).await?;
    until(&client, NAMESPACE, "busy", LIMIT, is_ready).await?;
    let after = until(&client, NAMESPACE, "idle", LIMIT, |status| is_true(status, ConditionType::SourceResolved)).await?;
    ensure!(is_ready(&after) && after.image == before.image, "{:?}", after.conditions);
    ensure!(running(&stage, "idle").await? == pods_before, "the pods that ran are not those that run");
    let tally = ledger.close(&[NAMESPACE]).await?;
    ensure!(ledger.of(NAMESPACE, "idle") == 1, "what was built is not built again");
    eprintln!(
        "outage: {OUTAGE:?} without git and registry; {tally}, {} of them for the build that was hit; whole again {:.0?} later",
        ledger.of(NAMESPACE, "busy"),
        took.elapsed()
    );
    Ok(())
}

/// Its source was fetched, and its image is not pushed yet.
fn is_fetched(status: &GoWindowsImageStatus) -> bool {
    let build = status.build.as_ref().filter(|build| build.phase == BuildPhase::Running);
    build.is_some_and(|build| build.stages.iter().any(|stage| stage.name == "source" && stage.finished_at.is_some()))
}

/// The uid and restarts of an app's pods that are ready. Another scenario may take the API server away meanwhile.
async fn running(stage: &Stage, app: &str) -> Result<Vec<(Option<String>, i32)>> {
    let api = Api::<Pod>::namespaced(stage.lab.client(), NAMESPACE);
    let deadline = Instant::now() + LIMIT;
    let pods = loop {
        match api.list(&ListParams::default().labels(&format!("app={app}"))).await {
            Ok(pods) => break pods,
            Err(error) => ensure!(Instant::now() < deadline, "list the pods of {app}: {error}"),
        }
        sleep(Duration::from_millis(500)).await;
    };
    let of = |pod: &Pod| {
        let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
        container.ready.then(|| (pod.uid(), container.restart_count))
    };
    Ok(pods.iter().filter_map(of).collect())
}
