//! How do many objects with Jobs get into a cluster? This benchmark writes what the operator would have written, for one object after the
//! other: the Job of the template, and the status. Whatever differs, the operator corrects when it starts; it is measured after that.

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use gowindows_crds::names::STATUS_MANAGER;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

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
    let all = stream::iter(keys(prefix, count)).map(|key| one(ground, template, key, &spec, build)).buffer_unordered(PARALLEL);
    ground.progress.step(&what, all.try_collect::<()>()).await.with_context(|| what.clone())
}

async fn one(ground: &Ground, template: &Template, key: Key, spec: &serde_json::Value, build: Build) -> Result<()> {
    let object = ground.create(&key, spec).await?;
    let made = template.made(&key.0, &key.1, &object.uid().unwrap_or_default())?;
    let jobs = Api::<Job>::namespaced(ground.client.clone(), &key.0);
    let job: Job = serde_json::from_value(made.job)?;
    jobs.create(&PostParams::default(), &job).await.context("create a Job")?;
    let status = match build {
        Build::Waiting => made.waiting,
        Build::Ended => {
            end(&jobs, &job.name_any()).await?;
            made.ended
        }
    };
    let patch = json!({"apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "status": status});
    let params = PatchParams::apply(STATUS_MANAGER).force();
    ground.images(&key.0).patch_status(&key.1, &params, &Patch::Apply(&patch)).await.context("write a status")?;
    Ok(())
}

/// Has a Job fail, as the Job controller would.
pub async fn end(jobs: &Api<Job>, name: &str) -> Result<()> {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let patch = json!({"status": failed(&now)});
    jobs.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.context("have a Job fail")?;
    Ok(())
}
