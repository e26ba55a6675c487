//! Which stage of a build, or of its tests, takes longer than its limit, and when would the next one?

use super::{Building, stop as stop_job};
use gowindows_crds::v1alpha1::StageStatus;
use gowindows_model::facts::{Build, BuildState, CurrentJob, World};
use gowindows_model::request::Request;
use gowindows_model::wire::stages::{COMPILE, MODULES, SOURCE, TEST};
use gowindows_model::wire::stopped::Stopped;
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// The steps that are ours keep their own limit and say what they were doing; this is for those that cannot.
const GRACE: Duration = Duration::from_secs(10);

/// Ends the Jobs of which one does, and looks again when the next one would: what waits or runs is looked at for nothing else.
pub(super) fn stop(world: &World, request: &Request, part: &mut Building, build: &Build) {
    // Modules have as long as what needs them.
    let [of_program, of_tests] = [request.build.compile, request.build.test];
    let own = build.current.iter().map(|current| (current, &build.state, &build.stages, of_program));
    let tests = build.test_run().and_then(|run| Some((run.current.as_ref()?, &run.state, &run.stages, of_tests)));
    for (current, state, stages, modules) in own.chain(tests) {
        let Some((stage, end)) = limit(request, modules, current, state, stages) else { continue };
        if end < world.now {
            stop_job(part, &current.job, Stopped::Timeout { stage: stage.to_owned() });
        } else {
            // A moment past it.
            part.requeue_at(world.now, crate::pace::later(end, Duration::from_millis(1)));
        }
    }
}

/// The stage of a Job that has a limit now, and its end.
fn limit<'a>(
    request: &Request,
    modules: Duration,
    current: &CurrentJob,
    state: &BuildState,
    stages: &'a [StageStatus],
) -> Option<(&'a str, Timestamp)> {
    let limits = &request.build;
    let Some(stage) = stages.iter().find(|stage| stage.started_at.is_some() && stage.finished_at.is_none()) else {
        let since = current.since.filter(|_| matches!(state, BuildState::Queued(_)))?;
        return Some(("queue", crate::pace::later(since, limits.queue)));
    };
    let limit = match stage.name.as_str() {
        SOURCE => limits.source,
        MODULES => modules,
        COMPILE => limits.compile,
        TEST => limits.test,
        _ => limits.push,
    };
    Some((stage.name.as_str(), crate::pace::later(stage.started_at.as_ref()?.0, limit.saturating_add(GRACE))))
}
