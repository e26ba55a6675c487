//! A private module: what is said as long as its door is shut, that it builds once a Secret opens it, and that nobody sees the password.

use super::failures::fails_with;
use anyhow::{Context, Result};
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::v1alpha1::GoWindowsImageStatus;
use gowindows_tests::lab::git::Access;
use gowindows_tests::thread::{LIMIT, PrivateModule, Stage, Tenant, is_for, is_true, message, until};
use serde_json::json;
use std::sync::Arc;

const PASSWORD: &str = "canary1-of-tills";

/// It is compiled with the private module, and looks for what opens the door.
const TEST: &str = r#"package main

import (
	"os"
	"strings"
	"testing"
)

func TestNoSecretIsHere(t *testing.T) {
	if _, err := os.Stat("/gowindows"); err == nil {
		t.Error("the files of a Secret are mounted")
	}
	if all := strings.Join(os.Environ(), " "); strings.Contains(all, "canary") || strings.Contains(all, "/gowindows") {
		t.Error("the environment tells of it")
	}
}
"#;

/// The condition comes, whatever came before.
async fn says(stage: &Stage, reason: Reason, parts: &[&str]) -> Result<()> {
    let so = |status: &GoWindowsImageStatus| {
        let said = message(status, ConditionType::Built);
        is_for(status, ConditionType::Built, reason) && parts.iter().all(|part| said.contains(part))
    };
    until(&stage.lab.client(), "modules", "storefront", LIMIT, so).await.with_context(|| format!("waiting for {reason} with {parts:?}"))?;
    fails_with(stage, "modules", ConditionType::Built, reason, parts).await.map(drop)
}

pub async fn a_private_module_needs_its_secret(stage: Arc<Stage>) -> Result<()> {
    let module = PrivateModule::publish(&stage.lab, "modules-of-thread", PASSWORD).await?;
    let tenant = Tenant::create(&stage.lab, "modules").await?;
    tenant.grant_access(("git", "sesame"), None).await?;
    let repository = module.program(stage.lab.git(), "modules/storefront", Access::Public).await?;
    let mut object = json!({
        "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "metadata": {"name": "storefront"},
        "spec": {
            "interval": "5s",
            "source": {"git": {"url": repository.url()}},
            "go": {"modules": {"private": [module.private()]}},
            "image": {"repository": format!("{}/modules/storefront", stage.lab.registry())},
        },
    });
    tenant.kubectl.apply(&object.to_string()).await?;
    says(&stage, Reason::ModuleDownloadFailed, &["team/money", "certificate", "ca.crt", "go.modules.secretRef"]).await?;

    object["spec"]["go"]["modules"]["secretRef"] = json!({"name": "modules-auth"});
    tenant.kubectl.apply(&object.to_string()).await?;
    says(&stage, Reason::SecretUnavailable, &["go.modules.secretRef", "Secret modules-auth", "secret-access.yaml"]).await?;
    let login = json!({"username": "builder", "password": PASSWORD});
    let of_another_kind = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "modules-auth"}, "type": "kubernetes.io/basic-auth", "stringData": login,
    });
    tenant.kubectl.apply(&of_another_kind.to_string()).await?;
    says(&stage, Reason::SecretInvalid, &["go.modules.secretRef", "Secret modules-auth", "no key `netrc`"]).await?;
    tenant.kubectl.run(&["delete", "secret", "modules-auth"]).await?;
    tenant.kubectl.apply(&module.secret("another-password")).await?;
    says(&stage, Reason::ModuleDownloadFailed, &["401 Unauthorized", "netrc", "go.modules.secretRef"]).await?;

    tenant.kubectl.apply(&module.right_secret()).await?;
    let published = |status: &GoWindowsImageStatus| is_true(status, ConditionType::Published) && is_true(status, ConditionType::Built);
    until(&stage.lab.client(), "modules", "storefront", LIMIT, published).await.context("with the right Secret, by itself")?;

    repository.commit_files(&[("main_test.go", TEST)], "Test the till", "2026-01-03T03:04:05Z").await?;
    object["spec"]["go"]["test"] = json!({"packages": ["./..."]});
    tenant.kubectl.apply(&object.to_string()).await?;
    let tested = |status: &GoWindowsImageStatus| published(status) && status.image.as_ref().is_some_and(|image| image.tests.is_some());
    let status = until(&stage.lab.client(), "modules", "storefront", LIMIT, tested).await.context("tests that need the module")?;
    module.canary.is_not_told(&stage, &tenant).await?;
    module.canary.is_not_in_image(&stage, &status.image.context("an image")?.reference).await
}
