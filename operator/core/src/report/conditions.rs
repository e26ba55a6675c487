//! Which conditions follow from a pass?
//!
//! `Ready` speaks of what is published and running, not of the newest commit: a later build that fails leaves it true on the
//! last good image, and `Built` tells. `Reconciling` is present only while the declared generation has never been satisfied,
//! so that a commit in the application's repository does not turn every waiting Kustomization red.

use super::{display, failed};
use gowindows_crds::conditions::{ConditionType, Reason, Truth, Verdict, find};
use gowindows_crds::v1alpha1::{ImageStatus, Phase, RolloutPhase};
use gowindows_model::facts::{Build, BuildState, World};
use gowindows_model::plan::{BuildVerdict, Conclusion, Effect, Outcome, TargetVerdict};
use windows_image::warnings;

/// The verdicts of a pass; conditions without one disappear.
pub(super) fn verdicts(world: &World, conclusion: &Conclusion, outcome: &Outcome, image: Option<&ImageStatus>) -> Vec<Verdict> {
    if let Some(refusal) = &conclusion.refusal {
        let mut verdicts = vec![
            Verdict::new(ConditionType::Ready, Truth::False, refusal.reason, &refusal.message),
            Verdict::new(ConditionType::Stalled, Truth::True, refusal.reason, &refusal.message),
        ];
        verdicts.extend(standing(world));
        verdicts.extend(warnings(conclusion, image));
        return verdicts;
    }
    if conclusion.suspended {
        let message = "spec.suspend is true; set it to false to go on. What runs keeps running.";
        let mut verdicts = vec![Verdict::new(ConditionType::Ready, Truth::Unknown, Reason::Suspended, message)];
        verdicts.extend(standing(world));
        verdicts.extend(warnings(conclusion, image));
        return verdicts;
    }
    let mut verdicts: Vec<Verdict> =
        vec![built(conclusion, outcome), published(conclusion, outcome, image), rolled_out(conclusion, outcome)];
    verdicts.extend(source(conclusion));
    verdicts.extend(attested(world, conclusion, outcome, image));
    verdicts.extend(warnings(conclusion, image));
    let ready = ready(world, conclusion, &verdicts, image);
    if ready.truth != Truth::True {
        let satisfied = satisfied_before(world);
        let stalled = is_stalled(conclusion);
        if stalled && !satisfied {
            verdicts.push(Verdict::new(ConditionType::Stalled, Truth::True, ready.reason, &ready.message));
        } else if !satisfied {
            verdicts.push(Verdict::new(ConditionType::Reconciling, Truth::True, Reason::Progressing, &ready.message));
        }
    }
    verdicts.push(ready);
    verdicts
}

/// The aspects as they stood: a refusal or a suspension does not change them.
fn standing(world: &World) -> Vec<Verdict> {
    let aspects =
        [ConditionType::SourceResolved, ConditionType::Built, ConditionType::Published, ConditionType::Attested, ConditionType::RolledOut];
    let conditions = &world.status().conditions;
    let kept = aspects.iter().filter_map(|kind| {
        let was = find(conditions, *kind)?;
        let truth = match was.status.as_str() {
            "True" => Truth::True,
            "False" => Truth::False,
            _ => Truth::Unknown,
        };
        Some(Verdict::new(*kind, truth, was.reason.parse().unwrap_or(Reason::Progressing), &was.message))
    });
    kept.collect()
}

/// The generation was Ready before.
fn satisfied_before(world: &World) -> bool {
    let status = world.status();
    let generation = world.object.metadata.generation;
    let was_satisfied =
        find(&status.conditions, ConditionType::Reconciling).is_none() && find(&status.conditions, ConditionType::Stalled).is_none();
    Some(status.observed_generation) == generation && was_satisfied && find(&status.conditions, ConditionType::Ready).is_some()
}

/// What may not work in the last good image. Never in the way of Ready: it may work all the same.
fn warnings(conclusion: &Conclusion, image: Option<&ImageStatus>) -> Option<Verdict> {
    let mut texts = warnings::texts(&image?.warnings);
    let excess = conclusion.request.as_ref().and_then(|request| request.budget.excess(image?));
    texts.extend(excess.map(|excess| format!("The image is larger than it should be: {excess}.")));
    (!texts.is_empty()).then(|| Verdict::new(ConditionType::ImageWarnings, Truth::True, Reason::WarningsFound, texts.join(" ")))
}

