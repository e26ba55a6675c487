//! Do Windows nodes of several releases get what they can run, and are bases chosen, and found, as nodes and fences want it? And do builds
//! wait for slots?
//!
//! One lab: three nodes that run the programs, each of another release, and three on paper that are only looked at. One Job of a build runs at
//! a time, whoever's it is.

mod fences;
mod nodes;
mod queue;

use anyhow::{Context, Result};
use futures::FutureExt;
use gowindows_crds::v1alpha1::{GoWindowsImageStatus, ImageStatus};
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::windows_base::{self, Base, Flavor, Sizes};
use gowindows_tests::lab::{GO_CACHE, Lab, host};
use gowindows_tests::scenarios;
use gowindows_tests::thread::{Operator, Scenario, Stage, Suite};
use k8s_openapi::api::core::v1::Taint;
use serde_json::{Value, json};
use std::process::Command;

/// The version of the oldest node of Windows Server 2022, and of a base that is kept for it.
const OLDER: &str = "10.0.20348.5300";
/// Node, its version, and the version of the image that it has to take.
const NODES: [(&str, &str, &str); 3] = [
    ("win-2019", "10.0.17763.8389", "10.0.17763.8389"),
    ("win-2022", "10.0.20348.5499", OLDER),
    ("win-2025", "10.0.26100.33296", "10.0.26100.33296"),
];
/// Nodes on paper: name, version, containerd, and the version of the image that it has to take.
const PAPERS: [(&str, &str, &str, &str); 3] = [
    ("paper-2022", OLDER, "1.6.35", OLDER),
    ("paper-2025", "10.0.26100.33296", "2.1.6", "10.0.26100.33296"),
    ("paper-2019", "10.0.17763.8389", "2.3.0", "10.0.17763.8389"),
];

/// With the scenarios of other suites.
pub fn suite(guests: Vec<(&'static str, Vec<Scenario>)>) -> Suite {
    let scenarios = scenarios![
        nodes::every_node_runs_its_release,
        fences::private_and_mirrored_bases_are_built_on,
        queue::builds_queue_for_the_one_slot,
    ];
    Suite { name: "lab_releases", set_up: |progress| set_up(progress).boxed(), scenarios, guests }
}

async fn set_up(progress: Progress) -> Result<Stage> {
    let lab = Lab::start(&progress).await?;
    let small = Sizes { nanoserver: 1 << 20, servercore: 1 << 20 };
    progress.step("the Windows bases", windows_base::publish(lab.registry(), small)).await?;
    let older = Base::generate(Flavor::Nanoserver, OLDER, small.nanoserver)?;
    windows_base::publish_release(lab.registry(), Flavor::Nanoserver, "of-last-month", &older).await?;
    let mut nodes = Vec::new();
    for (name, version, _) in NODES {
        nodes.push(lab.windows_node(name, version, &progress).await?);
    }
    let on_paper = Taint { key: "on".into(), value: Some("paper".into()), effect: "NoSchedule".into(), ..Taint::default() };
    for (name, version, containerd, _) in PAPERS {
        nodes.push(lab.paper_node_with(name, version, containerd, std::slice::from_ref(&on_paper)).await?);
    }
    lab.with_warm_caches(&[GO_CACHE]).await?;
    let operator = Operator::install_with(&lab, &json!({"slots": {"linux": 1}}), &progress).await?;
    Ok(Stage { lab, operator, nodes })
}

async fn crane(stage: &Stage, arguments: &[&str]) -> Result<Value> {
    let mut crane = Command::new(stage.lab.tool("crane")?);
    crane.arg(arguments[0]).arg("--insecure").args(&arguments[1..]);
    serde_json::from_str(&host::run_async(crane).await?).context("read crane's JSON")
}

fn image(status: &GoWindowsImageStatus) -> Result<&ImageStatus> {
    status.image.as_ref().context("an image")
}
