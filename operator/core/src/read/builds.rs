//! Which of an object's Jobs are builds, which are parts and tests of them, and how do all of them get on?

use super::{build, role, run};
use super::{relay, tested};
use gowindows_crds::names::Role;
use gowindows_model::facts::{Build, Run};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube_core::ResourceExt;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The builds, oldest first, each with its parts and its tests; and the parts and tests without a build, with their creation. The Jobs are
/// those that [`super::controls`] proves to be the object's, and `pods` gives those that it proves to be a Job's.
pub fn builds(jobs: &[Arc<Job>], pods: impl Fn(&Job) -> Vec<Arc<Pod>>) -> (Vec<Build>, Vec<(String, Timestamp)>) {
    let (jobs, others): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| role(job) == Some(Role::Build));
    let mut runs: BTreeMap<String, Run> = others.iter().map(|job| (job.name_any(), run(job, &pods(job)))).collect();
    let parts: BTreeMap<String, _> = others.iter().map(|job| (job.name_any(), relay::parts(job))).collect();
    let whole = |mut build: Build| {
        relay::fill(&mut build.before, &mut runs);
        let tests = build.tests.as_mut().and_then(|tests| {
            tests.before = parts.get(&tests.job).cloned().unwrap_or_default();
            relay::fill(&mut tests.before, &mut runs);
            runs.remove(&tests.job).map(|run| relay::joined(&tests.before, run))
        });
        tested::tested(relay::relayed(build), tests)
    };
    let mut builds: Vec<Build> = jobs.iter().filter_map(|job| build(job, &pods(job))).map(whole).collect();
    builds.sort_by(|a, b| (a.created, a.attempt, &a.job).cmp(&(b.created, b.attempt, &b.job)));
    (builds, runs.into_iter().map(|(job, run)| (job, run.created)).collect())
}
