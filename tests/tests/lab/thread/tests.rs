//! Tests beside the compiler: real ones pass and are recorded; one that fails holds its image back.

use super::failures::fails_with;
use super::journey::{jobs, object, storefront};
use anyhow::{Context, Result, ensure};
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::names;
use gowindows_crds::v1alpha1::{BuildStatus, GoWindowsImageStatus};
use gowindows_tests::lab::host;
use gowindows_tests::thread::{LIMIT, Stage, is_ready, page, until};
use serde_json::Value;
use std::process::Command;
use std::sync::Arc;

const TEST: &str = "cmd/storefront/main_test.go";
const DATE: &str = "2026-01-04T03:04:05Z";

/// A test that wants the greeting to be of this many bytes.
fn greeting_of(bytes: usize) -> String {
    format!(
        "package main\n\nimport \"testing\"\n\nfunc TestGreeting(t *testing.T) {{\n\tif len(greeting) != {bytes} {{\n\t\tt.Fatalf(\"the greeting has %d bytes, want {bytes}\", len(greeting))\n\t}}\n}}\n"
    )
}

pub async fn a_failing_test_blocks_the_push(stage: Arc<Stage>) -> Result<()> {
    let (tenant, storefront) = storefront(&stage, "tested").await?;
    let client = stage.lab.client();
    storefront.repository.commit_files(&[(TEST, &greeting_of(27))], "Test the greeting", DATE).await?;
    let object =
        object(&tenant)?.replace("    package: ./cmd/storefront\n", "    package: ./cmd/storefront\n    test: {packages: [./...]}\n");
    ensure!(object.contains("test:"), "the sample's package was not found: {object}");
    tenant.kubectl.apply(&object).await?;
    let tests = |status: &GoWindowsImageStatus| status.build.as_ref().is_some_and(|build| stage_of(build, "test").is_some());
    until(&client, "tested", "storefront", LIMIT, tests).await.context("the tests are a stage")?;
    let before = until(&client, "tested", "storefront", LIMIT, is_ready).await?;
    let image = before.image.clone().context("an image")?;
    let recorded = image.tests.as_ref().map(|tests| tests.packages.clone());
    ensure!(recorded.as_deref() == Some(&["./...".to_owned()]), "passed tests are recorded: {image:?}");
    let build = before.build.clone().context("a build")?;
    let began = |name: &str| stage_of(&build, name).with_context(|| format!("no stage {name}: {:?}", build.stages));
    let (compile, assemble, test) = (began("compile")?, began("assemble")?, began("test")?);
    let first = compile.0.min(test.0);
    let seconds = |(start, end): (i64, i64)| format!("{} to {} s", start - first, end - first);
    eprintln!("tested: compile {}, assemble {}, test beside them {}", seconds(compile), seconds(assemble), seconds(test));
    let restricted = tenant.kubectl.run(&["get", "namespace", "tested", "--output", "jsonpath={.metadata.labels}"]).await?;
    ensure!(restricted.contains("restricted"), "the namespace enforces it: {restricted}");

    storefront.repository.commit_files(&[(TEST, &greeting_of(11))], "Want less", DATE).await?;
    let says = ["Test TestGreeting of ", "main_test.go:7: the greeting has 27 bytes, want 11", "Push a commit whose tests pass"];
    let after = fails_with(&stage, "tested", ConditionType::Built, Reason::TestsFailed, &says).await?;
    ensure!(is_ready(&after) && after.image == before.image, "the last good image serves on: {:?}", after.conditions);
    let failure = after.build.as_ref().and_then(|build| build.failure.clone()).context("a failure")?;
    ensure!(failure.stage.as_deref() == Some("test") && failure.exit_code == Some(1), "{failure:?}");
    ensure!(failure.log_tail.as_deref().is_some_and(|tail| tail.contains("--- FAIL: TestGreeting")), "{failure:?}");
    let answer = page(&super::journey::service(&tenant).await?).await?;
    ensure!(answer.contains(image.revision.as_deref().and_then(|name| name.rsplit(':').next()).context("a commit")?), "{answer}");
    nothing_leads_to_it(&stage, &after).await?;
    let made = jobs(&tenant).await?;

    storefront.greet("Buns today.").await?;
    let mended = |status: &GoWindowsImageStatus| is_ready(status) && status.image != before.image;
    until(&client, "tested", "storefront", LIMIT, mended).await?;
    ensure!(made.len() == 4, "a failed test is not tried again: {made:?}");
    Ok(())
}

/// When a stage began and ended, in seconds.
fn stage_of(build: &BuildStatus, name: &str) -> Option<(i64, i64)> {
    let stage = build.stages.iter().find(|stage| stage.name == name)?;
    let end = stage.finished_at.as_ref().map_or(i64::MAX, |time| time.0.as_second());
    Some((stage.started_at.as_ref()?.0.as_second(), end))
}

/// The registry has no tag for the image whose test failed, but the one under which it may have waited.
async fn nothing_leads_to_it(stage: &Stage, status: &GoWindowsImageStatus) -> Result<()> {
    let image = status.image.as_ref().context("an image")?;
    let inputs = status.inputs.as_ref().context("inputs")?;
    let repository = image.reference.split('@').next().unwrap_or_default();
    let mut crane = Command::new(stage.lab.tool("crane")?);
    crane.args(["ls", "--insecure", repository]);
    let tags = host::run_async(crane).await?;
    let commit = inputs.revision.rsplit(':').next().unwrap_or_default();
    for tag in [names::fingerprint_tag(&inputs.fingerprint), commit.to_owned()] {
        ensure!(!tags.lines().any(|line| line == tag), "{tag} is there: {tags}");
    }
    let mut crane = Command::new(stage.lab.tool("crane")?);
    crane.args(["digest", "--insecure", &format!("{repository}:latest")]);
    let latest: Value = host::run_async(crane).await?.trim().into();
    ensure!(latest == image.digest.as_str(), "latest leads to {latest}, and not to {}", image.digest);
    Ok(())
}
