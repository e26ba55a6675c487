//! What is said of targets?

use crate::wording::time;
use gowindows_crds::conditions::{ConditionType, Reason, Truth, Verdict};
use gowindows_crds::v1alpha1::{ImageStatus, RolloutPhase, RolloutStatus, TargetStatus};
use gowindows_model::facts::World;
use gowindows_model::plan::{Aspect, Outcome, Plan, SpecVerdict, TargetVerdict, Write};

/// The section of the status that is about targets.
pub(crate) fn report(world: &World, plan: &Plan, outcome: &Outcome, image: Option<&ImageStatus>) -> Option<RolloutStatus> {
    let rollout = &plan.verdicts.rollout;
    if rollout.targets.is_empty() {
        let decided = matches!(plan.verdicts.spec, SpecVerdict::Accepted(_));
        return world.status().rollout.clone().filter(|_| !decided);
    }
    // From worst to best.
    let order = [RolloutPhase::Failed, RolloutPhase::Progressing, RolloutPhase::Waiting, RolloutPhase::Complete];
    let phase = order.into_iter().find(|phase| rollout.targets.iter().any(|target| target.phase == *phase)).unwrap_or_default();
    // A write that was refused began nothing: with a time of its own each try would be news, and the next one would follow at once.
    let written = |target: usize| {
        let mut steps = plan.steps.iter().enumerate().filter(|(index, _)| outcome.is_performed(*index));
        steps.any(|(_, step)| matches!(&step.write, Write::Roll(roll) if roll.index == target)).then_some(world.now)
    };
    let targets = rollout.targets.iter().enumerate().map(|(index, target)| TargetStatus {
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

/// `RolledOut`.
pub(crate) fn condition(plan: &Plan, outcome: &Outcome) -> Verdict {
    let targets = &plan.verdicts.rollout.targets;
    let verdict = |truth, reason, message: String| Verdict::new(ConditionType::RolledOut, truth, reason, message);
    if let Some(error) = outcome.of(plan, Aspect::Rollout) {
        return verdict(Truth::False, error.reason, error.message.clone());
    }
    if plan.verdicts.spec.run().is_some_and(|run| !run.apply) {
        return verdict(
            Truth::Unknown,
            Reason::StatusOnly,
            "rollout.mode is StatusOnly: the digest stands in status.image, nothing is rolled.".into(),
        );
    }
    let Some(worst) = worst(targets) else {
        return verdict(
            Truth::Unknown,
            Reason::NoTargets,
            "rollout.targets is empty: the image is published and nothing is rolled.".into(),
        );
    };
    let message = format!("{}: {}.", worst.target, worst.message.as_deref().unwrap_or("runs the published digest").trim_end_matches('.'));
    let warned = targets.iter().filter(|target| !target.warnings.is_empty());
    let warnings = warned.map(|target| format!(" {} should be mended: {}.", target.target, target.warnings.join("; ")));
    let message = std::iter::once(message).chain(warnings).collect();
    let truth = match worst.phase {
        RolloutPhase::Complete => Truth::True,
        RolloutPhase::Failed => Truth::False,
        RolloutPhase::Waiting | RolloutPhase::Progressing => Truth::Unknown,
    };
    verdict(truth, worst.reason, message)
}

/// The target that is furthest from running what it should.
pub(crate) fn worst(targets: &[TargetVerdict]) -> Option<&TargetVerdict> {
    let order = [RolloutPhase::Failed, RolloutPhase::Progressing, RolloutPhase::Waiting, RolloutPhase::Complete];
    order.into_iter().find_map(|phase| targets.iter().find(|target| target.phase == phase))
}
