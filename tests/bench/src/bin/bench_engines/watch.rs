//! How long does a build take, by this machine's clock? What the API server tells of Jobs and status is timed as it comes in: its own times
//! are in whole seconds.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use gowindows_crds::GoWindowsImage;
use gowindows_crds::v1alpha1::{BuildPhase, BuildStatus, GoWindowsImageStatus, ImageStatus};
use gowindows_tests::thread::{LIMIT, Stage, Tenant};
use k8s_openapi::api::batch::v1::Job;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};

/// What a build took.
#[derive(Debug)]
pub struct Taken {
    /// From the creation of its first Job until its image is in the status, with its digest read back from the registry.
    pub whole: Duration,
    /// Its Jobs, in the order in which they were created.
    pub jobs: Vec<Span>,
    /// What is published.
    pub image: ImageStatus,
    build: BuildStatus,
}

/// A Job.
#[derive(Debug)]
pub struct Span {
    name: String,
    created: Instant,
    began: Option<Instant>,
    ended: Option<Instant>,
}

impl Span {
    /// From when it may run until it was through; waiting for a slot is no part of it.
    pub fn took(&self) -> Option<Duration> {
        Some(self.ended?.duration_since(self.began?))
    }

    /// Whether this one and another ran at the same time.
    pub fn met(&self, other: &Self) -> bool {
        let before = |one: &Self, two: &Self| one.ended.zip(two.began).is_some_and(|(ended, began)| ended <= began);
        !before(self, other) && !before(other, self)
    }
}

impl Taken {
    /// How long a stage took, by the cluster and in whole seconds; none where there was no such stage.
    pub fn stage(&self, name: &str) -> Option<Duration> {
        let stage = self.build.stages.iter().find(|stage| stage.name == name)?;
        let (from, to) = (stage.started_at.as_ref()?.0, stage.finished_at.as_ref()?.0);
        Some(to.duration_since(from).unsigned_abs())
    }

    /// The Job of its tests.
    pub fn tests(&self) -> Option<&Span> {
        self.jobs.iter().find(|job| Some(&job.name) == self.build.test_job.as_ref())
    }

    /// The Job that compiles.
    pub fn build(&self) -> Option<&Span> {
        self.jobs.iter().find(|job| job.name == self.build.job)
    }
}

/// Starts the next build of a tenant's object by `act`, and waits until its image is published.
pub async fn build(stage: &Stage, tenant: &Tenant, act: impl Future<Output = Result<()>>) -> Result<Taken> {
    let jobs: Api<Job> = Api::namespaced(stage.lab.client(), &tenant.namespace);
    let objects: Api<GoWindowsImage> = Api::namespaced(stage.lab.client(), &tenant.namespace);
    let before: BTreeSet<String> = jobs.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect();
    let mut jobs = pin!(watcher(jobs, watcher::Config::default()).default_backoff().applied_objects());
    let mut objects = pin!(watcher(objects, watcher::Config::default()).default_backoff().applied_objects());
    act.await?;
    let (mut spans, mut published, mut status) = (Vec::new(), None, GoWindowsImageStatus::default());
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        tokio::select! {
            job = jobs.try_next() => {
                let job = job?.context("the watch on Jobs ended")?;
                if !before.contains(&job.name_any()) {
                    note(&mut spans, &job);
                }
            }
            object = objects.try_next() => status = object?.context("the watch on objects ended")?.status.unwrap_or_default(),
            () = tokio::time::sleep_until(deadline) => bail!("not within {LIMIT:?}:\n{}", serde_norway::to_string(&status)?),
        }
        let Some(build) = status.build.as_ref().filter(|build| spans.iter().any(|span| span.name == build.job)) else { continue };
        if let Some(failure) = &build.failure {
            bail!("{}: {}", failure.reason, failure.message);
        }
        let of_it = |image: &&ImageStatus| is_through(build) && image.fingerprint.as_ref() == Some(&build.fingerprint);
        let Some(image) = status.image.as_ref().filter(of_it) else { continue };
        let published = *published.get_or_insert_with(Instant::now);
        if spans.iter().all(|span| span.ended.is_some()) {
            let whole = published.duration_since(spans[0].created);
            return Ok(Taken { whole, jobs: spans, image: image.clone(), build: build.clone() });
        }
    }
}

/// Whether its Job has completed, and the status says so of every stage of it.
fn is_through(build: &BuildStatus) -> bool {
    build.phase == BuildPhase::Succeeded && build.stages.iter().all(|stage| stage.started_at.is_none() || stage.finished_at.is_some())
}

fn note(spans: &mut Vec<Span>, job: &Job) {
    let (name, now) = (job.name_any(), Instant::now());
    let status = job.status.clone().unwrap_or_default();
    let place = spans.iter().position(|span| span.name == name).unwrap_or_else(|| {
        spans.push(Span { name, created: now, began: None, ended: None });
        spans.len() - 1
    });
    if status.start_time.is_some() {
        spans[place].began.get_or_insert(now);
    }
    if status.completion_time.is_some() {
        spans[place].ended.get_or_insert(now);
    }
}
