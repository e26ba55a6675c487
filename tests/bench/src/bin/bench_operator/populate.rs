//! How do many objects with Jobs get into a cluster? This benchmark writes what the operator would have written, for one object after the
//! other: the Job of the template, and the status. Whatever differs, the operator corrects when it starts; it is measured after that.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use gowindows_crds::names::STATUS_MANAGER;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::bench::ONE;
use crate::ground::{Ground, PARALLEL, keys};
use crate::seen::Key;
use crate::template::{Template, failed};

/// How far a build has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Its Job has no pod.
    Waiting,
    /// Its Job has failed, and is not tried again.
    Ended,
}

/// Creates so many objects with Jobs and statuses.
pub async fn populate(ground: &Ground, template: &Template, prefix: &str, count: usize, build: Build) -> Result<()> {
    let what = format!("{count} objects whose builds have {}", if build == Build::Waiting { "no pod" } else { "ended" });
    let spec = ground.pinned();
    let one = |key| {
        let spec = &spec;
        async move { one(ground, template, &key, spec, build).await }
    };
    let all = stream::iter(keys(prefix, count)).map(one).buffer_unordered(PARALLEL);
    ground.progress.step(&what, all.try_collect::<()>()).await.with_context(|| what.clone())
}

/// Writes the same for so many objects, one after the other. Returns the milliseconds from each object to its Job: what the API server takes
/// alone for these two requests and the event, without a controller.
pub async fn by_hand(ground: &Ground, template: &Template, prefix: &str, count: usize) -> Result<Vec<f64>> {
    let (mut took, spec) = (Vec::new(), ground.pinned());
    for key in keys(prefix, count) {
        let at = Instant::now();
        one(ground, template, &key, &spec, Build::Waiting).await?;
        ground.seen.until(&[&key], ONE, |[jobs, _]| jobs == 1).await?;
        let seen = ground.seen.job(&key).context("a Job that was created was not seen")?;
        took.push(seen.duration_since(at).as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(took)
}

async fn one(ground: &Ground, template: &Template, key: &Key, spec: &serde_json::Value, build: Build) -> Result<()> {
    let object = again(async || ground.create(key, spec).await).await?;
    let made = template.made(&key.0, &key.1, &object.uid().unwrap_or_default())?;
    let jobs = Api::<Job>::namespaced(ground.client.clone(), &key.0);
    let job: Job = serde_json::from_value(made.job)?;
    again(async || jobs.create(&PostParams::default(), &job).await.context("create a Job")).await?;
    let status = match build {
        Build::Waiting => made.waiting,
        Build::Ended => {
            end(&jobs, &job.name_any()).await?;
            made.ended
        }
    };
    let patch = json!({"apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "status": status});
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let images = ground.images(&key.0);
    again(async || images.patch_status(&key.1, &params, &Patch::Apply(&patch)).await.context("write a status")).await?;
    Ok(())
}

/// Sends a request once more where there was no answer: an API server with 50 000 objects closes connections at times. One that was performed
/// although its answer was lost is then refused for that, and ends the measurement.
async fn again<T>(request: impl AsyncFn() -> Result<T>) -> Result<T> {
    match request().await {
        Err(error) if !matches!(error.downcast_ref(), Some(kube::Error::Api(_))) => {
            eprintln!("a request of the benchmark is sent again: {error:#}");
            tokio::time::sleep(Duration::from_secs(1)).await;
            request().await
        }
        answered => answered,
    }
}

/// Has a Job fail, as the Job controller would.
pub async fn end(jobs: &Api<Job>, name: &str) -> Result<()> {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let patch = json!({"status": failed(&now)});
    again(async || jobs.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.context("have a Job fail")).await?;
    Ok(())
}
