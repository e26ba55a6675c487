//! Which finished build Jobs are no longer worth keeping?
//!
//! The newest Job of the current inputs is never deleted: it holds the pins from which an unchanged world is recognised
//! after the status was lost. Neither is the one that made the last good image.

use super::is_of;
use crate::pace::later;
use gowindows_model::facts::{Build, BuildState, World};
use gowindows_model::plan::{Aspect, BuildProgress, BuildVerdict, Good, Part, Write};
use std::time::Duration;

/// So long after their creation, tests without a build may still get it: a store can be behind.
const ORPHAN: Duration = Duration::from_secs(400);

/// Deletes what is surplus; `keep` are the numbers of succeeded and of failed Jobs.
pub(crate) fn decide(world: &World, keep: (usize, usize), build: &BuildVerdict, good: Option<&Good>) -> Part<()> {
    let mut part = Part::new(());
    // Before the inputs are known there is no telling which Job is the current one.
    let Some(current) = &build.inputs else { return part };
    let good = good.and_then(|good| good.image.fingerprint.clone()).unwrap_or_default();
    let kept = |build: &Build| is_of(build, current) || good.starts_with(&build.fingerprint);
    let newest_first = || world.builds.iter().rev();
    let newest_of_kept =
        |build: &Build| newest_first().find(|other| other.fingerprint == build.fingerprint).is_some_and(|newest| newest.job == build.job);
    let (succeeded, failed) = keep;
    let succeeded = newest_first().filter(|build| matches!(build.state, BuildState::Succeeded(_))).skip(succeeded);
    let failed = newest_first().filter(|build| matches!(build.state, BuildState::Failed(_))).skip(failed);
    let surplus = succeeded.chain(failed).filter(|build| !(build.is_unfinished() || kept(build) && newest_of_kept(build)));
    // A build without its tests is one that lost them; tests without their build are nothing, nor are its parts.
    for job in surplus.flat_map(Build::all_jobs) {
        delete(&mut part, job);
    }
    orphans(world, &build.progress, &mut part);
    part
}

fn delete(part: &mut Part<()>, job: &str) {
    part.write(Aspect::Retention, Write::Delete { job: job.to_owned() });
}

/// Parts and tests whose build is gone decide nothing any more. Those whose build is being created are left alone.
fn orphans(world: &World, progress: &BuildProgress, part: &mut Part<()>) {
    let starting = match progress {
        BuildProgress::Blocked(_) => return,
        BuildProgress::Starting { job, .. } => Some(job.as_str()),
        _ => None,
    };
    // The names of all Jobs of a build begin with that of the last.
    let created = |job: &str| starting.is_some_and(|build| job.starts_with(build));
    for (job, since) in world.orphans.iter().filter(|(job, _)| !created(job)) {
        let over = later(*since, ORPHAN);
        if over <= world.now {
            delete(part, job);
        } else {
            part.requeue_at(world.now, over);
        }
    }
}
