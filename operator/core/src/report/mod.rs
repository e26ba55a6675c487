//! What does the user see? The whole status, computed from the world, the plan and what came of it; and the events that tell
//! the difference from the status before. Pure.

mod caches;
mod conditions;
mod display;
mod learned;
mod notices;

pub use caches::{CacheFound, cache_found};
pub use notices::{Notice, notices};

use gowindows_crds::conditions::merge;
use gowindows_crds::durations::go_duration;
use gowindows_crds::v1alpha1::{
    BuildFailure, BuildPhase, BuildStatus, GoWindowsImageStatus, Handled, HistoryEntry, ImageStatus, InputsStatus, PreviousImage,
    RolloutPhase, RolloutStatus, TargetStatus,
};
use gowindows_model::facts::{Attested, Build, BuildState, Failure, SourceFacts, World};
use gowindows_model::inputs::Inputs;
use gowindows_model::plan::{BuildVerdict, Conclusion, Effect, Outcome, Plan};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// Entries that the history keeps.
const HISTORY: usize = 10;

/// The status after a pass.
pub fn status(world: &World, plan: &Plan, outcome: &Outcome) -> GoWindowsImageStatus {
    let before = world.status().clone();
    let generation = world.object.metadata.generation.unwrap_or_default();
    let conclusion = &plan.conclusion;
    let image = image(conclusion, outcome, before.image.as_ref());
    let rollout = rollout(world, plan, outcome, image.as_ref());
    let verdicts = conditions::verdicts(world, conclusion, outcome, image.as_ref());
    let now = Time(whole_second(world.now));
    let history = history(world, image.as_ref(), &before.history);
    GoWindowsImageStatus {
        observed_generation: generation,
        conditions: merge(&before.conditions, &verdicts, generation, &now),
        phase: Some(conditions::phase(conclusion, outcome)),
        inputs: inputs(plan, outcome).or(before.inputs),
        previous: previous(before.image.as_ref(), image.as_ref()).or(before.previous),
        build: build(world, plan, outcome).or(before.build),
        learned: learned::learned(conclusion, &history, before.learned),
        history,
        handled: handled(plan, outcome, before.handled),
        display: Some(display::columns(conclusion, image.as_ref(), rollout.as_ref())),
        image,
        rollout,
    }
}

/// Kubernetes times have whole seconds; a fraction would differ after each round trip.
fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn time(at: Timestamp) -> Time {
    Time(whole_second(at))
}

/// The effect of this pass that failed, if it is one of these.
fn failed(outcome: &Outcome, which: impl Fn(&Effect) -> bool) -> Option<&gowindows_model::ports::Miss> {
    outcome.failure.as_ref().filter(|failed| which(&failed.effect)).map(|failed| &failed.miss)
}

/// Whether one of these effects was not performed: the first failure ends a pass, whichever effect it was.
fn undone(plan: &Plan, outcome: &Outcome, which: impl Fn(&Effect) -> bool) -> bool {
    outcome.failure.is_some() && plan.effects.iter().skip(outcome.performed).any(which)
}

fn creates(effect: &Effect) -> bool {
    matches!(effect, Effect::CreateJob(_) | Effect::EnsureClaim(_))
}

/// The last good image. With a key it is a signed one: others take the digest from here.
fn image(conclusion: &Conclusion, outcome: &Outcome, before: Option<&ImageStatus>) -> Option<ImageStatus> {
    let mut image = conclusion.image.clone()?;
    let signing = conclusion.request.as_ref().and_then(|request| request.signing.clone());
    if let Some(Attested { sbom, provenance, signature }) = &outcome.attested {
        (image.sbom, image.provenance) = (sbom.clone(), provenance.clone());
        if signing.is_some() {
            (image.signature, image.signed_by) = (signature.clone(), signing.clone());
        }
    }
    let new = before.is_none_or(|before| before.digest != image.digest);
    if new && signing.is_some() && image.signature.is_none() {
        return before.cloned();
    }
    if let Some(tags) = &outcome.tagged {
        image.tags.clone_from(tags);
    }
    Some(image)
}

