//! `gowindows build` on this machine.

use crate::thread::{object, storefront};
use anyhow::{Context, Result, ensure};
use gowindows_crds::v1alpha1::GoWindowsImageStatus;
use gowindows_tests::lab::git::Repository;
use gowindows_tests::lab::host;
use gowindows_tests::thread::{LIMIT, Stage, is_rolled_out, until};
use serde_json::Value;
use std::process::Command;
use std::sync::Arc;

pub async fn the_laptop_makes_the_same_digest(stage: Arc<Stage>) -> Result<()> {
    let (tenant, storefront) = storefront(&stage, "laptop").await?;
    // With files beside the program, some of them left out.
    let files = "    ports: [8080]\n    files: [{from: cmd, to: 'C:\\app\\files', ignore: ['*.go']}]";
    let object = object(&tenant)?.replace("    ports: [8080]", files);
    tenant.kubectl.apply(&object).await?;
    let status = until(&stage.lab.client(), "laptop", "storefront", LIMIT, is_rolled_out).await?;
    same_on_this_machine(&stage, &object, &storefront.repository, &status).await
}

/// A label: seconds, without a toolchain, and the same as a laptop makes that compiles it all.
pub async fn what_changes_the_image_alone_needs_no_compiler(stage: Arc<Stage>) -> Result<()> {
    let (tenant, storefront) = storefront(&stage, "labels").await?;
    let (object, client) = (object(&tenant)?, stage.lab.client());
    tenant.kubectl.apply(&object).await?;
    let first = until(&client, "labels", "storefront", LIMIT, is_rolled_out).await?;
    let labelled = object.replace("    labels:\n", "    labels:\n      team: bakery\n");
    ensure!(labelled != object, "the sample's labels were not found: {object}");
    tenant.kubectl.apply(&labelled).await?;
    let moved = |status: &GoWindowsImageStatus| {
        is_rolled_out(status) && status.image.as_ref().map(|i| &i.digest) != first.image.as_ref().map(|i| &i.digest)
    };
    let second = until(&client, "labels", "storefront", LIMIT, moved).await?;
    let build = second.build.as_ref().context("a build")?;
    let stages: Vec<&str> = build.stages.iter().map(|stage| stage.name.as_str()).collect();
    ensure!(stages == ["source", "assemble"] && build.attempt == 1, "{build:?}");
    let took = |status: &GoWindowsImageStatus| status.image.as_ref().and_then(|image| image.duration.clone()).unwrap_or_default();
    eprintln!("labels: from Job to digest {} with a compiler (its cache warm), {} without", took(&first), took(&second));
    same_on_this_machine(&stage, &labelled, &storefront.repository, &second).await
}

/// `gowindows build -f` of the same commit makes what the cluster made.
pub async fn same_on_this_machine(stage: &Stage, object: &str, repository: &Repository, status: &GoWindowsImageStatus) -> Result<()> {
    let image = status.image.as_ref().context("an image")?;
    let folder = tempfile::tempdir()?;
    let (clone, manifest) = (folder.path().join("clone"), folder.path().join("gwi.yaml"));
    std::fs::write(&manifest, object)?;
    let mut git = Command::new("git");
    let url = repository.url().replace("https://", "https://git:sesame@");
    let authority = folder.path().join("ca.crt");
    std::fs::write(&authority, stage.lab.git().authority())?;
    git.env("GIT_SSL_CAINFO", &authority).args(["clone", "--quiet", &url]).arg(&clone);
    host::run_async(git).await?;

    let mut build = Command::new(&stage.operator.program);
    build.arg("build").arg(&clone).arg("-f").arg(&manifest).arg("--config").arg(&stage.operator.settings.file).arg("--json");
    build.arg("--output").arg(folder.path().join("layout"));
    let printed: Value = serde_json::from_str(&host::run_async(build).await?).context("read --json")?;
    ensure!(printed["digest"] == image.digest.as_str(), "the laptop made {}, the cluster {}", printed["digest"], image.digest);
    let binary = image.binary.as_ref().context("the program")?;
    ensure!(printed["binary"]["sha256"] == binary.sha256.as_str(), "{} {binary:?}", printed["binary"]);
    Ok(())
}
