//! Which conditions follow from a pass?
//!
//! `Ready` speaks of what is published and running, not of the newest commit: a later build that fails leaves it true on the
//! last good image, and `Built` tells. `Reconciling` is present only while the declared generation has never been satisfied,
//! so that a commit in the application's repository does not turn every waiting Kustomization red.

use crate::{build, publish, rollout, source};
use gowindows_crds::conditions::{ConditionType, Reason, Truth, Verdict, find};
use gowindows_crds::v1alpha1::{ImageStatus, Phase, RolloutPhase};
use gowindows_model::facts::{Build, BuildState, World};
use gowindows_model::plan::{Aspect, BuildProgress, Done, Outcome, Plan, SpecVerdict, Step, Verdicts};
use gowindows_model::request::Refusal;
use rollout::worst;

const SOURCE: ConditionType = ConditionType::SourceResolved;
const BUILT: ConditionType = ConditionType::Built;
const PUBLISHED: ConditionType = ConditionType::Published;
const ATTESTED: ConditionType = ConditionType::Attested;
const ROLLED_OUT: ConditionType = ConditionType::RolledOut;

/// The verdicts of a pass; conditions without one disappear.
pub(super) fn verdicts(world: &World, plan: &Plan, outcome: &Outcome, image: Option<&ImageStatus>) -> Vec<Verdict> {
    match &plan.verdicts.spec {
        SpecVerdict::Refused { refusal, .. } => refused(world, refusal, plan, outcome, image),
        SpecVerdict::Suspended(_) => suspended(world, plan, image),
        SpecVerdict::Accepted(_) | SpecVerdict::Unread => accepted(world, plan, outcome, image),
    }
}

/// Targets still get what is published, so that may change, and what is said of the image.
fn refused(world: &World, refusal: &Refusal, plan: &Plan, outcome: &Outcome, image: Option<&ImageStatus>) -> Vec<Verdict> {
    let mut verdicts = vec![
        Verdict::new(ConditionType::Ready, Truth::False, refusal.reason, &refusal.message),
        Verdict::new(ConditionType::Stalled, Truth::True, refusal.reason, &refusal.message),
    ];
    verdicts.extend(as_before(world, &[SOURCE, BUILT]));
    if plan.verdicts.spec.run().is_some() {
        verdicts.push(rollout::condition(plan, outcome));
        verdicts.extend(publish::conditions(world, plan, outcome, image));
    } else {
        verdicts.extend(as_before(world, &[PUBLISHED, ATTESTED, ROLLED_OUT]));
        verdicts.extend(publish::warnings(plan, image));
    }
    verdicts
}

fn suspended(world: &World, plan: &Plan, image: Option<&ImageStatus>) -> Vec<Verdict> {
    let message = "spec.suspend is true; set it to false to go on. What runs keeps running.";
    let mut verdicts = vec![Verdict::new(ConditionType::Ready, Truth::Unknown, Reason::Suspended, message)];
    verdicts.extend(as_before(world, &[SOURCE, BUILT, PUBLISHED, ATTESTED, ROLLED_OUT]));
    verdicts.extend(publish::warnings(plan, image));
    verdicts
}

fn accepted(world: &World, plan: &Plan, outcome: &Outcome, image: Option<&ImageStatus>) -> Vec<Verdict> {
    let mut verdicts = vec![build::condition(plan, outcome), rollout::condition(plan, outcome)];
    verdicts.extend(source::condition(&plan.verdicts.source));
    verdicts.extend(publish::conditions(world, plan, outcome, image));
    let ready = ready(world, plan, &verdicts, image);
    if ready.truth != Truth::True {
        let satisfied = satisfied_before(world);
        let stalled = matches!(plan.verdicts.build.progress, BuildProgress::Failed { retry_at: None, .. });
        if stalled && !satisfied {
            verdicts.push(Verdict::new(ConditionType::Stalled, Truth::True, ready.reason, &ready.message));
        } else if !satisfied {
            verdicts.push(Verdict::new(ConditionType::Reconciling, Truth::True, Reason::Progressing, &ready.message));
        }
    }
    verdicts.push(ready);
    verdicts
}

fn signing(plan: &Plan) -> bool {
    plan.verdicts.spec.run().is_some_and(|run| run.signing.is_some())
}

/// Aspects as they were: a refusal or a suspension does not change them.
fn as_before(world: &World, aspects: &[ConditionType]) -> Vec<Verdict> {
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

/// Ready: an image is published, and no target that exists stands in its way. Until the generation's own build is through,
/// the last good image counts only if this generation was satisfied before.
fn ready(world: &World, plan: &Plan, verdicts: &[Verdict], image: Option<&ImageStatus>) -> Verdict {
    let Verdicts { build, publish, .. } = &plan.verdicts;
    let ready = |truth, reason, message: String| Verdict::new(ConditionType::Ready, truth, reason, message);
    let aspect = |kind| verdicts.iter().find(|verdict| verdict.kind == kind);
    let because = |verdict: &Verdict| {
        let truth = if verdict.truth == Truth::False { Truth::False } else { Truth::Unknown };
        ready(truth, verdict.reason, verdict.message.clone())
    };
    let unsigned = signing(plan)
        && image.is_none_or(|image| image.signature.is_none() || publish.newest.as_ref().is_some_and(|new| new.digest != image.digest));
    let current = matches!(build.progress, BuildProgress::Published(_)) && !unsigned;
    let last_good_counts = image.is_some() && satisfied_before(world);
    if !current && !last_good_counts {
        let source = aspect(ConditionType::SourceResolved).filter(|source| source.truth == Truth::False && build.inputs.is_none());
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
pub(super) fn phase(plan: &Plan, outcome: &Outcome) -> Phase {
    // Provenance alone holds nothing up.
    let harmless = |step: &Step| step.aspect == Aspect::Attest && !signing(plan);
    let failed = plan.steps.iter().zip(&outcome.steps).any(|(step, done)| matches!(done, Done::Failed(_)) && !harmless(step));
    match &plan.verdicts.spec {
        SpecVerdict::Refused { .. } => return Phase::Failed,
        _ if failed => return Phase::Failed,
        SpecVerdict::Suspended(_) => return Phase::Suspended,
        SpecVerdict::Accepted(_) | SpecVerdict::Unread => {}
    }
    match &plan.verdicts.build.progress {
        BuildProgress::Undecided | BuildProgress::Blocked(_) => Phase::Pending,
        BuildProgress::Starting { .. } => Phase::Queued,
        BuildProgress::Active(Build { state: BuildState::Queued(_), .. }) => Phase::Queued,
        BuildProgress::Active(_) => Phase::Building,
        BuildProgress::Unconfirmed(..) => Phase::Publishing,
        BuildProgress::Failed { .. } => Phase::Failed,
        BuildProgress::Published(_) => match worst(&plan.verdicts.rollout.targets).map(|target| target.phase) {
            Some(RolloutPhase::Failed) => Phase::Failed,
            Some(RolloutPhase::Progressing) => Phase::RollingOut,
            Some(RolloutPhase::Waiting | RolloutPhase::Complete) | None => Phase::Ready,
        },
    }
}
