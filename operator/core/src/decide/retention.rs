//! Which finished build Jobs are no longer worth keeping?
//!
//! The newest Job of the current inputs is never deleted: it holds the pins from which an unchanged world is recognised
//! after the status was lost. Neither is the one that made the last good image.

use super::later;
use gowindows_model::facts::{Build, BuildState, World};
use gowindows_model::plan::{BuildVerdict, Effect, Plan};
use gowindows_model::request::Request;
use kube_core::ResourceExt;
use std::time::Duration;

/// So long after their creation, tests without a build may still get it: a store can be behind.
const STRAY: Duration = Duration::from_secs(400);

pub(super) fn decide(world: &World, request: &Request, plan: &mut Plan) {
    // Before the inputs are known there is no telling which Job is the current one.
    let Some(current) = plan.conclusion.inputs.as_ref().map(gowindows_model::inputs::Inputs::fingerprint) else { return };
    let good = plan.conclusion.image.as_ref().and_then(|image| image.fingerprint.clone()).unwrap_or_default();
    let kept = |build: &Build| current.starts_with(&build.fingerprint) || good.starts_with(&build.fingerprint);
    let newest_first = || world.builds.iter().rev();
    let newest_of_kept =
        |build: &Build| newest_first().find(|other| other.fingerprint == build.fingerprint).is_some_and(|newest| newest.job == build.job);
    let (succeeded, failed) = request.keep;
    let succeeded = newest_first().filter(|build| matches!(build.state, BuildState::Succeeded(_))).skip(succeeded);
    let failed = newest_first().filter(|build| matches!(build.state, BuildState::Failed(_))).skip(failed);
    let surplus = succeeded.chain(failed).filter(|build| !(build.is_unfinished() || kept(build) && newest_of_kept(build)));
    // A build without its tests is one that lost them; tests without their build are nothing, nor are its parts.
    let jobs = surplus.flat_map(Build::all_jobs).map(str::to_owned);
    plan.effects.extend(jobs.map(Effect::DeleteJob));
    strays(world, plan);
}

/// Parts and tests whose build is gone decide nothing any more. Those whose build is being created are left alone.
fn strays(world: &World, plan: &mut Plan) {
    let created = |job: &str| plan.effects.iter().any(|effect| matches!(effect, Effect::CreateJob(new) if new.name_any() == job));
    if matches!(plan.conclusion.build, BuildVerdict::Blocked(_)) {
        return;
    }
    for (job, since) in world.strays.iter().filter(|(job, _)| !created(job)).cloned().collect::<Vec<_>>() {
        let over = later(since, STRAY);
        if over <= world.now {
            plan.effects.push(Effect::DeleteJob(job));
        } else {
            plan.look_again_at(world.now, over);
        }
    }
}
