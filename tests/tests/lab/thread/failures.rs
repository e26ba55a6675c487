//! Six failures: each has the right condition and a sentence that says what to do, leaves the last good image and the running
//! pods alone, and goes away by itself when its cause does.

use super::journey::{object, storefront};
use anyhow::{Context, Result, ensure};
use gowindows_crds::conditions::{ConditionType, Reason, find};
use gowindows_crds::v1alpha1::GoWindowsImageStatus;
use gowindows_tests::lab::git::Access;
use gowindows_tests::lab::registry::{PASSWORD, USER};
use gowindows_tests::thread::{LIMIT, Stage, Storefront, Tenant, is_for, is_ready, message, until};
use std::sync::Arc;

pub async fn fails_with(
    stage: &Stage,
    namespace: &str,
    kind: ConditionType,
    reason: Reason,
    says: &[&str],
) -> Result<GoWindowsImageStatus> {
    let status = until(&stage.lab.client(), namespace, "storefront", LIMIT, |status| is_for(status, kind, reason)).await?;
    let message = message(&status, kind);
    // For whoever reads the run: does this help somebody who has never seen the code?
    eprintln!("{namespace}: {kind}/{reason}: {message}");
    for part in says {
        ensure!(message.contains(part), "{kind}: {part:?} is not in {message:?}");
    }
    Ok(status)
}

async fn pods(tenant: &Tenant) -> Result<String> {
    tenant
        .kubectl
        .run(&["get", "pods", "--selector", "app=storefront", "--field-selector", "status.phase=Running", "--output", "name"])
        .await
}

/// The last good image and its pods are as they were.
async fn untouched(tenant: &Tenant, before: &GoWindowsImageStatus, pods_before: &str, after: &GoWindowsImageStatus) -> Result<()> {
    ensure!(before.image == after.image, "the last good image changed: {:?} -> {:?}", before.image, after.image);
    let running = pods(tenant).await?;
    ensure!(pods_before.lines().all(|pod| running.contains(pod)), "of {pods_before} there is left {running}");
    Ok(())
}

pub async fn git_unreachable(stage: Arc<Stage>) -> Result<()> {
    let git = stage.lab.start_git("other-git").await?;
    let tenant = Tenant::create(&stage.lab, "git-unreachable").await?.with_git(&git);
    Storefront::create_on(&git, "git-unreachable/storefront", Access::Public).await?;
    tenant.grant_access(("git", "sesame"), None).await?;
    tenant.kubectl.apply(&tenant.sample("storefront-deployment.yaml", "storefront")?).await?;
    tenant.kubectl.apply(&object(&tenant)?).await?;
    let before = until(&stage.lab.client(), "git-unreachable", "storefront", LIMIT, is_ready).await?;
    let pods = pods(&tenant).await?;
    git.set_reachable(false);
    let after = fails_with(
        &stage,
        "git-unreachable",
        ConditionType::SourceResolved,
        Reason::SourceUnreachable,
        &["storefront.git", "Still at main@"],
    )
    .await?;
    untouched(&tenant, &before, &pods, &after).await?;
    ensure!(is_ready(&after), "what runs still runs: {:?}", after.conditions);
    git.set_reachable(true);
    let resolved =
        |status: &GoWindowsImageStatus| find(&status.conditions, ConditionType::SourceResolved).is_some_and(|c| c.status == "True");
    until(&stage.lab.client(), "git-unreachable", "storefront", LIMIT, resolved).await.map(drop)
}

pub async fn unknown_reference(stage: Arc<Stage>) -> Result<()> {
    let (tenant, storefront) = storefront(&stage, "unknown-ref").await?;
    let object = object(&tenant)?.replace("branch: main", "branch: mian");
    tenant.kubectl.apply(&object).await?;
    let status = fails_with(&stage, "unknown-ref", ConditionType::SourceResolved, Reason::RefNotFound, &["mian", "main"]).await?;
    ensure!(is_for(&status, ConditionType::Ready, Reason::RefNotFound), "{:?}", status.conditions);
    storefront.repository.git(&["branch", "mian"]).await?;
    until(&stage.lab.client(), "unknown-ref", "storefront", LIMIT, is_ready).await.map(drop)
}

pub async fn compile_error(stage: Arc<Stage>) -> Result<()> {
    let (tenant, storefront) = storefront(&stage, "compile-error").await?;
    tenant.kubectl.apply(&object(&tenant)?).await?;
    let client = stage.lab.client();
    let before = until(&client, "compile-error", "storefront", LIMIT, is_ready).await?;
    let pods = pods(&tenant).await?;
    storefront.break_build().await?;
    let after = fails_with(&stage, "compile-error", ConditionType::Built, Reason::CompileError, &["main.go:", "Push a commit"]).await?;
    untouched(&tenant, &before, &pods, &after).await?;
    ensure!(is_ready(&after), "the last good image still serves: {:?}", after.conditions);
    let failure = after.build.as_ref().and_then(|build| build.failure.clone()).context("a failure")?;
    ensure!(failure.stage.as_deref() == Some("compile") && failure.exit_code == Some(1), "{failure:?}");
    ensure!(failure.log_tail.as_deref().is_some_and(|tail| tail.contains("main.go:")), "{failure:?}");
    let jobs = tenant.kubectl.run(&["get", "jobs", "--output", "name"]).await?;
    storefront.greet("Mended.").await?;
    let mended = |status: &GoWindowsImageStatus| is_ready(status) && status.image != before.image;
    until(&client, "compile-error", "storefront", LIMIT, mended).await?;
    ensure!(jobs.lines().count() == 2, "a compile error is not tried again: {jobs}");
    Ok(())
}

