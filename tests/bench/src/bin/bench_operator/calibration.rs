//! What does this API server allow on this machine, without any controller?

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use gowindows_bench::Table;
use gowindows_crds::names::STATUS_MANAGER;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::ground::{Ground, PARALLEL};
use crate::seen::Key;
use crate::template::Template;

/// What the API server of the machine allowed that the limits were set on: Job creates, object creates and status applies a second.
const REFERENCE: Calibration = Calibration { jobs: 1050.0, objects: 1430.0, statuses: 890.0 };

/// Requests a second, 16 at the same time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    jobs: f64,
    objects: f64,
    statuses: f64,
}

impl Calibration {
    /// Measures it on a cluster without a controller.
    pub async fn measure(ground: &Ground, template: &Template, count: usize) -> Result<Self> {
        let spec = ground.pinned();
        let start = Instant::now();
        let created = ground.burst("calibration", count, &spec).await?;
        let objects = per_second(count, start.elapsed());
        let mut made = Vec::with_capacity(count);
        for key in created.into_keys() {
            let object = ground.images(&key.0).get(&key.1).await?;
            let parts = template.made(&key.0, &key.1, &object.uid().unwrap_or_default())?;
            made.push((key, serde_json::from_value::<Job>(parts.job)?, parts.waiting));
        }
        let post = |(key, job): (&Key, &Job)| {
            let (jobs, job) = (Api::<Job>::namespaced(ground.client.clone(), &key.0), job.clone());
            async move { jobs.create(&PostParams::default(), &job).await.map(drop).context("create a Job") }
        };
        let start = Instant::now();
        stream::iter(made.iter().map(|(key, job, _)| (key, job))).map(post).buffer_unordered(PARALLEL).try_collect::<()>().await?;
        let jobs = per_second(count, start.elapsed());
        let apply = |(key, status): (&Key, &serde_json::Value)| {
            let (images, name) = (ground.images(&key.0), key.1.clone());
            let patch = json!({"apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "status": status});
            async move {
                let params = PatchParams::apply(STATUS_MANAGER).force();
                images.patch_status(&name, &params, &Patch::Apply(&patch)).await.map(drop).context("apply a status")
            }
        };
        let start = Instant::now();
        stream::iter(made.iter().map(|(key, _, status)| (key, status))).map(apply).buffer_unordered(PARALLEL).try_collect::<()>().await?;
        Ok(Self { jobs, objects, statuses: per_second(count, start.elapsed()) })
    }

    /// How much longer than on the machine of the limits an object takes here of which nothing is waited for but the API server.
    pub fn factor(&self) -> f64 {
        self.milliseconds() / REFERENCE.milliseconds()
    }

    /// The API server's time for one object: its create, its Job's and one status.
    fn milliseconds(&self) -> f64 {
        1000.0 / self.objects + 1000.0 / self.jobs + 1000.0 / self.statuses
    }

    /// Objects a second, each with a Job and one status.
    pub fn objects_a_second(&self) -> f64 {
        1000.0 / self.milliseconds()
    }

    /// As a table.
    pub fn table(&self) -> Table {
        let mut table = Table::new(["requests a second, 16 at the same time", "here", "where the limits were set"]);
        let mut row = |what: &str, here: f64, there: f64| table.row([what.into(), format!("{here:.0}"), format!("{there:.0}")]);
        row("Jobs created", self.jobs, REFERENCE.jobs);
        row("GoWindowsImages created", self.objects, REFERENCE.objects);
        row("statuses applied", self.statuses, REFERENCE.statuses);
        row("objects, each with a Job and one status", self.objects_a_second(), REFERENCE.objects_a_second());
        table
    }
}

fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_half_as_fast_has_twice_the_time() {
        let half = Calibration { jobs: REFERENCE.jobs / 2.0, objects: REFERENCE.objects / 2.0, statuses: REFERENCE.statuses / 2.0 };
        assert!((half.factor() - 2.0).abs() < 1e-9 && (REFERENCE.factor() - 1.0).abs() < 1e-9);
        assert!((REFERENCE.milliseconds() - 2.78).abs() < 0.01);
    }
}
