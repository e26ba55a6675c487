//! What does the operator send? The product's own renderings of the repository's own samples.

use anyhow::{Context, Result, anyhow, bail};
use gowindows_core::build::render::{Objects, objects};
use gowindows_core::kinds::Kind;
use gowindows_crds::GoWindowsImage;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::{GoWindowsImageStatus, TargetKind};
use gowindows_model::inputs::{Inputs, Pins, SourceId};
use gowindows_model::names::job_name;
use gowindows_model::plan::{AllowedNodes, BuildOrder, Queued, Roll};
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Settings of an operator that could build the samples.
pub fn settings() -> Settings {
    Settings {
        toolchains: [("1.26".into(), "registry.example.com/golang:1.26".into())].into(),
        step_image: "registry.example.com/gowindows:1".into(),
        bases: [("NanoServer".into(), "registry.example.com/nanoserver".into())].into(),
        ..Settings::default()
    }
}

fn sample(file: &str) -> Result<Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples").join(file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let first = serde_norway::Deserializer::from_str(&text).next().with_context(|| format!("{} is empty", path.display()))?;
    Ok(Value::deserialize(first)?)
}

/// The sample object.
pub fn image() -> Result<Value> {
    sample("storefront.yaml")
}

/// The sample's target.
pub fn target() -> Result<Value> {
    sample("storefront-deployment.yaml")
}

/// A build Job of the sample and the claim of its cache, owned by the object with the uid that was kept as `image`.
pub fn build(attempt: i32) -> Result<(Value, Value)> {
    let mut object = image()?;
    object["metadata"]["namespace"] = json!("{{namespace}}");
    object["metadata"]["uid"] = json!("{{image}}");
    let object: GoWindowsImage = serde_json::from_value(object)?;
    let request = Request::new(&object, &settings()).map_err(|refusal| anyhow!(refusal.message))?;
    let digest = format!("sha256:{}", "1".repeat(64));
    let pins = Pins {
        test_toolchain: None,
        bases: vec![format!("registry.example.com/nanoserver:ltsc2022@{digest}")],
        base_choice: None,
        toolchain: format!("registry.example.com/golang:1.26@{digest}"),
    };
    let inputs = Inputs::new(&request, "main", SourceId::Commit("4f1c2e7aa8b0c9d1e2f3".repeat(2)), pins)?;
    let order = BuildOrder {
        job: job_name(&object.name_any(), "{{image}}", inputs.fingerprint(), attempt, None),
        request: Arc::new(request),
        inputs,
        attempt,
        cause: "First: nothing was built before".into(),
        rebuild_token: None,
        reused_program: None,
        gated: false,
        memory: None,
        git_keys: Vec::new(),
        credentials: None,
        nodes: AllowedNodes::default(),
        test_nodes: AllowedNodes::default(),
        queued: Queued::default(),
    };
    let Objects { claims, jobs } = objects(&object, &settings(), &order);
    let (Some(claim), [job]) = (claims.first(), &jobs[..]) else { bail!("the sample has a cache, and one Job builds it") };
    Ok((serde_json::to_value(job)?, serde_json::to_value(claim)?))
}

/// The name of a generated object.
pub fn name_of(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The write of an image to the sample's target with this uid.
pub fn roll(name: &str, uid: &str, image: &str) -> Value {
    let (kind, name, uid, container, image) = (TargetKind::Deployment, name.into(), uid.into(), "app".into(), image.into());
    Deployment::patch("{{namespace}}", &Roll { index: 0, kind, name, uid, container, image })
}

/// A status as the operator writes it, for the object with this uid.
pub fn status(name: &str, uid: &str, status: Value) -> Result<Value> {
    let status: GoWindowsImageStatus = serde_json::from_value(status)?;
    Ok(json!({
        "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage",
        "metadata": {"name": name, "namespace": "{{namespace}}", "uid": uid},
        "status": status,
    }))
}

/// A condition of a status.
pub fn condition(kind: &str, status: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": "Succeeded", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    })
}

/// The label that marks what is the operator's.
pub fn ours() -> String {
    format!("{}={}", names::LABEL_MANAGED_BY, names::MANAGED_BY)
}
