//! Decisions, each from a world that is written down, read from the plan: verdicts, orders and other writes as values.

mod attest;
mod bases;
mod budget;
mod edges;
mod fixtures;
mod gate;
mod memory;
mod program;
mod proof;
mod queue;
mod rendered;
mod template;
mod windows;

use super::decide;
use crate::pace::later;
use crate::read::*;
use fixtures::*;
use gowindows_crds::GoWindowsImage;
use gowindows_crds::conditions::{ConditionType, Reason, find};
use gowindows_crds::names;
use gowindows_crds::v1alpha1::{BinaryStatus, GoWindowsImageStatus, ImageStatus, InputsStatus, NodeSystem, RolloutPhase, TargetKind};
use gowindows_model::attest::Testimony;
use gowindows_model::call_error::CallError;
use gowindows_model::facts::*;
use gowindows_model::inputs::*;
use gowindows_model::plan::*;
use gowindows_model::question::Question;
use gowindows_model::request::{Refusal, Request};
use gowindows_model::settings::Settings;
use k8s_openapi::jiff::Timestamp;
use kube_core::ResourceExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use template::{deployment, placement};

#[test]
fn the_first_look_builds_and_a_repeated_decision_meets_itself() {
    let mut first = world(json!({}));
    let plan = settle(&mut first, None);
    assert_eq!(names_of(&plan), ["CreateJob"]);
    assert!(
        first.answers.asked.iter().any(|question| matches!(question, Question::Published { .. })),
        "the registry is asked before a build"
    );
    assert!(matches!(&plan.verdicts.build.cause, Some(Cause::First(_))));
    let again = settle(&mut world(json!({})), None);
    assert_eq!(started(&plan).map(|order| &order.job), started(&again).map(|order| &order.job));
}

#[test]
fn a_running_build_is_left_alone() {
    let mut running = with_job(world(json!({})), BuildState::Running);
    assert_eq!(names_of(&settle(&mut running, None)), Vec::<&str>::new());
}

#[test]
fn a_succeeded_build_is_believed_when_the_registry_confirms_it() {
    let mut world = with_job(world(json!({})), succeeded());
    world.workloads = vec![Some(deployment("old:1"))];
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(names_of(&plan), ["MoveTags", "Attest"], "the status names an image before a workload gets it");
    report(&mut world, &plan);
    assert_eq!(names_of(&settle(&mut world, Some(&image()))), ["Roll"]);
    let image = plan.verdicts.publish.newest.clone().expect("an image");
    assert_eq!(image.binary.expect("the program").bytes, 5_900_000);
    let Write::MoveTags { tags, .. } = &writes(&plan)[0] else { panic!() };
    assert_eq!(tags, &[COMMIT, "latest"]);
}

#[test]
fn a_settled_world_does_nothing_and_asks_nothing() {
    let mut world = settled_world();
    let plan = settle(&mut world, None);
    assert_eq!((names_of(&plan).len(), world.answers.asked.len()), (0, 0), "{plan:?}");
    let before = world.object.status.clone();
    report(&mut world, &plan);
    assert_eq!(world.object.status, before, "the status is a fixed point");
}

#[test]
fn another_digest_than_the_reported_one_is_not_used() {
    let mut world = with_job(world(json!({})), succeeded());
    world.workloads = vec![Some(deployment("old:1"))];
    let plan = settle(&mut world, Some(&ImageStatus { digest: "sha256:other".into(), ..image() }));
    assert!(matches!(plan.verdicts.build.progress, BuildProgress::Failed { reason: Reason::VerificationFailed, .. }));
    assert_eq!(names_of(&plan), Vec::<&str>::new());
}

#[test]
fn a_forged_status_is_not_rolled() {
    let mut world = settled_world();
    let mut object = (*world.object).clone();
    let forged = "sha256:2222222222222222222222222222222222222222222222222222222222222222";
    let image_status = object.status.as_mut().and_then(|status| status.image.as_mut()).expect("an image");
    image_status.digest = forged.into();
    image_status.reference = format!("registry.example.com/shop@{forged}");
    world.object = Arc::new(object);
    let plan = settle(&mut world, Some(&image()));
    let rolls: Vec<_> =
        writes(&plan).into_iter().filter(|write| matches!(write, Write::Roll(roll) if roll.image.contains("2222"))).collect();
    assert!(rolls.is_empty(), "{rolls:?}");
    // Without the Job that knows better, the registry is asked before a write, and what it says is believed.
    world.builds.clear();
    world.workloads = vec![Some(deployment("old:1"))];
    world.answers.asked.clear();
    let healed = settle(&mut world, Some(&image()));
    assert_eq!(healed.verdicts.publish.newest.as_ref().expect("an image").digest, DIGEST);
    assert!(!names_of(&healed).contains(&"Roll"), "{healed:?}");
}

