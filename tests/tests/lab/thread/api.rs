//! The API as the API server sees it: what it refuses, what it accepts, how it explains itself.

use anyhow::{Context, Result, bail, ensure};
use gowindows_tests::thread::{Stage, Tenant};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

pub async fn bad_specifications_are_refused_by_name(stage: Arc<Stage>) -> Result<()> {
    let tenant = Tenant::create(&stage.lab, "bad-specs").await?;
    let corpus = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/bad_specs.yaml"))?;
    let cases: Vec<Value> = serde_norway::from_str(&corpus).context("read the corpus")?;
    ensure!(cases.len() > 50, "only {} cases", cases.len());
    for case in &cases {
        let name = case["name"].as_str().context("a name")?;
        let mut object = json!({
            "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "metadata": {"name": name},
            "spec": {
                "source": {"git": {"url": "https://git.example.com/a.git"}},
                "image": {"repository": "registry.example.com/shop/a"},
                "rollout": {"targets": [{"name": "a"}]},
            },
        });
        merge(&mut object["spec"], &case["patch"]);
        let Err(refused) = tenant.kubectl.apply(&object.to_string()).await else { bail!("{name} was accepted: {object}") };
        let (refused, says) = (format!("{refused:#}"), case.get("api").unwrap_or(&case["says"]).as_str().context("says")?);
        ensure!(refused.contains(says), "{name}: {says:?} is not in {refused}");
    }
    let left = tenant.kubectl.run(&["get", "gwi", "--output", "name"]).await?;
    ensure!(left.trim().is_empty(), "{left}");
    Ok(())
}

/// RFC 7386.
fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

pub async fn every_sample_is_accepted(stage: Arc<Stage>) -> Result<()> {
    let tenant = Tenant::create(&stage.lab, "samples").await?;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples");
    let mut applied = 0;
    for entry in std::fs::read_dir(&samples).with_context(|| format!("list {}", samples.display()))? {
        let path = entry?.path();
        // Applied as it stands, and without effect: the hosts in it are examples.
        tenant.kubectl.run(&["apply", "--server-side", "--dry-run=server", "-f", &path.to_string_lossy()]).await?;
        applied += 1;
    }
    ensure!(applied >= 5, "only {applied} samples");
    Ok(())
}

pub async fn explain_reads_like_documentation(stage: Arc<Stage>) -> Result<()> {
    let tenant = Tenant::create(&stage.lab, "explain").await?;
    for (field, says) in [
        ("gwi.spec", "Default: `5m`"),
        ("gwi.spec.source.git.url", "Only https"),
        ("gwi.spec.image.tags", "latest"),
        ("gwi.spec.go.strip", "Default: `true`"),
        ("gwi.spec.build.timeouts", "Default: `30m`"),
        ("gwi.status.image.platforms", "four parts"),
    ] {
        let explained = tenant.kubectl.run(&["explain", field]).await?.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(explained.contains(says), "{field}: {says:?} is not in {explained}");
    }
    Ok(())
}
