//! What the cluster itself stands on goes away in mid build: the API server, and the node's kubelet.

use super::app::{App, tenant};
use super::broken;
use anyhow::{Context, Result, ensure};
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::v1alpha1::{BuildPhase, GoWindowsImageStatus};
use gowindows_tests::lab::outage::Part;
use gowindows_tests::thread::{LIMIT, Ledger, Stage, compiles, is_for, is_ready_on, until};
use kube::Client;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Where the API server is taken away.
pub const RESTART: &str = "api-restart";
/// Where the kubelet is taken away.
pub const NODE: &str = "node-away";
const AWAY: Duration = Duration::from_secs(5);
/// Longer than any stage of these builds takes, so that the kubelet misses one's end.
const KUBELET_AWAY: Duration = Duration::from_secs(20);

pub async fn the_api_server_restarts_in_mid_build(stage: Arc<Stage>) -> Result<()> {
    let _broken = broken().await;
    let (client, ledger) = (stage.lab.client(), Ledger::open(stage.lab.client()));
    let tenant = tenant(&stage, RESTART, None).await?;
    let app = App::create_slow(stage.lab.git(), "app").await?;
    app.apply(&tenant, stage.lab.registry()).await?;
    until(&client, RESTART, "app", LIMIT, builds).await?;
    stage.lab.take_away(Part::ApiServer).await?;
    let commit = app.say("while the API server was away").await?;
    sleep(AWAY).await;
    stage.lab.bring_back(Part::ApiServer).await?;
    let back = Instant::now();
    until(&client, RESTART, "app", LIMIT, |status| is_ready_on(status, &commit)).await?;
    let tally = ledger.close(&[RESTART]).await?;
    ensure!(tally.jobs == 2, "one build per commit: {tally}");
    let restarts = ["get", "pods", "--output", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"];
    let restarts = stage.operator.kubectl.run(&restarts).await?;
    eprintln!(
        "API server: away for {AWAY:?} in mid build; {tally}; the operator's restarts: {restarts}; ready {:.0?} after",
        back.elapsed()
    );
    Ok(())
}

/// One build's pod is left alone, the other one's is deleted meanwhile, as happens to the pods of a node that is away for longer.
pub async fn the_kubelet_is_away_in_mid_build(stage: Arc<Stage>) -> Result<()> {
    let _broken = broken().await;
    let (client, ledger) = (stage.lab.client(), Ledger::open(stage.lab.client()));
    let tenant = tenant(&stage, NODE, None).await?;
    let mut apps = Vec::new();
    for name in ["left", "taken"] {
        let app = App::create_slow(stage.lab.git(), name).await?;
        app.apply(&tenant, stage.lab.registry()).await?;
        let commit = app.first.clone();
        apps.push((app, commit));
    }
    let mut commits = 1;
    // Not while a container is being created: one that the kubelet could not start is lost, and rightly tried again.
    while !compile_together(&client, &apps).await? {
        commits += 1;
        for (app, commit) in &mut apps {
            until(&client, NODE, &app.name, LIMIT, |status| is_ready_on(status, commit)).await?;
            *commit = app.say(&format!("commit {commits}")).await?;
        }
    }
    stage.lab.take_away(Part::Kubelet).await?;
    let job = until(&client, NODE, "taken", LIMIT, builds).await?.build.context("a build")?.job;
    let pod = ["delete", "pods", "--selector", &format!("batch.kubernetes.io/job-name={job}"), "--wait=false"];
    tenant.kubectl.run(&pod).await?;
    sleep(KUBELET_AWAY).await;
    // Nobody knows whether the containers still run: a second build would be one too many.
    let jobs = (ledger.of(NODE, "left"), ledger.of(NODE, "taken"));
    ensure!(jobs == (commits, commits), "{jobs:?} Jobs for {commits} commits while the node is away");
    stage.lab.bring_back(Part::Kubelet).await?;
    let back = Instant::now();
    until(&client, NODE, "taken", LIMIT, |status| is_for(status, ConditionType::Built, Reason::Lost)).await?;
    for (app, commit) in &apps {
        until(&client, NODE, &app.name, LIMIT, |status| is_ready_on(status, commit)).await?;
    }
    let tally = ledger.close(&[NODE]).await?;
    let jobs = (ledger.of(NODE, "left"), ledger.of(NODE, "taken"));
    let tried_again = (commits, commits + 1);
    ensure!(jobs == tried_again, "a build that only waited goes on, one that was lost is tried again: {jobs:?} Jobs for {commits} commits");
    eprintln!("kubelet: away for {KUBELET_AWAY:?} in mid build; {tally}; ready {:.0?} after", back.elapsed());
    Ok(())
}

/// Whether all compile at one moment. One may have ended before another was seen to begin.
async fn compile_together(client: &Client, apps: &[(App, String)]) -> Result<bool> {
    for (app, commit) in apps {
        until(client, NODE, &app.name, LIMIT, |status| compiles(status) || is_ready_on(status, commit)).await?;
    }
    let mut together = true;
    for (app, _) in apps {
        together &= compiles(&until(client, NODE, &app.name, LIMIT, |_| true).await?);
    }
    Ok(together)
}

fn builds(status: &GoWindowsImageStatus) -> bool {
    status.build.as_ref().is_some_and(|build| build.phase == BuildPhase::Running)
}
