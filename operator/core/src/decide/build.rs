//! Where do the newest inputs stand on their way to a published image, and what moves them on?
//!
//! ```text
//!            no Job, not at the registry          Job succeeded, registry confirms
//!  inputs ------------------------------> Active ---------------------------------> Published -> tags
//!     |                                     | failed                                    ^
//!     |  the registry has the image         v                                           |
//!     +--------------------------------> Failed --(class allows, time has come)--> next attempt
//! ```
//!
//! Where tests are a gate, a build is two Jobs, and the image is published by [`gate`].
//!
//! Job names are made of uid, inputs and attempt, so that a decision taken twice meets itself.

mod gate;
mod hold;
mod memory;
mod overdue;
mod retry;

use super::{Need, queue, windows};
use crate::render;
use gowindows_crds::conditions::Reason;
use gowindows_crds::durations::go_duration;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::{BuildPhase, ImageStatus};
use gowindows_model::facts::{Build, BuildState, Published, Seen, Trouble, World};
use gowindows_model::inputs::Inputs;
use gowindows_model::plan::{BuildVerdict, Effect, Plan, Question};
use gowindows_model::request::Request;
use gowindows_model::request::growth_percent;
use gowindows_model::settings::Settings;
use gowindows_model::wire::assemble::KnownProgram;
use k8s_openapi::jiff::Timestamp;
use kube_core::ResourceExt;
use std::time::Duration;

pub(super) use retry::LONGEST_BACKOFF;

/// How often a running build is looked at beside events: for its stages' limits.
const WATCH: Duration = Duration::from_secs(15);

pub(super) fn decide(world: &World, request: &Request, settings: &Settings, plan: &mut Plan) -> Result<(), Need> {
    advance(world, request, settings, plan)?;
    hold::back(world, request, plan)
}

fn advance(world: &World, request: &Request, settings: &Settings, plan: &mut Plan) -> Result<(), Need> {
    plan.conclusion.learned = memory::learned(world, request);
    cancel(world, plan);
    let Some(inputs) = plan.conclusion.inputs.clone() else { return Ok(()) };
    let fingerprint = inputs.fingerprint();
    let mine = |build: &&Build| fingerprint.starts_with(&build.fingerprint);
    supersede(world, plan, &fingerprint);
    let rebuild = world.order(names::ORDER_REBUILD, plan.conclusion.handled.rebuild.as_ref());
    if let Some(token) = rebuild {
        plan.conclusion.handled.rebuild = Some(token.clone());
        if !world.builds.iter().any(|build| build.rebuild_token.as_ref() == Some(&token)) {
            start(world, request, settings, plan, next_attempt(world, &fingerprint), Some(token));
            return Ok(());
        }
    }
    let newest = world.builds.iter().filter(mine).max_by_key(|build| build.attempt);
    match newest {
        Some(build) if build.attempt >= recorded_attempt(world, &fingerprint) => follow(world, request, settings, plan, build)?,
        // The Job of the last attempt is gone, or has lost its labels; that of one before would lead to an attempt that was made already.
        _ => without_job(world, request, settings, plan, &fingerprint)?,
    }
    recover(world, request, &fingerprint, plan)
}

/// Where the status was lost while something else is built, the last good image is that of the newest build before, if the registry has
/// it and the targets run it. Nothing else: a guess would be rolled out.
fn recover(world: &World, request: &Request, fingerprint: &str, plan: &mut Plan) -> Result<(), Need> {
    let before = |build: &&Build| !fingerprint.starts_with(&build.fingerprint) && !matches!(build.state, BuildState::Failed(_));
    let newest = world.builds.iter().rev().find(before).filter(|build| matches!(build.state, BuildState::Succeeded(_)));
    let (None, Some((build, inputs))) = (&plan.conclusion.image, newest.and_then(|build| Some((build, build.inputs.as_ref()?)))) else {
        return Ok(());
    };
    let tag = inputs.tag();
    if !world.answers.published.contains_key(&tag) {
        world.ask(vec![Question::Published(tag.clone())])?;
    }
    let mut containers = world.workloads.iter().flatten().flat_map(|workload| &workload.containers);
    let mut runs = |image: &ImageStatus| containers.any(|container| container.image == image.reference);
    let served = world.answers.published.get(&tag).and_then(Seen::value).and_then(Option::as_ref);
    let good = served.filter(|served| served.violations.is_empty() && (request.targets.is_empty() || runs(&served.image)));
    if let Some(good) = good {
        plan.conclusion.image = Some(image_of(good, world, Some(inputs), Some(build)));
    }
    Ok(())
}

