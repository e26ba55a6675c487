//! Bases that want a login, and those that only a mirror has.

use super::{crane, image};
use anyhow::{Result, ensure};
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::v1alpha1::GoWindowsImageStatus;
use gowindows_tests::lab::git::Access;
use gowindows_tests::lab::{host, registry};
use gowindows_tests::thread::{LIMIT, Stage, Storefront, Tenant, is_for, is_true, message, until};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;

/// Puts a base into the registry that wants a login.
async fn publish_privately(stage: &Stage, private: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let auth = json!({"auths": {private: {"username": registry::USER, "password": registry::PASSWORD}}});
    std::fs::write(folder.path().join("config.json"), auth.to_string())?;
    let mut crane = Command::new(stage.lab.tool("crane")?);
    let from = format!("{}/windows/nanoserver:ltsc2022", stage.lab.registry());
    crane.env("DOCKER_CONFIG", folder.path()).args(["copy", "--insecure", &from, &format!("{private}/bases/nano:1")]);
    host::run_async(crane).await.map(drop)
}

pub async fn private_and_mirrored_bases_are_built_on(stage: Arc<Stage>) -> Result<()> {
    let tenant = Tenant::create(&stage.lab, "fences").await?;
    Storefront::create(&stage.lab, "fences/storefront", Access::Public).await?;
    let private = stage.lab.start_private_registry().await?;
    publish_privately(&stage, &private).await?;
    let mut object: Value = serde_norway::from_str(&tenant.sample("smallest.yaml", "storefront")?)?;
    object["spec"]["interval"] = json!("5s");
    object["spec"]["go"] = json!({"package": "./cmd/storefront"});
    object["spec"]["build"] = json!({"cache": {"volume": {"size": "1Gi"}}});
    object["spec"]["rollout"] = json!({"mode": "StatusOnly"});
    object["spec"]["image"]["base"] = json!({"image": format!("{private}/bases/nano:1"), "pullSecretRef": {"name": "base-auth"}});
    tenant.kubectl.apply(&tenant.sample("secret-access.yaml", "storefront")?).await?;
    tenant.kubectl.apply(&object.to_string()).await?;
    let (client, name) = (stage.lab.client(), "storefront");
    let absent = |status: &GoWindowsImageStatus| is_for(status, ConditionType::Built, Reason::SecretUnavailable);
    let status = until(&client, "fences", name, LIMIT, absent).await?;
    let says = message(&status, ConditionType::Built);
    ensure!(says.contains("image.base.pullSecretRef") && says.contains("base-auth"), "{says}");
    let secret = tenant.registry_secret(&private, registry::USER, registry::PASSWORD).replace("registry-auth", "base-auth");
    tenant.kubectl.apply(&secret).await?;
    let status = until(&client, "fences", name, LIMIT, is_published).await?;
    let base = |status: &GoWindowsImageStatus| status.inputs.as_ref().and_then(|inputs| inputs.bases.first().cloned()).unwrap_or_default();
    ensure!(base(&status).starts_with(&format!("{private}/bases/nano:1@sha256:")), "{}", base(&status));

    // A host that there is not: all of it comes from its mirror, and nothing says so but the settings.
    object["spec"]["image"]["base"] = json!({"image": "vendor.invalid/windows/nanoserver:ltsc2025"});
    tenant.kubectl.apply(&object.to_string()).await?;
    let status =
        until(&client, "fences", name, LIMIT, |status| is_published(status) && base(status).starts_with("vendor.invalid/")).await?;
    let config = crane(&stage, &["config", &image(&status)?.reference]).await?;
    let labels = &config["config"]["Labels"];
    ensure!(labels["org.opencontainers.image.base.name"] == "vendor.invalid/windows/nanoserver:ltsc2025", "{labels}");
    Ok(())
}

fn is_published(status: &GoWindowsImageStatus) -> bool {
    let is = |kind| is_true(status, kind);
    is(ConditionType::Published) && is(ConditionType::Built) && is(ConditionType::Ready)
}