/// The inputs of a build count once the build exists.
fn inputs(plan: &Plan, outcome: &Outcome) -> Option<InputsStatus> {
    let inputs = plan.conclusion.inputs.as_ref().filter(|_| !undone(plan, outcome, creates))?;
    let pins = inputs.pins();
    Some(InputsStatus {
        fingerprint: inputs.fingerprint(),
        revision: inputs.revision.clone(),
        bases: pins.bases,
        base_choice: pins.base_choice,
        toolchain: Some(pins.toolchain),
        test_toolchain: pins.test_toolchain,
    })
}

fn previous(before: Option<&ImageStatus>, now: Option<&ImageStatus>) -> Option<PreviousImage> {
    let before = before.filter(|before| now.is_some_and(|now| now.digest != before.digest))?;
    Some(PreviousImage { reference: before.reference.clone(), digest: before.digest.clone(), revision: before.revision.clone() })
}

fn handled(plan: &Plan, outcome: &Outcome, before: Option<Handled>) -> Option<Handled> {
    let mut handled = plan.conclusion.handled.clone();
    // An order is acknowledged once its effect exists.
    if undone(plan, outcome, creates) {
        handled.rebuild = before.as_ref().and_then(|before| before.rebuild.clone());
    }
    if undone(plan, outcome, |effect| matches!(effect, Effect::StopJob { .. })) {
        handled.cancel = before.and_then(|before| before.cancel);
    }
    Some(handled).filter(|handled| *handled != Handled::default())
}

fn build(world: &World, plan: &Plan, outcome: &Outcome) -> Option<BuildStatus> {
    let conclusion = &plan.conclusion;
    let fingerprint = conclusion.inputs.as_ref().map(Inputs::fingerprint).unwrap_or_default();
    let recorded = world.status().build.as_ref();
    match &conclusion.build {
        BuildVerdict::Starting { job, attempt, cause } => (!undone(plan, outcome, creates)).then(|| BuildStatus {
            job: job.clone(),
            fingerprint,
            phase: BuildPhase::Queued,
            attempt: *attempt,
            cause: Some(cause.clone()),
            started_at: Some(time(world.now)),
            ..BuildStatus::default()
        }),
        BuildVerdict::Active(build) | BuildVerdict::Unconfirmed(build, _) | BuildVerdict::Published(Some(build)) => Some(BuildStatus {
            queue_position: conclusion.queue_position.and_then(|place| i32::try_from(place).ok()),
            ..of_job(build, fingerprint, recorded)
        }),
        BuildVerdict::Failed { build: Some(build), reason, message, retry_at } => {
            let failure = match &build.state {
                BuildState::Failed(failure) => failure.clone(),
                _ => Failure { reason: *reason, stage: None, exit_code: None, message: message.clone(), log_tail: None },
            };
            Some(BuildStatus {
                phase: BuildPhase::Failed,
                failure: Some(BuildFailure {
                    reason: reason.to_string(),
                    stage: failure.stage,
                    exit_code: failure.exit_code,
                    message: message.clone(),
                    log_tail: failure.log_tail,
                }),
                retry_at: retry_at.map(time),
                ..of_job(build, fingerprint, recorded)
            })
        }
        BuildVerdict::Failed { build: None, reason, message, retry_at } => {
            let recorded = recorded.cloned().filter(|build| build.fingerprint == fingerprint)?;
            let failure =
                BuildFailure { reason: reason.to_string(), message: message.clone(), ..recorded.failure.clone().unwrap_or_default() };
            Some(BuildStatus { phase: BuildPhase::Failed, failure: Some(failure), retry_at: retry_at.map(time), ..recorded })
        }
        BuildVerdict::Undecided | BuildVerdict::Blocked(_) | BuildVerdict::Published(None) => None,
    }
}