/// There is a Job for these inputs.
fn follow(world: &World, request: &Request, settings: &Settings, plan: &mut Plan, build: &Build) -> Result<(), Need> {
    match &build.state {
        BuildState::Queued(_) | BuildState::Running => {
            overdue::stop(world, request, plan, build);
            memory::relieve(world, request, plan, build);
            plan.effects.extend(build.to_resume().map(|job| Effect::ResumeJob(job.to_owned())));
            plan.look_again(WATCH);
            plan.conclusion.build = BuildVerdict::Active(build.clone());
            Ok(())
        }
        BuildState::Succeeded(_) => confirm(world, request, settings, plan, build),
        BuildState::Failed(failure) => {
            gate::end_the_other(plan, build, failure.reason);
            retry::decide(world, request, settings, plan, build, failure.reason, &failure.message);
            Ok(())
        }
    }
}

/// A Job succeeded: the registry must say so too, once per image.
fn confirm(world: &World, request: &Request, settings: &Settings, plan: &mut Plan, build: &Build) -> Result<(), Need> {
    let BuildState::Succeeded(result) = &build.state else { return Ok(()) };
    let digest = result.as_ref().map(|result| result.digest.as_str());
    if let Some(image) = known(world, request, plan).filter(|image| digest.is_none_or(|digest| digest == image.digest)) {
        use_image(world, request, settings, plan, image, Some(build));
        return Ok(());
    }
    let Some(tag) = plan.conclusion.inputs.as_ref().map(Inputs::tag) else { return Ok(()) };
    world.ask(vec![Question::Published(tag.clone())])?;
    match world.answers.published.get(&tag) {
        Some(Seen::Fresh(Some(published), _)) if violation(published, digest).is_none() => {
            let image = image_of(published, world, plan.conclusion.inputs.as_ref(), Some(build));
            accept(world, request, settings, plan, image, Some(build));
        }
        Some(Seen::Fresh(..)) if build.tests.is_some() => return gate::promote(world, request, settings, plan, build),
        Some(Seen::Fresh(Some(published), _)) => {
            let violation = violation(published, digest).unwrap_or_default();
            fail(plan, Some(build), Reason::VerificationFailed, format!("The image is not used: {violation}."));
        }
        Some(Seen::Fresh(None, _)) => {
            let message = format!("The build succeeded but {}:{tag} is not at the registry any more.", request.repository);
            retry::decide(world, request, settings, plan, build, Reason::Lost, &message);
        }
        other => {
            let trouble = other.and_then(Seen::trouble).cloned();
            plan.look_again(super::backoff(trouble.as_ref().map_or(1, |trouble| trouble.times), LONGEST_BACKOFF, world.spread()));
            plan.conclusion.registry_trouble.clone_from(&trouble);
            plan.conclusion.build = BuildVerdict::Unconfirmed(build.clone(), trouble);
        }
    }
    Ok(())
}

/// Why what the registry serves is not used: it is not what the build reported, or it breaks a rule.
fn violation(published: &Published, reported: Option<&str>) -> Option<String> {
    let served = &published.image.digest;
    let another = reported.filter(|digest| digest != served);
    let another = another.map(|digest| format!("the build reported {digest} and the registry serves {served}"));
    another.or_else(|| published.violations.first().cloned())
}

