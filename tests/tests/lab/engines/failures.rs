//! What a builder needs and does not find: each has a reason of its own and a sentence that says what to do, and passes by itself when its
//! cause does.

use super::{object, tls_secret, windows};
use anyhow::{Context, Result, ensure};
use futures::try_join;
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::v1alpha1::{BuildEngine, GoWindowsImageStatus};
use gowindows_tests::lab::builders::Buildkitd;
use gowindows_tests::lab::git::Access;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::thread::{LIMIT, Stage, Storefront, Tenant, compiles, is_for, message, until};
use std::sync::Arc;

async fn storefront(stage: &Stage, name: &str) -> Result<Storefront> {
    let login = Access::Password { user: "git".into(), password: "sesame".into() };
    Storefront::create(&stage.lab, &format!("{name}/storefront"), login).await
}

async fn says(stage: &Stage, tenant: &Tenant, reason: Reason, parts: &[&str]) -> Result<GoWindowsImageStatus> {
    let so = |status: &GoWindowsImageStatus| {
        let said = message(status, ConditionType::Built);
        is_for(status, ConditionType::Built, reason) && parts.iter().all(|part| said.contains(part))
    };
    let status = until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, so).await?;
    eprintln!("{}: {reason}: {}", tenant.namespace, message(&status, ConditionType::Built));
    Ok(status)
}

pub async fn kaniko_where_pods_must_be_restricted(stage: Arc<Stage>) -> Result<()> {
    let storefront = storefront(&stage, "refused").await?;
    let tenant = Tenant::create(&stage.lab, "refused").await?;
    tenant.grant_access(("git", "sesame"), None).await?;
    let object = object(&stage, &tenant, storefront.repository.url(), BuildEngine::Kaniko, "");
    tenant.kubectl.apply(&object.to_string()).await?;
    says(&stage, &tenant, Reason::Pending, &["violates PodSecurity", "baseline", "engines Go"]).await?;
    let pods = tenant.kubectl.run(&["get", "pods", "--output", "name"]).await?;
    ensure!(pods.trim().is_empty(), "{pods}");
    Ok(())
}

pub async fn buildkitd_down_dying_and_untrusted(stage: Arc<Stage>) -> Result<()> {
    let mut buildkitd = stage.lab.start_buildkitd("buildkitd-away", &Progress::stderr()).await?;
    let storefront = storefront(&stage, "away").await?;
    let address = buildkitd.address();
    let declare = |name: &'static str, windows: bool| {
        let (stage, url, address) = (&stage, storefront.repository.url(), &address);
        async move {
            let tenant = Tenant::create(&stage.lab, name).await?;
            tenant.grant_access(("git", "sesame"), None).await?;
            tenant.kubectl.apply(&tls_secret(&Buildkitd::foreign_secret()?)).await?;
            let mut object = object(stage, &tenant, url, BuildEngine::BuildKit, address);
            if windows {
                windows::share(&tenant, "shared", "ReadWriteMany").await?;
                windows::on_windows(&mut object);
            }
            tenant.kubectl.apply(&object.to_string()).await?;
            anyhow::Ok(tenant)
        }
    };
    let (tenant, from_windows) = try_join!(declare("away", false), declare("away-windows", true))?;
    for tenant in [&tenant, &from_windows] {
        says(&stage, tenant, Reason::BuilderAuthFailed, &["tlsSecretRef"]).await?;
    }

    // Down, with the right certificates.
    buildkitd.kill().await?;
    for tenant in [&tenant, &from_windows] {
        tenant.kubectl.apply(&tls_secret(&buildkitd.secret()?)).await?;
    }
    says(&stage, &tenant, Reason::BuilderUnreachable, &[&address.replace("tcp://", ""), "connection refused"]).await?;
    says(&stage, &from_windows, Reason::BuilderUnreachable, &[&address.replace("tcp://", "")]).await?;
    windows::ran_on_windows(&from_windows, "compile").await?;
    from_windows.kubectl.run(&["delete", "gwi", "program"]).await?;

    // It dies while it compiles: the next attempt is under way by itself.
    buildkitd.start_again().await?;
    until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, compiles).await?;
    buildkitd.kill().await?;
    says(&stage, &tenant, Reason::BuilderUnreachable, &["build.buildkit.address"]).await?;

    buildkitd.start_again().await?;
    let published = |status: &GoWindowsImageStatus| status.image.is_some();
    let status = until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, published).await?;
    ensure!(status.image.context("an image")?.engine == Some(BuildEngine::BuildKit));
    Ok(())
}
