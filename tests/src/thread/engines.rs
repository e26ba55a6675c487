//! How does a team have its program built by each engine, in a namespace that enforces what the engine is promised to pass?

use super::{LIMIT, Stage, Tenant, until};
use crate::lab::builders::{Builders, Buildkitd};
use anyhow::Result;
use gowindows_crds::v1alpha1::{BuildEngine, GoWindowsImageStatus};
use serde_json::{Value, json};

/// Every engine.
pub const ENGINES: [BuildEngine; 3] = [BuildEngine::Go, BuildEngine::BuildKit, BuildEngine::Kaniko];

/// What the operator's settings say of builders.
pub fn settings(builders: &Builders) -> Value {
    json!({"buildctlImage": builders.buildctl, "kanikoImage": builders.kaniko})
}

/// A namespace that enforces what an engine's pods are promised to pass, with the right to the Secrets of the samples.
pub async fn namespace(stage: &Stage, name: &str, engine: BuildEngine) -> Result<Tenant> {
    let namespace = format!("{name}-{}", format!("{engine:?}").to_lowercase());
    let level = if engine == BuildEngine::Kaniko { "baseline" } else { "restricted" };
    let tenant = Tenant::create_under(&stage.lab, &namespace, level).await?;
    tenant.grant_access(("git", "sesame"), None).await?;
    Ok(tenant)
}

/// The same, with what opens the buildkitd.
pub async fn tenant(stage: &Stage, name: &str, engine: BuildEngine, buildkitd: &Buildkitd) -> Result<Tenant> {
    let tenant = namespace(stage, name, engine).await?;
    if engine == BuildEngine::BuildKit {
        tenant.kubectl.apply(&tls_secret(&buildkitd.secret()?)).await?;
    }
    Ok(tenant)
}

/// The Secret that the objects name.
pub fn tls_secret(data: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "buildkit-tls"}, "stringData": data}).to_string()
}

/// An object named `program`, the storefront's, that is built by an engine, from `url`, to a repository of its own.
pub fn object(stage: &Stage, tenant: &Tenant, url: &str, engine: BuildEngine, buildkitd: &str) -> Value {
    let mut build = json!({"engine": format!("{engine:?}"), "cache": {"volume": {"size": "2Gi"}}});
    if engine == BuildEngine::BuildKit {
        build["buildkit"] = json!({"address": buildkitd, "tlsSecretRef": {"name": "buildkit-tls"}});
    }
    json!({
        "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "metadata": {"name": "program"},
        "spec": {
            "interval": "5s",
            "source": {"git": {"url": url, "ref": {"branch": "main"}, "secretRef": {"name": "git-auth"}}},
            "go": {"package": "./cmd/storefront", "ldflags": ["-X main.version=$(revision)"]},
            "image": {"repository": format!("{}/{}/program", stage.lab.registry(), tenant.namespace)},
            "build": build,
        },
    })
}

/// The names of the toolchain and of the base, without what pins them, as a Dockerfile of the team's own has them.
pub fn names(stage: &Stage) -> (String, String) {
    let toolchain = stage.operator.settings.toolchain.split('@').next().unwrap_or_default().to_owned();
    (toolchain, format!("{}/windows/nanoserver:ltsc2022", stage.lab.registry()))
}

/// Waits until the image of a commit, or any where none is given, is published.
pub async fn published(stage: &Stage, tenant: &Tenant, commit: &str) -> Result<GoWindowsImageStatus> {
    let there = |status: &GoWindowsImageStatus| {
        let revision = status.image.as_ref().and_then(|image| image.revision.as_deref());
        revision.is_some_and(|revision| revision.ends_with(commit))
    };
    until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, there).await
}
