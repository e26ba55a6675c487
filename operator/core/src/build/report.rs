//! What is said of builds: the newest one, those that have ended, and what they have shown?

use super::learned;
use crate::wording::{short_revision, time, whole_second};
use gowindows_crds::conditions::{ConditionType, Reason, Truth, Verdict};
use gowindows_crds::durations::go_duration;
use gowindows_crds::v1alpha1::{BuildFailure, BuildPhase, BuildStatus, HistoryEntry, ImageStatus, InputsStatus, LearnedStatus};
use gowindows_model::facts::{Build, BuildState, Failure, SourceFacts, World};
use gowindows_model::plan::{Aspect, BuildProgress, BuildVerdict, Outcome, Plan, Write};

/// Entries that the history keeps.
const HISTORY: usize = 10;

/// The section of the status that is about builds. None: as it was.
pub(crate) struct BuildSection {
    pub(crate) inputs: Option<InputsStatus>,
    pub(crate) build: Option<BuildStatus>,
    pub(crate) history: Vec<HistoryEntry>,
    pub(crate) learned: Option<LearnedStatus>,
}

/// What is said, where `image` is the last good one.
pub(crate) fn report(world: &World, plan: &Plan, outcome: &Outcome, image: Option<&ImageStatus>) -> BuildSection {
    let waits = matches!(plan.verdicts.build.progress, BuildProgress::Blocked(_));
    let begun = !waits && !outcome.is_undone(plan, |write| matches!(write, Write::StartBuild(_)));
    let history = history(world, image, &world.status().history);
    BuildSection {
        inputs: inputs(&plan.verdicts.build).filter(|_| begun),
        build: build(world, &plan.verdicts.build, begun),
        learned: learned::learned(&plan.verdicts, &history, world.status().learned.clone()),
        history,
    }
}

/// The inputs of a build count once the build exists.
fn inputs(verdict: &BuildVerdict) -> Option<InputsStatus> {
    let inputs = verdict.inputs.as_ref()?;
    let pins = inputs.pins();
    Some(InputsStatus {
        fingerprint: inputs.fingerprint().to_owned(),
        revision: inputs.revision.clone(),
        bases: pins.bases,
        base_choice: pins.base_choice,
        toolchain: Some(pins.toolchain),
        test_toolchain: pins.test_toolchain,
    })
}

fn build(world: &World, verdict: &BuildVerdict, begun: bool) -> Option<BuildStatus> {
    let fingerprint = verdict.inputs.as_ref().map(|inputs| inputs.fingerprint().to_owned()).unwrap_or_default();
    let recorded = world.status().build.as_ref();
    match &verdict.progress {
        BuildProgress::Starting { job, attempt, cause } => begun.then(|| BuildStatus {
            job: job.clone(),
            fingerprint,
            phase: BuildPhase::Queued,
            attempt: *attempt,
            cause: Some(cause.clone()),
            started_at: Some(time(world.now)),
            ..BuildStatus::default()
        }),
        BuildProgress::Active(build) | BuildProgress::Unconfirmed(build) | BuildProgress::Published(Some(build)) => Some(BuildStatus {
            queue_position: verdict.queue_position.and_then(|place| i32::try_from(place).ok()),
            ..of_job(build, fingerprint, recorded)
        }),
        BuildProgress::Failed { build: Some(build), reason, message, retry_at } => {
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
        BuildProgress::Failed { build: None, reason, message, retry_at } => {
            let recorded = recorded.cloned().filter(|build| build.fingerprint == fingerprint)?;
            let failure =
                BuildFailure { reason: reason.to_string(), message: message.clone(), ..recorded.failure.clone().unwrap_or_default() };
            Some(BuildStatus { phase: BuildPhase::Failed, failure: Some(failure), retry_at: retry_at.map(time), ..recorded })
        }
        BuildProgress::Undecided | BuildProgress::Blocked(_) | BuildProgress::Published(None) => None,
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

/// `Built`.
pub(crate) fn condition(plan: &Plan, outcome: &Outcome) -> Verdict {
    let (source, build) = (&plan.verdicts.source, &plan.verdicts.build);
    let verdict = |truth, reason, message: String| Verdict::new(ConditionType::Built, truth, reason, message);
    if let Some(error) = outcome.of(plan, Aspect::Build) {
        return verdict(Truth::False, error.reason, error.message.clone());
    }
    let newest = build.inputs.as_ref().map(|inputs| short_revision(&inputs.revision)).unwrap_or_default();
    match &build.progress {
        BuildProgress::Undecided => match &source.trouble {
            Some(trouble) => {
                verdict(Truth::Unknown, trouble.reason, format!("Nothing can be built before the source is known. {}", trouble.message))
            }
            None => verdict(Truth::Unknown, Reason::Progressing, "The source has not been looked at yet.".into()),
        },
        BuildProgress::Blocked(trouble) => verdict(Truth::Unknown, trouble.reason, trouble.message.clone()),
        BuildProgress::Starting { job, attempt, cause } => {
            verdict(Truth::Unknown, Reason::Progressing, format!("Job {job} (attempt {attempt}) was created for {newest}. {cause}."))
        }
        BuildProgress::Active(build) => active(build, &newest),
        BuildProgress::Unconfirmed(build) => verdict(Truth::True, Reason::Succeeded, format!("Job {} built {newest}.", build.job)),
        BuildProgress::Failed { reason, message, retry_at, .. } => {
            let next = retry_at.map(|at| format!(" It is tried again at {}.", whole_second(at))).unwrap_or_default();
            verdict(Truth::False, *reason, format!("{newest}: {message}{next}"))
        }
        BuildProgress::Published(_) => verdict(Truth::True, Reason::Succeeded, format!("{newest} is built.")),
    }
}

fn active(build: &Build, newest: &str) -> Verdict {
    let stage = build.stages.iter().find(|stage| stage.started_at.is_some() && stage.finished_at.is_none());
    let tests = build.test_run().map(|run| match &run.state {
        BuildState::Queued(why) => format!("; its tests wait: {}", why.as_deref().unwrap_or("their pod has not started")),
        BuildState::Running => "; its tests run".to_owned(),
        BuildState::Succeeded(_) => "; its tests have passed".to_owned(),
        BuildState::Failed(failure) => format!("; its tests failed ({})", failure.reason),
    });
    let (reason, doing) = match (&build.state, stage) {
        (BuildState::Queued(why), _) => (Reason::Pending, format!("waits: {}", why.as_deref().unwrap_or("its pod has not started"))),
        (_, Some(stage)) => (Reason::Progressing, format!("runs stage {}", stage.name)),
        _ if !build.running => (Reason::Progressing, "has built it".into()),
        (_, None) => (Reason::Progressing, "is between two stages".into()),
    };
    Verdict::new(
        ConditionType::Built,
        Truth::Unknown,
        reason,
        format!("Job {} (attempt {}) for {newest} {doing}{}.", build.job, build.attempt, tests.unwrap_or_default()),
    )
}
