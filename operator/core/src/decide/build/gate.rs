//! Have the tests of a build passed, and what follows for its image?
//!
//! A gated build pushes under `gw-untested-...`, a tag that nobody looks at but this module. When its tests have passed, `gw-...` is
//! pointed at the same digest, and from there on the image is as any other. So the tag `gw-...` of inputs with tests says that they passed,
//! whoever asks and whatever was forgotten since.

use super::super::{Need, backoff};
use super::retry::{self, LONGEST_BACKOFF};
use super::{fail, violation};
use crate::read::PART;
use gowindows_crds::conditions::Reason;
use gowindows_model::facts::{Build, BuildState, Seen, World};
use gowindows_model::inputs::Inputs;
use gowindows_model::plan::{BuildVerdict, Effect, Plan, Question};
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use std::time::Duration;

/// A tag that was moved is asked for after this time.
const CONFIRM: Duration = Duration::from_secs(1);

/// Whether a build of these inputs has to wait for tests. Those that passed already did so for each image of this program.
pub(super) fn is_needed(world: &World, inputs: &Inputs) -> bool {
    let Some(wanted) = inputs.passed_tests() else { return false };
    let passed_before = world.status().image.as_ref().and_then(|image| image.tests.as_ref()) == Some(&wanted);
    let passed = |build: &Build| build.has_passed() && build.inputs.as_ref().and_then(Inputs::passed_tests).as_ref() == Some(&wanted);
    !passed_before && !world.builds.iter().any(passed)
}

/// Once one of the two Jobs has failed, the other is of no use.
pub(super) fn end_the_other(plan: &mut Plan, build: &Build, reason: Reason) {
    let [own, tests] = build.to_stop();
    let idle = |job: &str| build.idle.iter().chain(build.test_run().iter().flat_map(|run| &run.idle)).any(|idle| idle == job);
    let others = [(own, format!("Tests/{reason}")), (tests, "BuildFailed".to_owned())];
    for (jobs, why) in others {
        let why = |job: &str| if idle(job) { format!("{PART}/{reason}") } else { why.clone() };
        plan.effects.extend(jobs.into_iter().map(|job| Effect::StopJob { job: job.to_owned(), why: why(job) }));
    }
}

/// The build succeeded, and its image is not published yet: it is, now that its tests have passed.
pub(super) fn promote(world: &World, request: &Request, settings: &Settings, plan: &mut Plan, build: &Build) -> Result<(), Need> {
    let (Some(inputs), BuildState::Succeeded(result)) = (plan.conclusion.inputs.clone(), &build.state) else { return Ok(()) };
    if !build.has_passed() {
        let message = "The Job of the build's tests was deleted before the image was published.";
        retry::decide(world, request, settings, plan, build, Reason::Lost, message);
        return Ok(());
    }
    let waiting = inputs.untested_tag();
    world.ask(vec![Question::Published(waiting.clone())])?;
    match world.answers.published.get(&waiting) {
        Some(Seen::Fresh(Some(pushed), _)) => match violation(pushed, result.as_ref().map(|result| result.digest.as_str())) {
            Some(violation) => fail(plan, Some(build), Reason::VerificationFailed, format!("The image is not used: {violation}.")),
            None => {
                plan.effects.push(Effect::Promote { digest: pushed.image.digest.clone(), tag: inputs.tag() });
                plan.look_again(CONFIRM);
                plan.conclusion.build = BuildVerdict::Unconfirmed(build.clone(), None);
            }
        },
        Some(Seen::Fresh(None, _)) => {
            let message = format!("The build succeeded but {}:{waiting} is not at the registry any more.", request.repository);
            retry::decide(world, request, settings, plan, build, Reason::Lost, &message);
        }
        other => {
            let trouble = other.and_then(Seen::trouble).cloned();
            plan.look_again(backoff(trouble.as_ref().map_or(1, |trouble| trouble.times), LONGEST_BACKOFF, world.spread()));
            plan.conclusion.registry_trouble.clone_from(&trouble);
            plan.conclusion.build = BuildVerdict::Unconfirmed(build.clone(), trouble);
        }
    }
    Ok(())
}
