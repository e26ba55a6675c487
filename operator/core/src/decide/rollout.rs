//! Do the targets run the last good image?
//!
//! ```text
//! no workload -> Waiting      image differs -> Roll -> Progressing -> Complete
//! not ours to write -> Failed                               |  ^
//!                                                           v  | pods recover
//!                                                          Failed
//! ```
//!
//! The workload's own controller does the rolling and gives the verdict; this module writes one field and reads the verdict.

use super::{Need, backoff, later, template};
use gowindows_crds::conditions::Reason;
use gowindows_crds::durations::go_duration;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::{ImageStatus, RolloutPhase};
use gowindows_model::facts::{Seen, Trouble, Workload, WorkloadContainer, World};
use gowindows_model::plan::{Effect, Plan, Question, Roll, TargetVerdict};
use gowindows_model::request::{Request, TargetRequest};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A target's pods are not watched; while a rollout is under way they are looked at this often.
const WATCH: Duration = Duration::from_secs(3);

pub(super) fn decide(world: &World, request: &Request, plan: &mut Plan) -> Result<(), Need> {
    let Some(image) = plan.conclusion.image.clone().filter(|image| image.reference.starts_with(&format!("{}@", request.repository))) else {
        plan.conclusion.targets =
            request.targets.iter().map(|target| waiting(target, Reason::Progressing, "no image is published yet")).collect();
        return Ok(());
    };
    if !request.apply {
        return Ok(());
    }
    for (index, target) in request.targets.iter().enumerate() {
        let (verdict, roll) = judge(world, request, &image, index, target);
        // The status names an image before a workload gets it: after a crash between the two, nothing knows of an image that runs already,
        // and it would be taken back.
        let told = world.status().image.as_ref().is_some_and(|told| told.reference == image.reference);
        match roll {
            Some(_) if !told => plan.look_again(Duration::ZERO),
            Some(roll) if confirmed(world, plan, &image)? => plan.effects.push(Effect::Roll(roll)),
            Some(_) => {
                let times = plan.conclusion.registry_trouble.as_ref().map_or(1, |trouble| trouble.times);
                plan.look_again(backoff(times, super::build::LONGEST_BACKOFF, world.spread()));
            }
            None if verdict.phase == RolloutPhase::Progressing || verdict.phase == RolloutPhase::Failed => plan.look_again(WATCH),
            None => {}
        }
        plan.conclusion.targets.push(verdict);
    }
    Ok(())
}

/// Status can be edited by others, so before a write the registry must serve the digest as an image of ours.
fn confirmed(world: &World, plan: &mut Plan, image: &ImageStatus) -> Result<bool, Need> {
    let Some(fingerprint) = &image.fingerprint else { return Ok(false) };
    let tag = names::fingerprint_tag(fingerprint);
    world.ask(vec![Question::Published(tag.clone())])?;
    let refused = |what: &str| {
        let message = format!("{what}; nothing is rolled. The gowindows.dev/rebuild order publishes it again.");
        Some(Trouble { reason: Reason::VerificationFailed, message, at: world.now, times: 1 })
    };
    let digest = &image.digest;
    plan.conclusion.registry_trouble = match world.answers.published.get(&tag) {
        Some(Seen::Fresh(Some(published), _) | Seen::Stale(Some(published), _)) => match published.violations.first() {
            None if published.image.digest == *digest => return Ok(true),
            None => refused(&format!("the tag {tag} leads to {} and not to {digest}", published.image.digest)),
            Some(violation) => refused(&format!("{digest} breaks a rule ({violation})")),
        },
        Some(Seen::Fresh(None, _) | Seen::Stale(None, _)) => {
            refused(&format!("the registry has no tag {tag}, which should lead to {digest}"))
        }
        Some(Seen::Unknown(trouble)) => Some(trouble.clone()),
        Some(Seen::NotAsked) | None => None,
    };
    Ok(false)
}

fn judge(world: &World, request: &Request, image: &ImageStatus, index: usize, target: &TargetRequest) -> (TargetVerdict, Option<Roll>) {
    let Some(workload) = world.workloads.get(index).and_then(Option::as_ref) else {
        let message = format!("{:?} {} does not exist; it is rolled as soon as it is created", target.kind, target.name);
        return (waiting(target, Reason::TargetNotFound, &message), None);
    };
    let container = match choose_container(target, workload) {
        Ok(container) => container,
        Err(message) => {
            return (
                TargetVerdict { phase: RolloutPhase::Failed, message: Some(message), ..waiting(target, Reason::ContainerNotFound, "") },
                None,
            );
        }
    };
    if let Some(older) = world.claims.get(index).and_then(Option::as_ref) {
        let message = format!(
            "container {} is rolled by the older GoWindowsImage {older}; remove the target from rollout.targets of one of the two",
            container.name
        );
        let verdict = TargetVerdict { phase: RolloutPhase::Failed, message: Some(message), ..waiting(target, Reason::TargetClaimed, "") };
        return (verdict, None);
    }
    let verdict = TargetVerdict {
        container: Some(container.name.clone()),
        updated: Some(format!("{}/{}", workload.updated.min(workload.replicas), workload.replicas)),
        warnings: template::missing(world, request, image, workload, container),
        ..waiting(target, Reason::Progressing, "")
    };
    if container.image != image.reference {
        return differs(workload, container, image, index, verdict);
    }
    let started_at = started_at(world, image, index);
    (settle(world, request, workload, started_at, TargetVerdict { started_at: Some(started_at), ..verdict }), None)
}