/// There is no Job for these inputs: they may be published already, be lost, or be new.
fn without_job(world: &World, request: &Request, settings: &Settings, plan: &mut Plan, fingerprint: &str) -> Result<(), Need> {
    if let Some(image) = known(world, request, plan) {
        use_image(world, request, settings, plan, image, None);
        return Ok(());
    }
    let recorded = world.status().build.as_ref().filter(|build| build.fingerprint == fingerprint);
    if let Some(recorded) = recorded {
        let failure = recorded.failure.clone();
        match (recorded.phase, failure) {
            // The image is there; whether it is too large is asked again, for the budget may have been raised.
            (BuildPhase::Failed, Some(failure)) if retry::reason(&failure.reason) == Reason::SizeBudgetExceeded => {}
            (BuildPhase::Failed, Some(failure))
                if !retry::recovers(&failure.reason) || memory::is_hopeless(world, request, fingerprint) =>
            {
                fail(plan, None, retry::reason(&failure.reason), failure.message);
                return Ok(());
            }
            (BuildPhase::Failed, _) => {}
            (BuildPhase::Queued | BuildPhase::Running, _) if recorded.attempt > request.build.retries => {
                let message =
                    format!("Job {} was deleted before it ended, and build.retries ({}) are used up.", recorded.job, request.build.retries);
                fail(plan, None, Reason::Lost, message);
                return Ok(());
            }
            (BuildPhase::Queued | BuildPhase::Running | BuildPhase::Succeeded, _) => {}
        }
    }
    let Some(tag) = plan.conclusion.inputs.as_ref().map(Inputs::tag) else { return Ok(()) };
    world.ask(vec![Question::Published(tag.clone())])?;
    match world.answers.published.get(&tag) {
        Some(Seen::Fresh(Some(published), _)) if published.violations.is_empty() => {
            let image = image_of(published, world, plan.conclusion.inputs.as_ref(), None);
            accept(world, request, settings, plan, image, None);
        }
        Some(Seen::Unknown(trouble) | Seen::Stale(_, trouble)) if blocks_build(trouble, request) => {
            plan.look_again(super::backoff(trouble.times, LONGEST_BACKOFF, world.spread()));
            plan.conclusion.registry_trouble = Some(trouble.clone());
            plan.conclusion.build = BuildVerdict::Blocked(trouble.clone());
        }
        // Not there, broken, or not readable with credentials that may still push (Docker Hub refuses to read what does not exist).
        _ => start(world, request, settings, plan, 1 + recorded_attempt(world, fingerprint), None),
    }
    Ok(())
}

fn blocks_build(trouble: &Trouble, request: &Request) -> bool {
    trouble.reason != Reason::RegistryAuthFailed || (request.push_secret.is_none() && request.identity.is_none())
}

/// The last good image, if it is of these inputs and in this repository.
fn known(world: &World, request: &Request, plan: &Plan) -> Option<ImageStatus> {
    let fingerprint = plan.conclusion.inputs.as_ref()?.fingerprint();
    let image = world.status().image.clone()?;
    let here = image.reference == format!("{}@{}", request.repository, image.digest);
    // Others can edit a status: where the registry says otherwise, it is believed.
    let served = world.answers.published.get(&names::fingerprint_tag(&fingerprint)).and_then(Seen::value);
    let contradicted = served.and_then(Option::as_ref).is_some_and(|served| served.image.digest != image.digest);
    (here && !contradicted && image.fingerprint.as_deref() == Some(fingerprint.as_str())).then_some(image)
}

/// The newest attempt that the status knows of, at inputs whose fingerprint begins so.
fn recorded_attempt(world: &World, fingerprint: &str) -> i32 {
    world.status().build.as_ref().filter(|build| build.fingerprint.starts_with(fingerprint)).map_or(0, |build| build.attempt)
}

/// The one after all that Jobs or the status know of.
fn next_attempt(world: &World, fingerprint: &str) -> i32 {
    let attempts = world.builds.iter().filter(|build| fingerprint.starts_with(&build.fingerprint)).map(|build| build.attempt);
    1 + attempts.max().unwrap_or(0).max(recorded_attempt(world, fingerprint))
}