/// `recorded` is what the status said before.
fn of_job(build: &Build, fingerprint: String, recorded: Option<&BuildStatus>) -> BuildStatus {
    // The pod that told of its source and its cache may be gone.
    let recorded = recorded.filter(|recorded| recorded.job == build.job);
    let SourceFacts { context_bytes, cache } = build.facts.clone();
    let phase = match build.state {
        BuildState::Queued(_) => BuildPhase::Queued,
        BuildState::Running => BuildPhase::Running,
        BuildState::Succeeded(_) => BuildPhase::Succeeded,
        BuildState::Failed(_) => BuildPhase::Failed,
    };
    BuildStatus {
        job: build.job.clone(),
        fingerprint,
        phase,
        attempt: build.attempt,
        cause: Some(build.cause.clone()),
        started_at: Some(time(build.created)),
        finished_at: build.finished.map(time),
        stages: build.all_stages(),
        context_bytes: context_bytes.or_else(|| recorded?.context_bytes),
        cache: cache.or_else(|| recorded?.cache.clone()),
        queue_position: None,
        memory: build.memory.clone(),
        test_job: build.tests.as_ref().map(|tests| tests.job.clone()),
        failure: None,
        retry_at: None,
    }
}

/// Finished builds, newest first: what the Jobs say, then what was recorded of Jobs that are gone.
fn history(world: &World, image: Option<&ImageStatus>, before: &[HistoryEntry]) -> Vec<HistoryEntry> {
    let mut entries: Vec<HistoryEntry> = world.builds.iter().filter_map(|build| finished(build, image)).collect();
    for old in before {
        match entries.iter_mut().find(|entry| entry.job == old.job) {
            // The pods that told of digest and stages may be gone.
            Some(entry) => {
                entry.digest = entry.digest.take().or_else(|| old.digest.clone());
                if entry.stages.is_empty() {
                    entry.stages.clone_from(&old.stages);
                }
            }
            None => entries.push(old.clone()),
        }
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.finished_at.as_ref().map(|time| time.0)));
    entries.truncate(HISTORY);
    entries
}

fn finished(build: &Build, image: Option<&ImageStatus>) -> Option<HistoryEntry> {
    let (result, digest) = match &build.state {
        BuildState::Queued(_) | BuildState::Running => return None,
        BuildState::Succeeded(result) => ("Succeeded".to_owned(), result.as_ref().map(|result| result.digest.clone())),
        BuildState::Failed(failure) => (failure.reason.to_string(), None),
    };
    let of_image = image
        .filter(|image| result == "Succeeded" && image.fingerprint.as_ref().is_some_and(|whole| whole.starts_with(&build.fingerprint)));
    let end = build.finished?;
    Some(HistoryEntry {
        job: build.job.clone(),
        revision: build.inputs.as_ref().map(|inputs| inputs.revision.clone()).unwrap_or_default(),
        result,
        digest: digest.or_else(|| of_image.map(|image| image.digest.clone())),
        cause: Some(build.cause.clone()),
        finished_at: Some(time(end)),
        duration: Some(go_duration(end.duration_since(build.created))),
        stages: learned::taken(build),
    })
}

fn rollout(world: &World, plan: &Plan, outcome: &Outcome, image: Option<&ImageStatus>) -> Option<RolloutStatus> {
    let conclusion = &plan.conclusion;
    if conclusion.refusal.is_some() || conclusion.suspended {
        return world.status().rollout.clone();
    }
    if conclusion.targets.is_empty() {
        return None;
    }
    // From worst to best.
    let order = [RolloutPhase::Failed, RolloutPhase::Progressing, RolloutPhase::Waiting, RolloutPhase::Complete];
    let phase = order.into_iter().find(|phase| conclusion.targets.iter().any(|target| target.phase == *phase)).unwrap_or_default();
    // A write that was refused began nothing: with a time of its own each try would be news, and the next one would follow at once.
    let written = |index: usize| {
        let mut performed = plan.effects.iter().take(outcome.performed);
        performed.any(|effect| matches!(effect, Effect::Roll(roll) if roll.index == index)).then_some(world.now)
    };
    let targets = conclusion.targets.iter().enumerate().map(|(index, target)| TargetStatus {
        target: target.target.clone(),
        container: target.container.clone(),
        phase: target.phase,
        updated: target.updated.clone(),
        started_at: target.started_at.or_else(|| written(index)).map(time),
        message: target.message.clone(),
        warnings: target.warnings.clone(),
    });
    Some(RolloutStatus { digest: image.map(|image| image.digest.clone()).unwrap_or_default(), phase, targets: targets.collect() })
}

#[cfg(test)]
mod tests;