pub async fn registry_refuses_the_login(stage: Arc<Stage>) -> Result<()> {
    let tenant = Tenant::create(&stage.lab, "registry-login").await?;
    let _storefront =
        Storefront::create(&stage.lab, "registry-login/storefront", Access::Password { user: "git".into(), password: "sesame".into() })
            .await?;
    let guarded = stage.lab.start_private_registry().await?;
    tenant.grant_access(("git", "sesame"), Some((&guarded, USER, "not the password"))).await?;
    let here = format!("repository: {}/", stage.lab.registry());
    let object = object(&tenant)?.replace(&here, &format!("repository: {guarded}/"));
    let object = object.replace("  rollout:\n", "  rollout:\n    mode: StatusOnly\n");
    tenant.kubectl.apply(&object).await?;
    let status = fails_with(&stage, "registry-login", ConditionType::Built, Reason::RegistryAuthFailed, &[&guarded]).await?;
    ensure!(status.image.is_none(), "{:?}", status.image);
    let everything = tenant.kubectl.run(&["get", "gwi,jobs,events", "--output", "yaml"]).await?;
    ensure!(!everything.contains("not the password"), "a password is in an object or an event");
    tenant.kubectl.apply(&tenant.registry_secret(&guarded, USER, PASSWORD)).await?;
    let published = |status: &GoWindowsImageStatus| status.image.is_some();
    let status = until(&stage.lab.client(), "registry-login", "storefront", LIMIT, published).await?;
    ensure!(find(&status.conditions, ConditionType::RolledOut).is_some_and(|c| c.reason == "StatusOnly"), "{:?}", status.conditions);
    Ok(())
}

pub async fn target_missing_or_without_the_container(stage: Arc<Stage>) -> Result<()> {
    let (tenant, _storefront) = storefront(&stage, "targets").await?;
    tenant.kubectl.run(&["delete", "deployment", "storefront"]).await?;
    let object = object(&tenant)?.replace("targets: [{name: storefront}]", "targets: [{name: storefront, container: web}]");
    tenant.kubectl.apply(&object).await?;
    let status = fails_with(&stage, "targets", ConditionType::RolledOut, Reason::TargetNotFound, &["Deployment/storefront"]).await?;
    ensure!(status.observed_generation == 1, "{}", status.observed_generation);
    let ready = |status: &GoWindowsImageStatus| find(&status.conditions, ConditionType::Ready).is_some_and(|c| c.status == "True");
    until(&stage.lab.client(), "targets", "storefront", LIMIT, ready).await.context("a missing target never blocks Ready")?;

    tenant.kubectl.apply(&tenant.sample("storefront-deployment.yaml", "storefront")?).await?;
    fails_with(&stage, "targets", ConditionType::RolledOut, Reason::ContainerNotFound, &["\"web\"", "app"]).await?;
    // Whoever applies the image from the server's side owns it, and is told apart from a person with `kubectl apply`.
    let deployment = tenant.sample("storefront-deployment.yaml", "storefront")?;
    tenant.kubectl.run(&["delete", "deployment", "storefront"]).await?;
    tenant.kubectl.apply_server_side(&deployment).await?;
    tenant.kubectl.apply(&object.replace("container: web", "container: app")).await?;
    fails_with(&stage, "targets", ConditionType::RolledOut, Reason::FieldOwned, &["\"kubectl\"", "StatusOnly"]).await?;
    tenant.kubectl.run(&["delete", "deployment", "storefront"]).await?;
    tenant.kubectl.apply(&deployment).await?;
    until(&stage.lab.client(), "targets", "storefront", LIMIT, is_ready).await.map(drop)
}

pub async fn new_image_crashes(stage: Arc<Stage>) -> Result<()> {
    let (tenant, storefront) = storefront(&stage, "crash").await?;
    tenant.kubectl.apply(&object(&tenant)?).await?;
    let client = stage.lab.client();
    until(&client, "crash", "storefront", LIMIT, is_ready).await?;
    let pods_before = pods(&tenant).await?;
    storefront.crash().await?;
    let status = fails_with(&stage, "crash", ConditionType::RolledOut, Reason::CrashLooping, &["exit code 3"]).await?;
    ensure!(is_for(&status, ConditionType::Ready, Reason::CrashLooping), "{:?}", status.conditions);
    let running = pods(&tenant).await?;
    ensure!(pods_before.lines().all(|pod| running.contains(pod)), "the old pod serves on: {pods_before} {running}");
    storefront.greet("Change is there.").await?;
    until(&client, "crash", "storefront", LIMIT, is_ready).await.map(drop)
}