#[test]
fn a_new_commit_is_a_cause_and_ends_the_build_of_the_old_one() {
    let mut world = with_job(world(json!({})), BuildState::Running);
    world.answers.source = Seen::Fresh(Revision { name: "main".into(), commit: NEXT.into() }, world.now);
    let plan = settle(&mut world, None);
    assert_eq!(names_of(&plan), ["StopJob", "CreateJob"]);
    assert!(matches!(&plan.verdicts.build.cause, Some(Cause::SourceMoved { .. })), "{:?}", plan.verdicts.build.cause);
}

#[test]
fn only_what_changes_the_image_is_a_cause() {
    let edits = [
        (json!({"spec": {"image": {"args": ["-v"]}}}), true),
        (json!({"spec": {"go": {"strip": false}}}), true),
        (json!({"spec": {"image": {"labels": {"a": "b"}}}}), true),
        (json!({"spec": {"rollout": {"progressDeadline": "1m"}}}), false),
        (json!({"spec": {"interval": "1m", "history": {"failed": 1}}}), false),
        (json!({"spec": {"build": {"retries": 0, "timeouts": {"build": "1h"}}}}), false),
        (json!({"spec": {"source": {"git": {"ref": {"branch": "main"}}}}}), false),
    ];
    for (edit, builds) in edits {
        let mut world = settled_world();
        let status = world.object.status.clone();
        let mut edited = object(edit.clone());
        (edited.status, edited.metadata.generation) = (status, Some(2));
        world.object = Arc::new(edited);
        assert_eq!(started(&settle(&mut world, None)).is_some(), builds, "{edit}");
    }
}

#[test]
fn a_lost_status_comes_back_without_a_build() {
    let mut world = settled_world();
    let with_status = world.object.status.clone().expect("a status");
    world.object = Arc::new(object(json!({})));
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(names_of(&plan), ["MoveTags", "Attest"], "tags are moved again, which changes nothing");
    assert_eq!(plan.verdicts.publish.newest.as_ref().map(|image| &image.digest), with_status.image.as_ref().map(|image| &image.digest));
    world.builds.clear();
    world.answers.asked.clear();
    let adopted = settle(&mut world, Some(&image()));
    assert_eq!(names_of(&adopted), ["MoveTags", "Attest"], "the registry alone is enough");
}

#[test]
fn failures_are_tried_again_by_their_class() {
    let cases = [
        (Reason::CompileError, false, None),
        (Reason::Lost, true, Some(10)),
        (Reason::RegistryAuthFailed, true, Some(10)),
        (Reason::RegistryInvalid, true, Some(10)),
        (Reason::VerificationFailed, true, Some(10)),
        (Reason::Cancelled, false, None),
    ];
    for (reason, again, after) in cases {
        let mut world = with_job(world(json!({})), failed(reason));
        let plan = settle(&mut world, None);
        assert!(started(&plan).is_none(), "{reason}: not at once");
        let BuildProgress::Failed { retry_at, .. } = &plan.verdicts.build.progress else {
            panic!("{reason}: {:?}", plan.verdicts.build.progress)
        };
        assert_eq!(retry_at.is_some(), again, "{reason}");
        let Some(after) = after else { continue };
        world.now = at(60 + after + 3);
        assert_eq!(started(&settle(&mut world, None)).map(|order| order.attempt), Some(2), "{reason}");
    }
}

#[test]
fn retries_end() {
    let mut world = with_job(world(json!({"spec": {"build": {"retries": 1}}})), failed(Reason::Lost));
    world.builds[0].attempt = 2;
    world.now = at(9_999);
    let plan = settle(&mut world, None);
    let BuildProgress::Failed { retry_at: None, message, .. } = &plan.verdicts.build.progress else {
        panic!("{:?}", plan.verdicts.build.progress)
    };
    assert!(message.contains("build.retries"), "{message}");
}