/// What the registry serves, with what is known of its build.
fn image_of(published: &Published, world: &World, inputs: Option<&Inputs>, build: Option<&Build>) -> ImageStatus {
    let mut image = published.image.clone();
    image.revision = inputs.map(|inputs| inputs.revision.clone());
    image.fingerprint = inputs.map(Inputs::fingerprint);
    image.tests = inputs.and_then(Inputs::passed_tests);
    let known = world.status().image.clone().filter(|known| known.digest == image.digest);
    if let Some(known) = known {
        (image.binary, image.tags) = (image.binary.or(known.binary), known.tags);
        if image.warnings.is_empty() {
            image.warnings = known.warnings;
        }
        (image.sbom, image.provenance) = (known.sbom, known.provenance);
        (image.signature, image.signed_by) = (known.signature, known.signed_by);
        image.engine = known.engine;
    }
    if let Some(build) = build {
        if let BuildState::Succeeded(Some(result)) = &build.state {
            image.binary = image.binary.or_else(|| result.binary.clone());
            if image.warnings.is_empty() {
                image.warnings.clone_from(&result.warnings);
            }
        }
        image.built_at = build.finished.map(whole_second);
        image.duration = build.finished.map(|end| go_duration(end.duration_since(build.created)));
        image.cause = Some(build.cause.clone());
        // A program that was taken over was compiled by what compiled it then.
        let before = world.status().image.as_ref().and_then(|image| image.engine);
        image.engine = if build.program_of.is_some() { before } else { Some(build.engine) };
    } else {
        image.built_at = Some(whole_second(world.now));
        image.cause = Some("Adopted: the registry already had the image of these inputs".into());
    }
    if let Some(binary) = &mut image.binary {
        binary.inputs = inputs.map(Inputs::program_fingerprint);
    }
    image
}

fn whole_second(at: Timestamp) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// An image that is seen for the first time may be larger than its owner wants; one that is in use stays.
fn accept(world: &World, request: &Request, settings: &Settings, plan: &mut Plan, mut image: ImageStatus, build: Option<&Build>) {
    image.delta_percent = match &world.status().image {
        Some(before) if before.digest == image.digest => before.delta_percent,
        before => before.as_ref().and_then(|before| growth_percent(&image, before)),
    };
    match request.budget.excess(&image).filter(|_| request.budget.fails) {
        Some(excess) => {
            let message = format!("The image is not used: {excess}. Make the program smaller, or raise the budget.");
            fail(plan, build, Reason::SizeBudgetExceeded, message);
        }
        None => use_image(world, request, settings, plan, image, build),
    }
}

/// It is what the inputs are to become, unless it must be signed and nobody saw how it came about.
fn use_image(world: &World, request: &Request, settings: &Settings, plan: &mut Plan, image: ImageStatus, build: Option<&Build>) {
    if !super::attest::must_be_built_again(world, request, &image) {
        publish(request, plan, image, build.cloned());
        return;
    }
    let fingerprint = image.fingerprint.unwrap_or_default();
    start(world, request, settings, plan, next_attempt(world, &fingerprint), None);
}

fn publish(request: &Request, plan: &mut Plan, image: ImageStatus, build: Option<Build>) {
    let commit = plan.conclusion.inputs.as_ref().map(|inputs| inputs.commit.clone()).unwrap_or_default();
    let tags = request.tags(&commit);
    if image.tags != tags && !tags.is_empty() {
        plan.effects.push(Effect::MoveTags { digest: image.digest.clone(), tags });
    }
    plan.conclusion.image = Some(image);
    plan.conclusion.build = BuildVerdict::Published(build);
}

fn fail(plan: &mut Plan, build: Option<&Build>, reason: Reason, message: String) {
    plan.conclusion.build = BuildVerdict::Failed { build: build.cloned(), reason, message, retry_at: None };
}