fn is_stalled(conclusion: &Conclusion) -> bool {
    matches!(conclusion.build, BuildVerdict::Failed { retry_at: None, .. })
}

fn source(conclusion: &Conclusion) -> Option<Verdict> {
    let kind = ConditionType::SourceResolved;
    let newest = conclusion.revision.as_ref().map(|revision| display::short_revision(&revision.to_string()));
    match (&conclusion.source_trouble, newest) {
        (Some(trouble), Some(newest)) => {
            let message = format!("{} Still at {newest}.", trouble.message);
            Some(Verdict::new(kind, Truth::False, trouble.reason, message))
        }
        (Some(trouble), None) => Some(Verdict::new(kind, Truth::False, trouble.reason, &trouble.message)),
        (None, Some(newest)) => Some(Verdict::new(kind, Truth::True, Reason::Succeeded, format!("The source is at {newest}."))),
        (None, None) => None,
    }
}

fn built(conclusion: &Conclusion, outcome: &Outcome) -> Verdict {
    let verdict = |truth, reason, message: String| Verdict::new(ConditionType::Built, truth, reason, message);
    let refused = failed(outcome, |effect| matches!(effect, Effect::CreateJob(_) | Effect::EnsureClaim(_) | Effect::StopJob { .. }));
    if let Some(miss) = refused {
        return verdict(Truth::False, miss.reason, miss.message.clone());
    }
    let newest = conclusion.inputs.as_ref().map(|inputs| display::short_revision(&inputs.revision)).unwrap_or_default();
    match &conclusion.build {
        BuildVerdict::Undecided => match &conclusion.source_trouble {
            Some(trouble) => {
                verdict(Truth::Unknown, trouble.reason, format!("Nothing can be built before the source is known. {}", trouble.message))
            }
            None => verdict(Truth::Unknown, Reason::Progressing, "The source has not been looked at yet.".into()),
        },
        BuildVerdict::Blocked(trouble) => verdict(Truth::Unknown, trouble.reason, trouble.message.clone()),
        BuildVerdict::Starting { job, attempt, cause } => {
            verdict(Truth::Unknown, Reason::Progressing, format!("Job {job} (attempt {attempt}) was created for {newest}. {cause}."))
        }
        BuildVerdict::Active(build) => active(build, &newest),
        BuildVerdict::Unconfirmed(build, _) => verdict(Truth::True, Reason::Succeeded, format!("Job {} built {newest}.", build.job)),
        BuildVerdict::Failed { reason, message, retry_at, .. } => {
            let next = retry_at.map(|at| format!(" It is tried again at {}.", super::whole_second(at))).unwrap_or_default();
            verdict(Truth::False, *reason, format!("{newest}: {message}{next}"))
        }
        BuildVerdict::Published(_) => verdict(Truth::True, Reason::Succeeded, format!("{newest} is built.")),
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

fn published(conclusion: &Conclusion, outcome: &Outcome, image: Option<&ImageStatus>) -> Verdict {
    let verdict = |truth, reason, message: String| Verdict::new(ConditionType::Published, truth, reason, message);
    if let Some(miss) = failed(outcome, |effect| matches!(effect, Effect::MoveTags { .. } | Effect::Promote { .. })) {
        return verdict(Truth::Unknown, miss.reason, format!("The tags could not be moved: {}", miss.message));
    }
    match (image, &conclusion.registry_trouble) {
        (_, Some(trouble)) => verdict(Truth::Unknown, trouble.reason, trouble.message.clone()),
        (Some(image), None) => {
            let revision = image.revision.as_deref().map(display::short_revision).unwrap_or_default();
            let note = conclusion.note.as_ref().map(|note| format!(" {note}")).unwrap_or_default();
            verdict(Truth::True, Reason::Succeeded, format!("{} serves {revision}.{note}", image.reference))
        }
        (None, None) => match &conclusion.build {
            BuildVerdict::Failed { reason: reason @ (Reason::VerificationFailed | Reason::RegistryAuthFailed), message, .. } => {
                verdict(Truth::False, *reason, message.clone())
            }
            _ => verdict(Truth::Unknown, Reason::Progressing, "No image is published yet.".into()),
        },
    }
}

/// What is attached to the newest image; no verdict while there is none.
fn attested(world: &World, conclusion: &Conclusion, outcome: &Outcome, image: Option<&ImageStatus>) -> Option<Verdict> {
    let newest = conclusion.image.as_ref()?;
    let verdict = |truth, reason, message: String| Some(Verdict::new(ConditionType::Attested, truth, reason, message));
    let signing = conclusion.request.as_ref().is_some_and(|request| request.signing.is_some());
    if let Some(miss) = failed(outcome, |effect| matches!(effect, Effect::Attest(_))) {
        // That a registry is away says nothing about the image.
        let truth = if miss.reason == Reason::RegistryUnreachable { Truth::Unknown } else { Truth::False };
        let held = if signing { " No tag is moved and nothing is rolled before it is signed." } else { "" };
        return verdict(truth, miss.reason, format!("{}{held}", miss.message));
    }
    let image = image.filter(|image| image.digest == newest.digest).unwrap_or(newest);
    match (&image.provenance, &image.signature) {
        (Some(_), None) if !signing => verdict(Truth::True, Reason::Succeeded, format!("{} has provenance.", image.digest)),
        (Some(_), Some(_)) => verdict(Truth::True, Reason::Succeeded, format!("{} has provenance and is signed.", image.digest)),
        _ if outcome.attested.is_some() => verdict(
            Truth::False,
            Reason::NotWitnessed,
            format!("{} has no provenance: the Job that built it is gone. The gowindows.dev/rebuild order builds it again.", image.digest),
        ),
        _ => {
            let known = world.status().image.as_ref().is_some_and(|known| known.digest == image.digest);
            let before = find(&world.status().conditions, ConditionType::Attested).filter(|before| known && before.status == "False");
            match before {
                Some(before) => verdict(Truth::False, before.reason.parse().unwrap_or(Reason::Progressing), before.message.clone()),
                None => verdict(Truth::Unknown, Reason::Progressing, format!("Nothing is attached to {} yet.", image.digest)),
            }
        }
    }
}

fn rolled_out(conclusion: &Conclusion, outcome: &Outcome) -> Verdict {
    let verdict = |truth, reason, message: String| Verdict::new(ConditionType::RolledOut, truth, reason, message);
    if let Some(miss) = failed(outcome, |effect| matches!(effect, Effect::Roll(_))) {
        return verdict(Truth::False, miss.reason, miss.message.clone());
    }
    if conclusion.request.as_ref().is_some_and(|request| !request.apply) {
        return verdict(
            Truth::Unknown,
            Reason::StatusOnly,
            "rollout.mode is StatusOnly: the digest stands in status.image, nothing is rolled.".into(),
        );
    }
    let Some(worst) = worst(&conclusion.targets) else {
        return verdict(
            Truth::Unknown,
            Reason::NoTargets,
            "rollout.targets is empty: the image is published and nothing is rolled.".into(),
        );
    };
    let message = format!("{}: {}.", worst.target, worst.message.as_deref().unwrap_or("runs the published digest").trim_end_matches('.'));
    let warned = conclusion.targets.iter().filter(|target| !target.warnings.is_empty());
    let warnings = warned.map(|target| format!(" {} should be mended: {}.", target.target, target.warnings.join("; ")));
    let message = std::iter::once(message).chain(warnings).collect();
    let truth = match worst.phase {
        RolloutPhase::Complete => Truth::True,
        RolloutPhase::Failed => Truth::False,
        RolloutPhase::Waiting | RolloutPhase::Progressing => Truth::Unknown,
    };
    verdict(truth, worst.reason, message)
}

fn worst(targets: &[TargetVerdict]) -> Option<&TargetVerdict> {
    let order = [RolloutPhase::Failed, RolloutPhase::Progressing, RolloutPhase::Waiting, RolloutPhase::Complete];
    order.into_iter().find_map(|phase| targets.iter().find(|target| target.phase == phase))
}

/// Ready: an image is published, and no target that exists stands in its way. Until the generation's own build is through,
/// the last good image counts only if this generation was satisfied before.
fn ready(world: &World, conclusion: &Conclusion, verdicts: &[Verdict], image: Option<&ImageStatus>) -> Verdict {
    let ready = |truth, reason, message: String| Verdict::new(ConditionType::Ready, truth, reason, message);
    let aspect = |kind| verdicts.iter().find(|verdict| verdict.kind == kind);
    let because = |verdict: &Verdict| {
        let truth = if verdict.truth == Truth::False { Truth::False } else { Truth::Unknown };
        ready(truth, verdict.reason, verdict.message.clone())
    };
    let unsigned = conclusion.request.as_ref().is_some_and(|request| request.signing.is_some())
        && image.is_none_or(|image| image.signature.is_none() || conclusion.image.as_ref().is_some_and(|new| new.digest != image.digest));
    let current = matches!(conclusion.build, BuildVerdict::Published(_)) && !unsigned;
    let last_good_counts = image.is_some() && satisfied_before(world);
    if !current && !last_good_counts {
        let source = aspect(ConditionType::SourceResolved).filter(|source| source.truth == Truth::False && conclusion.inputs.is_none());
        let why = source
            .or_else(|| aspect(ConditionType::Built).filter(|built| built.truth != Truth::True))
            .or_else(|| aspect(ConditionType::Attested).filter(|attested| unsigned && attested.truth != Truth::True))
            .or_else(|| aspect(ConditionType::Published));
        return why.map_or_else(|| ready(Truth::Unknown, Reason::Progressing, "Nothing is known yet.".into()), because);
    }
    let rolled = aspect(ConditionType::RolledOut);
    let in_the_way = rolled.filter(|rolled| match rolled.truth {
        Truth::True => false,
        Truth::False => true,
        // Targets that are not there yet, or not asked for, never block; ones that are moving do until they were ready once.
        Truth::Unknown => rolled.reason == Reason::Progressing && !satisfied_before(world),
    });
    if let Some(rolled) = in_the_way {
        return because(rolled);
    }
    let reference = image.map(|image| image.reference.as_str()).unwrap_or_default();
    let behind = if current { String::new() } else { " A newer build is not through; see Built and Attested.".to_owned() };
    ready(Truth::True, Reason::Succeeded, format!("{reference} is published{}.{behind}", rolled_words(rolled)))
}

fn rolled_words(rolled: Option<&Verdict>) -> &'static str {
    match rolled {
        Some(rolled) if rolled.truth == Truth::True => " and runs in every target",
        Some(rolled) if rolled.reason == Reason::TargetNotFound => "; a target does not exist yet",
        _ => "",
    }
}

/// One word for people.
pub(super) fn phase(conclusion: &Conclusion, outcome: &Outcome) -> Phase {
    let signing = conclusion.request.as_ref().is_some_and(|request| request.signing.is_some());
    // Provenance alone holds nothing up.
    let harmless = |effect: &Effect| matches!(effect, Effect::Attest(_)) && !signing;
    if conclusion.refusal.is_some() || outcome.failure.as_ref().is_some_and(|failed| !harmless(&failed.effect)) {
        return Phase::Failed;
    }
    if conclusion.suspended {
        return Phase::Suspended;
    }
    match &conclusion.build {
        BuildVerdict::Undecided | BuildVerdict::Blocked(_) => Phase::Pending,
        BuildVerdict::Starting { .. } => Phase::Queued,
        BuildVerdict::Active(Build { state: BuildState::Queued(_), .. }) => Phase::Queued,
        BuildVerdict::Active(_) => Phase::Building,
        BuildVerdict::Unconfirmed(..) => Phase::Publishing,
        BuildVerdict::Failed { .. } => Phase::Failed,
        BuildVerdict::Published(_) => match worst(&conclusion.targets).map(|target| target.phase) {
            Some(RolloutPhase::Failed) => Phase::Failed,
            Some(RolloutPhase::Progressing) => Phase::RollingOut,
            Some(RolloutPhase::Waiting | RolloutPhase::Complete) | None => Phase::Ready,
        },
    }
}
