//! Which finished build Jobs are no longer worth keeping?
//!
//! The newest Job of the current inputs is never deleted: it holds the pins from which an unchanged world is recognised
//! after the status was lost. Neither is the one that made the last good image.

use super::{Effect, Plan, Request};
use crate::observe::{Build, BuildState, World};

pub(super) fn decide(world: &World, request: &Request, plan: &mut Plan) {
    // Before the inputs are known there is no telling which Job is the current one.
    let Some(current) = plan.conclusion.inputs.as_ref().map(super::Inputs::fingerprint) else { return };
    let good = plan.conclusion.image.as_ref().and_then(|image| image.fingerprint.clone()).unwrap_or_default();
    let kept = |build: &Build| current.starts_with(&build.fingerprint) || good.starts_with(&build.fingerprint);
    let newest_first = || world.builds.iter().rev();
    let newest_of_kept =
        |build: &Build| newest_first().find(|other| other.fingerprint == build.fingerprint).is_some_and(|newest| newest.job == build.job);
    let (succeeded, failed) = request.keep;
    let succeeded = newest_first().filter(|build| matches!(build.state, BuildState::Succeeded(_))).skip(succeeded);
    let failed = newest_first().filter(|build| matches!(build.state, BuildState::Failed(_))).skip(failed);
    let surplus = succeeded.chain(failed).filter(|build| !(kept(build) && newest_of_kept(build)));
    plan.effects.extend(surplus.map(|build| Effect::DeleteJob(build.job.clone())));
}
