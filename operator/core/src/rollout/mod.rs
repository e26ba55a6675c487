//! What should each target run, and does it?
//!
//! ```text
//! no workload -> Waiting      image differs -> Roll -> Progressing -> Complete
//! not ours to write -> Failed                               |  ^
//!                                                           v  | pods recover
//!                                                          Failed
//! ```
//!
//! The workload's own controller does the rolling and gives the verdict; this module writes one field and reads the verdict.

mod backwards;
mod report;
mod template;

pub(crate) use report::{condition, report, worst};

use crate::pace::{LONGEST_BACKOFF, backoff, later};
use crate::read::proof;
use gowindows_crds::conditions::Reason;
use gowindows_crds::durations::go_duration;
use gowindows_crds::v1alpha1::{ImageStatus, RolloutPhase};
use gowindows_model::facts::{Workload, WorkloadContainer, World};
use gowindows_model::inputs::Inputs;
use gowindows_model::plan::Wish;
use gowindows_model::plan::{Aspect, Good, Guard, Part, Roll, RolloutVerdict, Step, TargetVerdict, Wanted, WantedBecause, Write};
use gowindows_model::question::Need;
use gowindows_model::request::{RunRequest, TargetRequest};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// A target's pods are not watched; while a rollout is under way they are looked at this often.
const WATCH: Duration = Duration::from_secs(3);

/// What becomes of the targets, given what is published, and of which inputs the newest image is where there is one.
pub(crate) fn decide(
    world: &World,
    run: &RunRequest,
    good: Option<&Good>,
    newest: Option<&Inputs>,
    _: Wish,
) -> Result<Part<RolloutVerdict>, Need> {
    let mut part = Part::new(RolloutVerdict::default());
    let here = |good: &&Good| good.image.reference.starts_with(&run.reference(""));
    let Some(Good { image, .. }) = good.filter(here) else {
        let nothing = |target| waiting(target, Reason::Progressing, "no image is published yet");
        part.verdict.targets = run.targets.iter().map(nothing).collect();
        return Ok(part);
    };
    if !run.apply {
        return Ok(part);
    }
    let is_newest = newest.is_some_and(|newest| image.fingerprint.as_deref() == Some(newest.fingerprint()));
    let wanted = Wanted { digest: image.digest.clone(), env: BTreeMap::new(), why: WantedBecause::Newest };
    let judged = run.targets.iter().enumerate().map(|(index, target)| judge(world, run, image, &wanted, index, target));
    let judged: Vec<_> = judged.collect();
    if !is_newest {
        backwards::ask(world, run, image, judged.iter().filter_map(|(_, roll)| roll.as_ref()))?;
    }
    for (verdict, roll) in judged {
        let moves = verdict.phase == RolloutPhase::Progressing || verdict.phase == RolloutPhase::Failed;
        part.verdict.targets.push(TargetVerdict { wanted: Some(wanted.clone()), ..verdict });
        match roll {
            Some(roll) => write(world, run, image, is_newest, roll, &mut part)?,
            None if moves => part.requeue_after(WATCH),
            None => {}
        }
    }
    Ok(part)
}

/// Writes the image into a target, once the status names it and the registry confirms it.
fn write(
    world: &World,
    run: &RunRequest,
    image: &ImageStatus,
    is_newest: bool,
    roll: Roll,
    part: &mut Part<RolloutVerdict>,
) -> Result<(), Need> {
    // After a crash between the write and the status, nothing would know of an image that runs already, and it would be taken back.
    let told = world.status().image.as_ref().is_some_and(|told| told.reference == image.reference);
    if !told {
        part.requeue_after(Duration::ZERO);
        return Ok(());
    }
    let trouble = match proof::unconfirmed(world, run, image)? {
        None if !is_newest => backwards::trouble(world, run, image, &roll)?,
        trouble => trouble,
    };
    match trouble {
        None => {
            let after = run.signing.as_ref().map(|_| Guard::Signed);
            part.steps.push(Step { aspect: Aspect::Rollout, write: Write::Roll(roll), acknowledges: None, after });
        }
        Some(trouble) => {
            part.requeue_after(backoff(trouble.times, LONGEST_BACKOFF, world.spread()));
            part.verdict.unconfirmed = Some(trouble);
        }
    }
    Ok(())
}

fn judge(
    world: &World,
    run: &RunRequest,
    image: &ImageStatus,
    wanted: &Wanted,
    index: usize,
    target: &TargetRequest,
) -> (TargetVerdict, Option<Roll>) {
    let reference = run.reference(&wanted.digest);
    let Some(workload) = world.workloads.get(index).and_then(Option::as_ref) else {
        let message = format!("{} {} does not exist; it is rolled as soon as it is created", target.kind.as_str(), target.name);
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
        warnings: template::missing(world, run, image, workload, container),
        ..waiting(target, Reason::Progressing, "")
    };
    if container.image != reference {
        return differs(workload, container, reference, index, verdict);
    }
    let started_at = started_at(world, wanted, index);
    (settle(world, run, workload, started_at, TargetVerdict { started_at: Some(started_at), ..verdict }), None)
}

fn waiting(target: &TargetRequest, reason: Reason, message: &str) -> TargetVerdict {
    TargetVerdict {
        target: format!("{}/{}", target.kind.as_str(), target.name),
        container: target.container.clone(),
        wanted: None,
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
            format!(
                "{} {} has no container {wanted:?} (it has: {names}); correct rollout.targets[].container",
                target.kind.as_str(),
                target.name
            )
        }),
        (None, [only]) => Ok(only),
        (None, _) => Err(format!(
            "{} {} has several containers ({names}); name one in rollout.targets[].container",
            target.kind.as_str(),
            target.name
        )),
    }
}

/// When the digest that is there was written: as recorded for the same digest, else now.
fn started_at(world: &World, wanted: &Wanted, index: usize) -> Timestamp {
    let rollout = world.status().rollout.as_ref().filter(|rollout| rollout.digest == wanted.digest);
    let recorded = rollout.and_then(|rollout| rollout.targets.get(index)?.started_at.clone());
    recorded.map_or(world.now, |time| time.0)
}

/// The target names another image: write ours, unless another applier owns the field.
fn differs(
    workload: &Workload,
    container: &WorkloadContainer,
    image: String,
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
        kind: workload.kind,
        name: workload.name.clone(),
        uid: workload.uid.clone(),
        container: container.name.clone(),
        image,
    };
    (TargetVerdict { phase: RolloutPhase::Progressing, ..verdict }, Some(roll))
}

/// The target names our image: what does its controller say?
fn settle(world: &World, run: &RunRequest, workload: &Workload, started_at: Timestamp, verdict: TargetVerdict) -> TargetVerdict {
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
    if later(started_at, run.progress_deadline) < world.now {
        let message = format!(
            "not available within rollout.progressDeadline ({})",
            go_duration(SignedDuration::try_from(run.progress_deadline).unwrap_or(SignedDuration::MAX))
        );
        return TargetVerdict { phase: RolloutPhase::Failed, reason: Reason::ProgressDeadlineExceeded, message: Some(message), ..verdict };
    }
    let message = format!("{updated} of {replicas} pods updated, {available} available");
    TargetVerdict { phase: RolloutPhase::Progressing, reason: Reason::Progressing, message: Some(message), ..verdict }
}
