//! What does each engine leave of a program that does not compile? Jobs and pods are recorded here from the real engines, and
//! `operator/core/tests/engines.rs` reads the recordings in every `cargo test`: what each engine prints differs, what is told does not.

use super::{ENGINES, builders, object, tenant};
use anyhow::{Context, Result, bail, ensure};
use futures::future::join_all;
use gowindows_core::read::builds;
use gowindows_crds::conditions::ConditionType;
use gowindows_crds::v1alpha1::{BuildEngine, GoWindowsImageStatus};
use gowindows_model::facts::{BuildState, Failure};
use gowindows_tests::lab::git::Access;
use gowindows_tests::peers::recordings::{self, Recording};
use gowindows_tests::thread::{LIMIT, Stage, Storefront, Tenant, message, until};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

/// Records anew, and fails where what is read differs from what was read before.
pub async fn what_engines_say_is_recorded(stage: Arc<Stage>) -> Result<()> {
    let login = Access::Password { user: "git".into(), password: "sesame".into() };
    let storefront = Storefront::create(&stage.lab, "broken/storefront", login).await?;
    storefront.break_build().await?;
    let (stage, url) = (&stage, storefront.repository.url());
    // Each is recorded, whatever is said of another.
    let all = join_all(ENGINES.map(|engine| async move { record(stage, engine, url).await.with_context(|| format!("{engine:?}")) })).await;
    all.into_iter().collect()
}

async fn record(stage: &Stage, engine: BuildEngine, url: &str) -> Result<()> {
    let builders = builders()?;
    let tenant = tenant(stage, "broken", engine, &builders.buildkitd).await?;
    let object = object(stage, &tenant, url, engine, &builders.buildkitd.address());
    tenant.kubectl.apply(&object.to_string()).await?;
    let failed = |status: &GoWindowsImageStatus| {
        !message(status, ConditionType::Built).is_empty() && status.build.as_ref().is_some_and(|build| build.failure.is_some())
    };
    let status = until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, failed).await?;
    let now =
        Recording { engine: recordings::version(engine)?, jobs: all(&tenant, "jobs", job).await?, pods: all(&tenant, "pods", pod).await? };
    let told = status.build.and_then(|build| build.failure).context("a failure")?;
    let read = failure(&now)?;
    ensure!(told.message == read.message, "the operator told {told:?}, and of the recording is read {read:?}");
    let before = recordings::read(engine).and_then(|before| failure(&before));
    recordings::write(engine, &now)?;
    let before = before.context("there was no recording before; now there is one")?;
    let same =
        (before.reason, &before.stage, before.exit_code, &before.message) == (read.reason, &read.stage, read.exit_code, &read.message);
    ensure!(same, "it was read as {before:?}, and is read as {read:?}");
    Ok(())
}

/// What is read of the one build in a recording.
fn failure(recording: &Recording) -> Result<Failure> {
    let (jobs, pods): (Vec<Arc<Job>>, Vec<Arc<Pod>>) = (objects(&recording.jobs)?, objects(&recording.pods)?);
    let (builds, _) = builds(&jobs, |_| pods.clone());
    let build = builds.first().context("a build")?;
    match &build.state {
        BuildState::Failed(failure) => Ok(failure.clone()),
        other => bail!("it did not fail: {other:?}"),
    }
}

fn objects<K: DeserializeOwned>(recorded: &[Value]) -> Result<Vec<Arc<K>>> {
    recorded.iter().map(|object| Ok(Arc::new(serde_json::from_value(object.clone())?))).collect()
}

/// All objects of a kind in a namespace, with what is read of them alone.
async fn all(tenant: &Tenant, kind: &str, kept: fn(&Value) -> Value) -> Result<Vec<Value>> {
    let list: Value = serde_json::from_str(&tenant.kubectl.run(&["get", kind, "--output", "json"]).await?)?;
    let items = list["items"].as_array().with_context(|| format!("no list of {kind}"))?;
    ensure!(!items.is_empty(), "no {kind}");
    Ok(items.iter().map(kept).collect())
}

fn job(job: &Value) -> Value {
    json!({"metadata": metadata(job), "spec": {"backoffLimit": job["spec"]["backoffLimit"]}, "status": job["status"]})
}

fn pod(pod: &Value) -> Value {
    let containers = |list: &str| {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        let kept = containers.map(|one| json!({"name": one["name"], "command": one["command"], "resources": one["resources"]}));
        kept.collect::<Vec<_>>()
    };
    let spec = json!({"initContainers": containers("initContainers"), "containers": containers("containers")});
    json!({"metadata": metadata(pod), "spec": spec, "status": pod["status"]})
}

fn metadata(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let kept = ["name", "namespace", "uid", "creationTimestamp", "labels", "annotations"];
    kept.into_iter().filter(|key| !metadata[key].is_null()).map(|key| (key.to_owned(), metadata[key].clone())).collect()
}
