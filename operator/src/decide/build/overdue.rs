//! Which stage of a build, or of its tests, takes longer than its limit?

use super::super::{Effect, Plan, Request};
use crate::observe::{Build, World};
use crate::render;
use gowindows_crds::v1alpha1::StageStatus;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// Ends the Jobs of which one does.
pub(super) fn stop(world: &World, request: &Request, plan: &mut Plan, build: &Build) {
    for job in build.to_stop() {
        let (created, stages) = match build.test_run().filter(|_| job != build.job) {
            Some(run) => (run.created, &run.stages),
            None => (build.created, &build.stages),
        };
        if let Some(stage) = overdue(world, request, created, stages) {
            plan.effects.push(Effect::StopJob { job: job.to_owned(), why: format!("Timeout/{stage}") });
        }
    }
}

fn overdue<'a>(world: &World, request: &Request, created: Timestamp, stages: &'a [StageStatus]) -> Option<&'a str> {
    let limits = &request.build;
    let Some(stage) = stages.iter().find(|stage| stage.started_at.is_some() && stage.finished_at.is_none()) else {
        let waiting = stages.iter().all(|stage| stage.started_at.is_none());
        return (waiting && world.since(created) > limits.queue).then_some("queue");
    };
    let limit = match stage.name.as_str() {
        render::SOURCE => limits.source,
        render::COMPILE => limits.compile,
        render::MODULES | render::TEST => limits.test,
        _ => limits.push,
    };
    // The steps that are ours keep their own limit and say what they were doing; this is for those that cannot.
    let grace = SignedDuration::from_secs(10);
    let started = stage.started_at.as_ref()?.0;
    (world.now.duration_since(started) > SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX).saturating_add(grace))
        .then_some(stage.name.as_str())
}
