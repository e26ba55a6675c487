//! What shall be done, given what is known, and what is said of it? The heart of the controller, and pure: no client, no clock, no
//! randomness. The time is part of the [`World`].
//!
//! ```text
//! specification -> Request | Refusal
//! source   polls when it is due                    -> the commit
//! build    inputs, their cause, a build, its image -> an image of a release
//! publish  tags, provenance, signature             -> what is published
//! rollout  what each target should run             -> writes to workloads
//! ```
//!
//! Composition only. `?` carries open questions and nothing else: a trouble or a refusal is a verdict, and the aspects after it go on
//! with what is published.

use crate::{build, publish, rollout, source, status, tuning};
use gowindows_crds::v1alpha1::GoWindowsImageStatus;
use gowindows_model::facts::World;
use gowindows_model::plan::{Decision, Outcome, Plan, RolloutVerdict, SpecVerdict, Verdicts, Wish};
use gowindows_model::question::{Need, Question};
use gowindows_model::request::{Refusal, Request, RunRequest};
use gowindows_model::settings::Settings;
use std::sync::Arc;

/// A decision asks in fewer rounds than these, whatever is declared: more would mean that an answer raises its own question.
pub const ROUNDS: usize = 16;

/// Decides what to do.
pub fn decide(world: &World, settings: &Settings) -> Decision {
    match plan(world, settings) {
        Ok(plan) => Decision::Do(Box::new(plan)),
        Err(questions) => Decision::Ask(questions),
    }
}

/// The whole status after a pass: each aspect writes its own section, what summarises them comes last.
pub fn report(world: &World, plan: &Plan, outcome: &Outcome) -> GoWindowsImageStatus {
    status::status(world, plan, outcome)
}

fn plan(world: &World, settings: &Settings) -> Result<Plan, Need> {
    if world.object.metadata.deletion_timestamp.is_some() {
        return Ok(Plan::default());
    }
    let suspended = world.object.spec.suspend == Some(true);
    match Request::new(&world.object, settings).map(Arc::new) {
        Ok(request) if suspended => Ok(nothing(world, SpecVerdict::Suspended(request))),
        Err(refusal) if suspended => Ok(nothing(world, SpecVerdict::Refused { refusal, run: None })),
        Ok(request) => accepted(world, request, settings),
        Err(refusal) => refused(world, refusal, settings),
    }
}

fn accepted(world: &World, request: Arc<Request>, settings: &Settings) -> Result<Plan, Need> {
    let mut parts = Plan::default();
    let source = parts.take(source::decide(world, &request)?);
    let wish = tuning::wish(world, &request);
    let wanted = parts.take(build::inputs(world, &request, settings, &source, wish)?);
    let build = parts.take(build::decide(world, &request, settings, &source, &wanted)?);
    let publish = parts.take(publish::decide(world, &request, settings, &build)?);
    let rollout = parts.take(rollout::decide(world, &request.run, publish.good.as_ref(), build.published(), wish)?);
    parts.take(build::retention(world, request.keep, &build, publish.good.as_ref()));
    parts.would_refuse = would_refuse(world, &request);
    let verdicts = Verdicts { spec: SpecVerdict::Accepted(request), source, build, publish, rollout };
    Ok(Plan::of(verdicts, parts))
}

/// What this pass has looked at and goes on, for the time of an upgrade.
fn would_refuse(world: &World, request: &Request) -> Vec<String> {
    let looked = |question: Option<Question>| question.is_some_and(|question| world.answers.asked.contains(&question));
    let git = world.answers.git_login.value().filter(|_| looked(request.git_login())).and_then(|login| login.unbound.clone());
    let modules = request.modules.secret.clone().map(|secret| Question::Modules { secret });
    let modules = world.answers.modules.value().filter(|_| looked(modules)).and_then(|login| login.unbound.clone());
    git.into_iter().chain(modules).collect()
}

/// A specification that cannot be carried out builds nothing new. Builds that have begun come to their end, and targets get what is
/// published, as far as the specification still says which.
fn refused(world: &World, refusal: Refusal, settings: &Settings) -> Result<Plan, Need> {
    let mut parts = Plan::default();
    let build = parts.take(build::go_on(world));
    let run = RunRequest::new(&world.object, settings).ok().map(Arc::new);
    let mut publish = publish::as_recorded(world);
    let run = run.zip(publish.newest.clone()).filter(|(run, image)| image.reference == run.reference(&image.digest));
    let mut rollout = RolloutVerdict::default();
    if let Some((run, image)) = &run {
        publish = parts.take(publish::go_on(world, run, settings, image.clone()));
        rollout = parts.take(rollout::decide(world, run, publish.good.as_ref(), None, Wish::default())?);
    }
    let spec = SpecVerdict::Refused { refusal, run: run.map(|(run, _)| run) };
    let verdicts = Verdicts { spec, build, publish, rollout, ..Verdicts::default() };
    Ok(Plan::of(verdicts, parts))
}

/// Nothing is done, and what was known stands.
fn nothing(world: &World, spec: SpecVerdict) -> Plan {
    let publish = publish::as_recorded(world);
    Plan { verdicts: Verdicts { spec, publish, ..Verdicts::default() }, ..Plan::default() }
}

#[cfg(test)]
mod tests;
