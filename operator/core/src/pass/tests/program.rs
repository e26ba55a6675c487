//! When is nothing compiled?

use super::*;
use gowindows_crds::names;

/// The published and rolled world, with another specification.
fn edited(spec: &Value) -> World {
    let mut world = settled_world();
    let status = world.object.status.clone();
    let mut object = object(json!({"metadata": {"generation": 2}, "spec": spec}));
    object.status = status;
    world.object = Arc::new(object);
    world
}

/// The stages of the build that an edit leads to.
fn stages(world: &mut World) -> Vec<String> {
    let plan = settle(world, None);
    let pod = job(&plan).and_then(|job| job.spec?.template.spec).expect("a build");
    pod.init_containers.into_iter().flatten().chain(pod.containers).map(|container| container.name).collect()
}

#[test]
fn what_changes_the_image_alone_takes_the_program_from_the_image_before() {
    for image in [json!({"labels": {"team": "shop"}}), json!({"args": ["-v"]}), json!({"compression": {"level": 9}})] {
        let mut world = edited(&json!({"image": image}));
        assert_eq!(stages(&mut world), ["source", "assemble"], "{image}");
    }
    let mut world = edited(&json!({"image": {"labels": {"team": "shop"}}}));
    let plan = settle(&mut world, None);
    let reused = started(&plan).and_then(|order| order.reused_program.clone()).expect("a program");
    assert_eq!(reused.image, format!("registry.example.com/shop@{DIGEST}"));
    let pod = pod_of(job(&plan).expect("a build"));
    assert!(!serde_json::to_string(&pod).expect("JSON").contains("r.example.com/go@"), "the toolchain would be pulled");
}

#[test]
fn what_changes_the_program_is_compiled() {
    for go in [json!({"tags": ["netgo"]}), json!({"strip": false}), json!({"package": "./cmd/other"})] {
        assert_eq!(stages(&mut edited(&json!({"go": go}))), ["source", "compile", "assemble"], "{go}");
    }
    let moved = Revision { name: "main".into(), commit: NEXT.into() };
    let mut world = edited(&json!({}));
    world.answers.source = Seen::Fresh(moved, at(62));
    assert_eq!(stages(&mut world), ["source", "compile", "assemble"]);
}

#[test]
fn whoever_orders_a_build_and_whoever_has_no_signature_yet_gets_a_compiler() {
    let mut world = edited(&json!({}));
    let mut object = (*world.object).clone();
    object.metadata.annotations = Some([(names::ORDER_REBUILD.to_owned(), "now".to_owned())].into());
    world.object = Arc::new(object);
    assert_eq!(stages(&mut world), ["source", "compile", "assemble"]);
    let signed = json!({"image": {"labels": {"team": "shop"}}, "signing": {"keySecretRef": {"name": "key"}}});
    assert_eq!(stages(&mut edited(&signed)), ["source", "compile", "assemble"]);
}

#[test]
fn where_the_image_before_is_gone_the_next_attempt_compiles_at_once() {
    let mut world =
        with_job(edited(&json!({"image": {"labels": {"team": "shop"}}, "build": {"retries": 0}})), failed(Reason::ProgramUnavailable));
    assert_eq!(stages(&mut world), ["source", "compile", "assemble"]);
}