#[test]
fn an_outage_does_not_use_the_retries_up() {
    for reason in [Reason::RegistryUnreachable, Reason::SourceUnreachable, Reason::BaseUnavailable] {
        let mut world = with_job(world(json!({"spec": {"build": {"retries": 1}}})), failed(reason));
        world.builds[0].attempt = 7;
        world.now = at(9_999);
        assert_eq!(started(&settle(&mut world, None)).map(|order| order.attempt), Some(8), "{reason}");
    }
}

#[test]
fn a_job_that_was_deleted_is_a_failed_attempt() {
    let mut world = with_job(world(json!({})), BuildState::Running);
    let plan = settle(&mut world, None);
    report(&mut world, &plan);
    world.builds.clear();
    let plan = settle(&mut world, None);
    assert_eq!(started(&plan).map(|order| order.attempt), Some(2));
}

#[test]
fn each_order_acts_once() {
    let mut world = settled_world();
    let mut object = (*world.object).clone();
    object.annotations_mut().insert(names::ORDER_REBUILD.into(), "t1".into());
    world.object = Arc::new(object);
    let plan = settle(&mut world, None);
    assert_eq!(names_of(&plan), ["CreateJob"]);
    let order = started(&plan).expect("a build");
    assert_ne!(order.job, world.builds[0].job, "a rebuild is another Job");
    report(&mut world, &plan);
    let fresh = ordered(order, world.now);
    world.builds.push(fresh);
    assert_eq!(names_of(&settle(&mut world, None)), Vec::<&str>::new());

    let mut running = with_job(self::world(json!({"metadata": {"annotations": {names::ORDER_CANCEL: "c1"}}})), BuildState::Running);
    let plan = settle(&mut running, None);
    assert_eq!(names_of(&plan), ["StopJob"]);
    report(&mut running, &plan);
    assert_eq!(names_of(&settle(&mut running, None)), Vec::<&str>::new());
}

#[test]
fn a_stage_that_takes_too_long_is_stopped() {
    let mut world = with_job(world(json!({"spec": {"build": {"timeouts": {"build": "1m"}}}})), BuildState::Running);
    world.builds[0].stages = vec![gowindows_crds::v1alpha1::StageStatus {
        name: "compile".into(),
        started_at: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0))),
        ..Default::default()
    }];
    assert_eq!(names_of(&settle(&mut world, None)), Vec::<&str>::new());
    world.now = at(71);
    let plan = settle(&mut world, None);
    assert!(matches!(&writes(&plan)[..], [Write::Stop { why, .. }] if why.to_string() == "Timeout/compile"), "{:?}", writes(&plan));
}

#[test]
fn an_unreachable_source_keeps_what_is_there() {
    let mut world = settled_world();
    let trouble = Trouble { reason: Reason::SourceUnreachable, message: "no route".into(), at: world.now, times: 1 };
    world.answers.source = Seen::Stale(Revision { name: "main".into(), commit: COMMIT.into() }, trouble.clone());
    let plan = settle(&mut world, None);
    assert_eq!((names_of(&plan), plan.verdicts.source.trouble), (vec![], Some(trouble.clone())));
    world.answers.source = Seen::Unknown(trouble);
    let plan = settle(&mut world, None);
    assert_eq!(names_of(&plan), Vec::<&str>::new());
    assert!(matches!(plan.verdicts.build.progress, BuildProgress::Published(_)), "after a restart the recorded revision stands");
}

#[test]
fn the_source_is_looked_at_when_it_is_due() {
    for (interval, elapsed, looks) in [("5m", 100, false), ("5m", 331, true), ("0s", 99_999, false), ("10s", 12, true)] {
        let mut world = settled_world();
        let mut object = (*world.object).clone();
        object.spec.interval = Some(interval.into());
        world.object = Arc::new(object);
        world.now = at(elapsed);
        settle(&mut world, None);
        let asked = world.answers.asked.iter().any(|asked| matches!(asked, Question::Source { .. }));
        assert_eq!(asked, looks, "{interval} after {elapsed} s");
    }
}
