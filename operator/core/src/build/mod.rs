//! Where do the newest inputs stand on their way to a published image, and what moves them on?
//!
//! ```text
//!            no Job, not at the registry          Job succeeded, registry confirms
//!  inputs ------------------------------> Active ---------------------------------> Published
//!     |                                     | failed                                    ^
//!     |  the registry has the image         v                                           |
//!     +--------------------------------> Failed --(class allows, time has come)--> next attempt
//! ```
//!
//! Where tests are a gate, a build is two Jobs, and the image is published by [`gate`]. A build that has begun comes to its end even where
//! nobody can tell any more what should be built.
//!
//! Job names are made of uid, inputs and attempt, so that a decision taken twice meets itself.

mod adopt;
mod base;
mod gate;
mod hold;
mod inputs;
mod learned;
mod memory;
mod overdue;
mod queue;
pub mod render;
mod report;
mod retention;
mod retry;
mod start;
mod windows;

pub(crate) use inputs::inputs;
pub use queue::{admitted, places};
pub(crate) use report::{BuildSection, condition, report};
pub(crate) use retention::decide as retention;

use gowindows_crds::conditions::Reason;
use gowindows_model::facts::{Build, BuildState, Order, World};
use gowindows_model::inputs::Inputs;
use gowindows_model::plan::{Aspect, BuildProgress, BuildVerdict, Cause, Part, Pinned, SourceVerdict, Step, WantedBuild, Write};
use gowindows_model::question::Need;
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use gowindows_model::wire::stopped::Stopped;
use std::sync::Arc;

/// What of this aspect is decided.
type Building = Part<BuildVerdict>;

/// A release that is to be there, and all that its decision depends on.
struct Release<'a> {
    world: &'a World,
    request: &'a Arc<Request>,
    settings: &'a Settings,
    source: &'a SourceVerdict,
    inputs: &'a Inputs,
    cause: Option<&'a Cause>,
}

/// What becomes of the images that should be there.
pub(crate) fn decide(
    world: &World,
    request: &Arc<Request>,
    settings: &Settings,
    source: &SourceVerdict,
    wanted: &[WantedBuild],
) -> Result<Building, Need> {
    let mut part = Part::new(BuildVerdict { learned: memory::learned(world, request), ..BuildVerdict::default() });
    cancel(world, &mut part);
    match wanted.first().map(|wanted| &wanted.pinned) {
        Some(Ok(Pinned { inputs, cause })) => {
            part.verdict.inputs = Some(inputs.clone());
            part.verdict.cause.clone_from(cause);
            Release { world, request, settings, source, inputs, cause: cause.as_ref() }.decide(&mut part)?;
        }
        other => {
            if let Some(Err(trouble)) = other {
                part.verdict.progress = BuildProgress::Blocked(trouble.clone());
            }
            for build in world.builds.iter().filter(|build| build.state.is_active()) {
                keep_going(world, request, &mut part, build);
            }
        }
    }
    queue::explain(world, &mut part.verdict);
    Ok(part)
}

/// Builds that have begun, under a specification that cannot be carried out: their Jobs follow each other, and may be cancelled. How long a
/// stage may take is not known; the Jobs' own deadlines are.
pub(crate) fn go_on(world: &World) -> Building {
    let mut part = Part::new(BuildVerdict::default());
    cancel(world, &mut part);
    for build in world.builds.iter().filter(|build| build.state.is_active()) {
        resume(&mut part, build);
    }
    part
}

impl Release<'_> {
    fn decide(&self, part: &mut Building) -> Result<(), Need> {
        let Self { world, inputs, .. } = self;
        let mine = |build: &&Build| is_of(build, inputs);
        supersede(world, part, inputs);
        if let Some(token) = world.rebuild_token() {
            if !world.builds.iter().any(|build| build.rebuild_token.as_ref() == Some(&token)) {
                return self.start(part, next_attempt(world, inputs), Some(token));
            }
            part.acknowledged.push(Order::Rebuild(token));
        }
        let newest = world.builds.iter().filter(mine).max_by_key(|build| build.attempt);
        match newest {
            Some(build) if build.attempt >= recorded_attempt(world, inputs.fingerprint()) => self.follow(part, build)?,
            // The Job of the last attempt is gone, or has lost its labels; that of one before would lead to an attempt that was made already.
            _ => self.without_job(part)?,
        }
        self.recover(part)
    }

    /// There is a Job for these inputs.
    fn follow(&self, part: &mut Building, build: &Build) -> Result<(), Need> {
        match &build.state {
            BuildState::Queued(_) | BuildState::Running => {
                keep_going(self.world, self.request, part, build);
                part.verdict.progress = BuildProgress::Active(build.clone());
                Ok(())
            }
            BuildState::Succeeded(_) => self.confirm(part, build),
            BuildState::Failed(failure) => {
                gate::end_the_other(part, build, failure.reason);
                self.retry(part, build, failure.reason, &failure.message)
            }
        }
    }
}

/// A build that has not ended: its Jobs follow each other, and none takes longer than it may.
fn keep_going(world: &World, request: &Request, part: &mut Building, build: &Build) {
    overdue::stop(world, request, part, build);
    memory::relieve(world, request, part, build);
    resume(part, build);
}

fn resume(part: &mut Building, build: &Build) {
    for job in build.to_resume() {
        part.write(Aspect::Build, Write::Resume { job: job.to_owned() });
    }
}

fn stop(part: &mut Building, job: &str, why: Stopped) {
    part.write(Aspect::Build, Write::Stop { job: job.to_owned(), why });
}

fn fail(part: &mut Building, build: Option<&Build>, reason: Reason, message: String) {
    part.verdict.progress = BuildProgress::Failed { build: build.cloned(), reason, message, retry_at: None };
}

/// Whether a build is of these inputs: its Job's label has the first digits of their fingerprint.
fn is_of(build: &Build, inputs: &Inputs) -> bool {
    inputs.fingerprint().starts_with(&build.fingerprint)
}

/// The newest attempt that the status knows of, at inputs whose fingerprint begins so.
fn recorded_attempt(world: &World, fingerprint: &str) -> i32 {
    world.status().build.as_ref().filter(|build| build.fingerprint.starts_with(fingerprint)).map_or(0, |build| build.attempt)
}

/// The one after all that Jobs or the status know of.
fn next_attempt(world: &World, inputs: &Inputs) -> i32 {
    let attempts = world.builds.iter().filter(|build| is_of(build, inputs)).map(|build| build.attempt);
    attempts.max().unwrap_or(0).max(recorded_attempt(world, inputs.fingerprint())).saturating_add(1)
}

/// A new cancel order stops whatever runs.
fn cancel(world: &World, part: &mut Building) {
    let Some(order) = world.cancel_order() else { return };
    for job in world.builds.iter().flat_map(Build::to_stop).flatten() {
        let write = Write::Stop { job: job.to_owned(), why: Stopped::Cancelled };
        part.steps.push(Step { aspect: Aspect::Build, write, acknowledges: Some(order.clone()), after: None });
    }
    part.acknowledged.push(order);
}

/// Builds of other inputs than the newest are pointless.
fn supersede(world: &World, part: &mut Building, inputs: &Inputs) {
    for job in world.builds.iter().filter(|build| !is_of(build, inputs)).flat_map(Build::to_stop).flatten() {
        stop(part, job, Stopped::Superseded);
    }
}
