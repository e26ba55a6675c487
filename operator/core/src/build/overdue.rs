//! Which stage of a build, or of its tests, takes longer than its limit?

use super::{Building, stop as stop_job};
use gowindows_crds::v1alpha1::StageStatus;
use gowindows_model::facts::{Build, BuildState, CurrentJob, World};
use gowindows_model::request::Request;
use gowindows_model::wire::stages::{COMPILE, MODULES, SOURCE, TEST};
use gowindows_model::wire::stopped::Stopped;
use k8s_openapi::jiff::SignedDuration;

/// Ends the Jobs of which one does.
pub(super) fn stop(world: &World, request: &Request, part: &mut Building, build: &Build) {
    let own = build.current.iter().map(|current| (current, &build.state, &build.stages));
    let tests = build.test_run().and_then(|run| Some((run.current.as_ref()?, &run.state, &run.stages)));
    for (current, state, stages) in own.chain(tests) {
        if let Some(stage) = overdue(world, request, current, state, stages) {
            stop_job(part, &current.job, Stopped::Timeout { stage: stage.to_owned() });
        }
    }
}

fn overdue<'a>(world: &World, request: &Request, current: &CurrentJob, state: &BuildState, stages: &'a [StageStatus]) -> Option<&'a str> {
    let limits = &request.build;
    let Some(stage) = stages.iter().find(|stage| stage.started_at.is_some() && stage.finished_at.is_none()) else {
        let waits = matches!(state, BuildState::Queued(_)) && current.since.is_some_and(|since| world.since(since) > limits.queue);
        return waits.then_some("queue");
    };
    let limit = match stage.name.as_str() {
        SOURCE => limits.source,
        COMPILE => limits.compile,
        MODULES | TEST => limits.test,
        _ => limits.push,
    };
    // The steps that are ours keep their own limit and say what they were doing; this is for those that cannot.
    let grace = SignedDuration::from_secs(10);
    let started = stage.started_at.as_ref()?.0;
    (world.now.duration_since(started) > SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX).saturating_add(grace))
        .then_some(stage.name.as_str())
}