/// Plans the next attempt's Job, after the cache's claim.
fn start(world: &World, request: &Request, settings: &Settings, plan: &mut Plan, attempt: i32, token: Option<String>) {
    let Some(inputs) = plan.conclusion.inputs.clone() else { return };
    let cause = match &plan.conclusion.cause {
        Some(cause) => cause.to_string(),
        None => world.status().build.as_ref().and_then(|build| build.cause.clone()).unwrap_or_else(|| format!("Retry: attempt {attempt}")),
    };
    if let Some(claim) = render::cache_claim(&world.object, request) {
        plan.effects.push(Effect::EnsureClaim(Box::new(claim)));
    }
    let memory = memory::of_next(world, request, &inputs.fingerprint());
    let request = &memory.given_to(request);
    let known_program = known_program(world, request, &inputs).filter(|_| attempt == 1 && token.is_none());
    // Whoever orders a build gets all of it.
    let gated = gate::is_needed(world, &inputs) || (token.is_some() && !inputs.tests.is_empty());
    // Until the Secret was looked at there is none, and no Job either.
    let credentials = request.modules.secret.as_ref().and_then(|_| world.answers.modules.value().cloned());
    let rebuild_token = token.as_deref();
    let [kept_on, tests_kept_on] = [windows::of_build(request, &inputs), windows::of_tests(request, &inputs)]
        .map(|demand| demand.map(|demand| windows::kept_on(world, &demand)).unwrap_or_default());
    let compiles = known_program.is_none() && !request.build.engine.is_elsewhere();
    let order = render::BuildOrder {
        inputs: &inputs,
        attempt,
        cause: &cause,
        rebuild_token,
        known_program,
        gated,
        memory: (compiles || gated).then(|| memory.told()),
        credentials,
        kept_on,
        tests_kept_on,
    };
    if gated {
        plan.effects.extend(render::test_cache_claim(&world.object, request).map(|claim| Effect::EnsureClaim(Box::new(claim))));
        let mut tests = render::test_jobs(&world.object, request, settings, &order);
        tests.iter_mut().for_each(|job| queue::enqueue(job, settings));
        plan.effects.extend(tests.into_iter().map(|job| Effect::CreateJob(Box::new(job))));
    }
    let mut jobs = render::build_jobs(&world.object, request, settings, &order);
    jobs.iter_mut().for_each(|job| queue::enqueue(job, settings));
    let name = jobs.last().map(ResourceExt::name_any).unwrap_or_default();
    plan.effects.extend(jobs.into_iter().map(|job| Effect::CreateJob(Box::new(job))));
    plan.look_again(WATCH);
    plan.conclusion.build = BuildVerdict::Starting { job: name, attempt, cause };
}

/// The image of the status that has the program of these inputs already. What is signed must have been signed when it was compiled.
fn known_program(world: &World, request: &Request, inputs: &Inputs) -> Option<KnownProgram> {
    let image = world.status().image.as_ref().filter(|image| request.signing.is_none() || image.signature.is_some())?;
    if inputs.dockerfile.is_some() {
        return None;
    }
    let here = image.reference == format!("{}@{}", request.repository, image.digest);
    let binary = image.binary.as_ref().filter(|binary| here && binary.inputs == Some(inputs.program_fingerprint()))?;
    Some(KnownProgram { image: image.reference.clone(), sha256: binary.sha256.clone() })
}

/// A new cancel token stops whatever runs.
fn cancel(world: &World, plan: &mut Plan) {
    let Some(token) = world.order(names::ORDER_CANCEL, plan.conclusion.handled.cancel.as_ref()) else { return };
    for job in world.builds.iter().flat_map(Build::to_stop).flatten() {
        plan.effects.push(Effect::StopJob { job: job.to_owned(), why: Reason::Cancelled.to_string() });
    }
    plan.conclusion.handled.cancel = Some(token);
}

/// Builds of other inputs than the newest are pointless.
fn supersede(world: &World, plan: &mut Plan, fingerprint: &str) {
    for job in world.builds.iter().filter(|build| !fingerprint.starts_with(&build.fingerprint)).flat_map(Build::to_stop).flatten() {
        plan.effects.push(Effect::StopJob { job: job.to_owned(), why: Reason::Superseded.to_string() });
    }
}
