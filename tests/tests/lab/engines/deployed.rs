//! The buildkitd that `config/` offers, in the cluster, with the certificates of the documentation.

use super::{made, namespace, object, of_step};
use anyhow::{Result, ensure};
use gowindows_crds::v1alpha1::BuildEngine;
use gowindows_tests::lab::git::Access;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::thread::Stage;
use gowindows_tests::thread::buildkitd::Deployed;
use serde_json::json;
use std::sync::Arc;

pub(super) const DATE: &str = "2026-01-04T03:04:05Z";
/// The step of what no object's build has to compile again.
pub(super) const STANDARD: &str = r#"RUN ["go","build","-trimpath","-tags","timetzdata","encoding/json""#;

pub(super) fn program(says: &str) -> String {
    format!("package main\n\nfunc main() {{ println({says:?}) }}\n")
}

pub async fn the_buildkitd_of_config_builds_and_keeps_its_caches(stage: Arc<Stage>) -> Result<()> {
    let tenant = namespace(&stage, "deployed", BuildEngine::BuildKit).await?;
    let buildkitd = Deployed::install(&stage.lab, &tenant, &Progress::stderr()).await?;
    let repository = stage.lab.git().create("deployed/hello", Access::Public).await?;
    let first = [("go.mod", "module example.com/hello\n\ngo 1.22\n"), ("main.go", &program("hello"))];
    let commit = repository.commit_files(&first, "Say hello", DATE).await?;
    let mut object = object(&stage, &tenant, repository.url(), BuildEngine::BuildKit, &buildkitd.address);
    // The standard library is compiled from nothing once, here.
    object["spec"]["go"] = json!({"package": ".", "image": stage.lab.golang_image().await?});
    tenant.kubectl.apply(&object.to_string()).await?;
    made(&stage, &tenant, &commit).await?;
    let said = of_step(&tenant, STANDARD).await?;
    ensure!(!said.iter().any(|line| line == "CACHED"), "a new buildkitd has nothing: {said:?}");

    buildkitd.kubectl.run(&["delete", "pod", "--selector", "app.kubernetes.io/name=buildkitd"]).await?;
    buildkitd.settled().await?;
    let commit = repository.commit_files(&[("main.go", &program("hello again"))], "Say it again", DATE).await?;
    made(&stage, &tenant, &commit).await?;
    let said = of_step(&tenant, STANDARD).await?;
    ensure!(said.iter().any(|line| line == "CACHED"), "what it had outlives its pod: {said:?}");
    Ok(())
}
