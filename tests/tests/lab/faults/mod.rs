//! Does the thread hold while what it hangs on breaks: the operator, the API server, git, the registry, the node?
//!
//! One lab serves all scenarios. Nothing runs in their pods but on paper: what is looked at is what the operator does.

mod app;
mod cluster;
mod kills;
mod outages;
mod paper;

use anyhow::Result;
use futures::FutureExt;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::windows_base::{self, Sizes};
use gowindows_tests::lab::{GO_CACHE, Lab};
use gowindows_tests::scenarios;
use gowindows_tests::thread::{Operator, Stage, Suite};
use k8s_openapi::api::core::v1::Taint;
use std::time::Duration;
use tokio::sync::{RwLock, RwLockWriteGuard};
use tokio::time::sleep;

/// Held to read by scenarios that need the cluster whole, to write by one that breaks it for everybody.
pub static WHOLE: RwLock<()> = RwLock::const_new(());

/// Lets the scenarios that need the cluster whole go first, side by side, and then breaks it for everybody.
pub async fn broken() -> RwLockWriteGuard<'static, ()> {
    // They all begin at the same moment; whoever misses it only waits longer.
    sleep(Duration::from_secs(1)).await;
    WHOLE.write().await
}

/// The namespaces of the operator in the cluster; another one, outside, has those of [`kills::STORM`].
const NAMESPACES: [&str; 6] = [kills::CALM[0], kills::CALM[1], outages::NAMESPACE, cluster::RESTART, cluster::NODE, paper::NAMESPACE];

pub fn suite() -> Suite {
    let scenarios = scenarios![
        kills::thirty_kills_lose_and_repeat_nothing,
        outages::a_minute_without_git_and_registry,
        paper::pods_land_fail_and_recover_on_paper,
        cluster::the_api_server_restarts_in_mid_build,
        cluster::the_kubelet_is_away_in_mid_build,
    ];
    Suite { name: "lab_faults", set_up: |progress| set_up(progress).boxed(), scenarios, guests: Vec::new() }
}

async fn set_up(progress: Progress) -> Result<Stage> {
    let lab = Lab::start(&progress).await?;
    // Nobody downloads a base here.
    let small = Sizes { nanoserver: 1 << 20, servercore: 1 << 20 };
    progress.step("the Windows bases", windows_base::publish(lab.registry(), small)).await?;
    let reserved = Taint { key: "team".into(), value: Some("payments".into()), effect: "NoSchedule".into(), ..Taint::default() };
    let nodes = vec![
        lab.paper_node("paper-2019", "10.0.17763.8389", &[reserved]).await?,
        lab.paper_node("paper-2022", "10.0.20348.5499", &[]).await?,
        lab.paper_node("paper-2025", "10.0.26100.33296", &[]).await?,
    ];
    lab.with_warm_caches(&[GO_CACHE]).await?;
    let operator = Operator::install_for(&lab, &NAMESPACES, &progress).await?;
    Ok(Stage { lab, operator, nodes })
}
