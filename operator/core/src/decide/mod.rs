//! What shall be done, given what is known? The heart of the controller, and a pure function: no client, no clock, no
//! randomness. The time is part of the [`World`].
//!
//! ```text
//! specification -> Request | Refusal
//! source        -> Revision                (asks Question::Source when it is due)
//! Revision      -> Inputs + Cause          (asks Question::Base and ::Digest only when there is a cause)
//! Inputs        -> BuildVerdict + effects  (asks Question::Published when no Job and no status answers)
//! image         -> targets + effects
//! ```
//!
//! What it deliberately does not do: read or write anything, or remember anything between calls.

mod attest;
mod base;
mod build;
mod drift;
mod pace;
mod queue;
mod retention;
mod rollout;
mod source;
mod template;
mod windows;

pub use crate::read::{KNOWN_ERRORS, KnownError, Pod, explained};
pub use queue::admitted;

use gowindows_model::facts::World;
use gowindows_model::plan::{Decision, Plan, Question};
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use pace::{backoff, later};

/// A question that must be answered before the decision can be taken.
type Need = Vec<Question>;

/// Decides what to do.
pub fn decide(world: &World, settings: &Settings) -> Decision {
    match plan(world, settings) {
        Ok(plan) => Decision::Do(Box::new(plan)),
        Err(questions) => Decision::Ask(questions),
    }
}

fn plan(world: &World, settings: &Settings) -> Result<Plan, Need> {
    let mut plan = Plan::default();
    if world.object.metadata.deletion_timestamp.is_some() {
        return Ok(plan);
    }
    plan.conclusion.image.clone_from(&world.status().image);
    plan.conclusion.handled = world.status().handled.clone().unwrap_or_default();
    let request = match Request::new(&world.object, settings) {
        Ok(request) => request,
        Err(refusal) => {
            plan.conclusion.refusal = Some(refusal);
            return Ok(plan);
        }
    };
    plan.conclusion.suspended = world.object.spec.suspend == Some(true);
    if plan.conclusion.suspended {
        plan.conclusion.request = Some(request);
        return Ok(plan);
    }
    source::decide(world, &request, &mut plan)?;
    drift::decide(world, &request, settings, &mut plan)?;
    build::decide(world, &request, settings, &mut plan)?;
    queue::decide(world, settings, &mut plan);
    rollout::decide(world, &request, &mut plan)?;
    retention::decide(world, &request, &mut plan);
    attest::decide(world, &request, settings, &mut plan);
    let image = plan.conclusion.image.iter();
    let versions: Vec<&str> = image.flat_map(|image| &image.platforms).map(|platform| platform.os_version.as_str()).collect();
    plan.conclusion.note = base::notes(world, &versions, &settings.releases());
    plan.conclusion.request = Some(request);
    Ok(plan)
}

#[cfg(test)]
mod tests;
