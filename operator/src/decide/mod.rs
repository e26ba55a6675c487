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
mod inputs;
mod known_errors;
mod plan;
mod queue;
mod request;
mod retention;
mod rollout;
mod source;
mod template;
mod windows;

pub use crate::step::identity::{Exchange, Identity};
pub use crate::step::source_request::Reference;
pub use inputs::{Inputs, Pins};
pub use known_errors::{KNOWN_ERRORS, KnownError, Pod, explained};
pub use plan::{
    Attestation, BuildVerdict, Cause, Conclusion, Decision, Effect, Failed, Outcome, Plan, Question, Refusal, Roll, TargetVerdict,
};
pub use queue::admitted;
pub use request::{
    BuildKit, BuildRequest, CacheClaim, Engine, Flavored, KanikoCache, MemoryRequest, ModulesRequest, OwnClaim, Reach, Request, SizeBudget,
    TargetRequest, TestRequest,
};

use crate::observe::World;
use crate::settings::Settings;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::{GoWindowsImageStatus, Handled};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use std::sync::LazyLock;
use std::time::Duration;

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

impl World {
    /// The status as it was last written; empty for an object that was never seen.
    pub fn status(&self) -> &GoWindowsImageStatus {
        static NONE: LazyLock<GoWindowsImageStatus> = LazyLock::new(GoWindowsImageStatus::default);
        self.object.status.as_ref().unwrap_or(&NONE)
    }

    /// An order's token that has not been acted on.
    fn order(&self, annotation: &str, handled: Option<&String>) -> Option<String> {
        self.object.annotations().get(annotation).filter(|token| Some(*token) != handled && !token.is_empty()).cloned()
    }

    /// The newest look-now token, ours before Flux's.
    fn look_now(&self, handled: &Handled) -> Option<String> {
        let annotations = self.object.annotations();
        let token = annotations.get(names::ORDER_REQUESTED_AT).or_else(|| annotations.get(names::ORDER_FLUX_REQUESTED_AT));
        token.filter(|token| Some(*token) != handled.requested_at.as_ref() && !token.is_empty()).cloned()
    }

    /// Asks, unless this pass asked already.
    fn ask(&self, questions: Vec<Question>) -> Result<(), Need> {
        let open: Vec<_> = questions.into_iter().filter(|question| !self.answers.asked.contains(question)).collect();
        if open.is_empty() { Ok(()) } else { Err(open) }
    }

    /// The time since a moment; zero for one that lies ahead.
    fn since(&self, moment: Timestamp) -> Duration {
        Duration::try_from(self.now.duration_since(moment)).unwrap_or_default()
    }

    /// A fraction in 0..1 that is the object's own: spreads what many objects would do at once.
    fn spread(&self) -> f64 {
        let uid = self.object.uid().unwrap_or_default();
        let hash = uid.bytes().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
        f64::from(hash) / f64::from(u32::MAX)
    }
}

impl Plan {
    /// Looks again after this time, or earlier where something earlier is planned.
    fn look_again(&mut self, after: Duration) {
        let after = after.max(Duration::from_millis(200));
        self.next = Some(self.next.map_or(after, |next| next.min(after)));
    }

    /// Looks again at a moment.
    fn look_again_at(&mut self, now: Timestamp, at: Timestamp) {
        self.look_again(Duration::try_from(at.duration_since(now)).unwrap_or_default());
    }
}

/// A moment later by a duration; the far future where that cannot be represented.
fn later(moment: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| moment.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// Exponential back-off: 10 s, 20 s, 40 s ... up to the ceiling, spread by up to a fifth per object.
fn backoff(times: u32, ceiling: Duration, spread: f64) -> Duration {
    let steps = times.saturating_sub(1).min(16);
    let plain = Duration::from_secs(10).saturating_mul(1 << steps).min(ceiling);
    plain.mul_f64(1.0 + spread / 5.0)
}

#[cfg(test)]
mod tests;