fn waiting(target: &TargetRequest, reason: Reason, message: &str) -> TargetVerdict {
    TargetVerdict {
        target: format!("{:?}/{}", target.kind, target.name),
        container: target.container.clone(),
        phase: RolloutPhase::Waiting,
        reason,
        updated: None,
        started_at: None,
        message: Some(message.to_owned()).filter(|message| !message.is_empty()),
        warnings: Vec::new(),
    }
}

fn choose_container<'a>(target: &TargetRequest, workload: &'a Workload) -> Result<&'a WorkloadContainer, String> {
    let names: Vec<_> = workload.containers.iter().map(|container| container.name.as_str()).collect();
    let names = names.join(", ");
    match (&target.container, workload.containers.as_slice()) {
        (Some(wanted), all) => all.iter().find(|container| container.name == *wanted).ok_or_else(|| {
            format!("{:?} {} has no container {wanted:?} (it has: {names}); correct rollout.targets[].container", target.kind, target.name)
        }),
        (None, [only]) => Ok(only),
        (None, _) => {
            Err(format!("{:?} {} has several containers ({names}); name one in rollout.targets[].container", target.kind, target.name))
        }
    }
}

/// When the digest that is there was written: as recorded for the same digest, else now.
fn started_at(world: &World, image: &ImageStatus, index: usize) -> Timestamp {
    let rollout = world.status().rollout.as_ref().filter(|rollout| rollout.digest == image.digest);
    let recorded = rollout.and_then(|rollout| rollout.targets.get(index)?.started_at.clone());
    recorded.map_or(world.now, |time| time.0)
}

/// The target names another image: write ours, unless another applier owns the field.
fn differs(
    workload: &Workload,
    container: &WorkloadContainer,
    image: &ImageStatus,
    index: usize,
    verdict: TargetVerdict,
) -> (TargetVerdict, Option<Roll>) {
    if let Some(owner) = &container.applied_by {
        let message = format!(
            "the image of container {} is owned by the server-side-apply manager {owner:?}; leave the image out of what {owner:?} applies, or set rollout.mode to StatusOnly",
            container.name
        );
        return (TargetVerdict { phase: RolloutPhase::Failed, reason: Reason::FieldOwned, message: Some(message), ..verdict }, None);
    }
    let roll = Roll {
        index,
        name: workload.name.clone(),
        uid: workload.uid.clone(),
        container: container.name.clone(),
        image: image.reference.clone(),
    };
    (TargetVerdict { phase: RolloutPhase::Progressing, ..verdict }, Some(roll))
}

/// The target names our image: what does its controller say?
fn settle(world: &World, request: &Request, workload: &Workload, started_at: Timestamp, verdict: TargetVerdict) -> TargetVerdict {
    let Workload { paused, observed, replicas, updated, available, total, stuck, .. } = workload;
    let complete = *observed && updated >= replicas && available >= replicas && total <= updated;
    if complete {
        return TargetVerdict { phase: RolloutPhase::Complete, reason: Reason::Succeeded, message: None, ..verdict };
    }
    if *paused {
        let message = format!("it is paused; resume it with `kubectl rollout resume deployment/{}`", workload.name);
        return TargetVerdict { phase: RolloutPhase::Waiting, reason: Reason::TargetPaused, message: Some(message), ..verdict };
    }
    if let Some(trouble) = workload.pod_troubles.first() {
        let message = format!("pod {}: {}", trouble.pod, trouble.message);
        return TargetVerdict { phase: RolloutPhase::Failed, reason: trouble.reason, message: Some(message), ..verdict };
    }
    if let Some(message) = stuck {
        return TargetVerdict {
            phase: RolloutPhase::Failed,
            reason: Reason::ProgressDeadlineExceeded,
            message: Some(message.clone()),
            ..verdict
        };
    }
    if later(started_at, request.progress_deadline) < world.now {
        let message = format!(
            "not available within rollout.progressDeadline ({})",
            go_duration(SignedDuration::try_from(request.progress_deadline).unwrap_or(SignedDuration::MAX))
        );
        return TargetVerdict { phase: RolloutPhase::Failed, reason: Reason::ProgressDeadlineExceeded, message: Some(message), ..verdict };
    }
    let message = format!("{updated} of {replicas} pods updated, {available} available");
    TargetVerdict { phase: RolloutPhase::Progressing, reason: Reason::Progressing, message: Some(message), ..verdict }
}
