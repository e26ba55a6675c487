//! When is nothing compiled?

use super::*;
use gowindows_crds::names;

/// The published and rolled world, with another specification.
pub(super) fn edited(spec: &Value) -> World {
    let mut world = settled_world();
    let status = world.object.status.clone();
    let mut object = object(json!({"metadata": {"generation": 2}, "spec": spec}));
    object.status = status;
    world.object = Arc::new(object);
    world
}

/// Whether the build that an edit leads to compiles.
fn compiles(world: &mut World) -> bool {
    started(&settle(world, None)).expect("a build").reused_program.is_none()
}

#[test]
fn what_changes_the_image_alone_takes_the_program_from_the_image_before() {
    for image in [json!({"labels": {"team": "shop"}}), json!({"args": ["-v"]}), json!({"compression": {"level": 9}})] {
        let mut world = edited(&json!({"image": image}));
        assert!(!compiles(&mut world), "{image}");
    }
    let mut world = edited(&json!({"image": {"labels": {"team": "shop"}}}));
    let plan = settle(&mut world, None);
    let reused = started(&plan).and_then(|order| order.reused_program.clone()).expect("a program");
    assert_eq!(reused.image, format!("registry.example.com/shop@{DIGEST}"));
}

#[test]
fn what_changes_the_program_is_compiled() {
    for go in [json!({"tags": ["netgo"]}), json!({"strip": false}), json!({"package": "./cmd/other"})] {
        assert!(compiles(&mut edited(&json!({"go": go}))), "{go}");
    }
    let moved = Revision { name: "main".into(), commit: NEXT.into() };
    let mut world = edited(&json!({}));
    world.answers.source = Seen::Fresh(moved, at(62));
    assert!(compiles(&mut world));
}

#[test]
fn whoever_orders_a_build_and_whoever_has_no_signature_yet_gets_a_compiler() {
    let mut world = edited(&json!({}));
    let mut object = (*world.object).clone();
    object.metadata.annotations = Some([(names::ORDER_REBUILD.to_owned(), "now".to_owned())].into());
    world.object = Arc::new(object);
    assert!(compiles(&mut world));
    let signed = json!({"image": {"labels": {"team": "shop"}}, "signing": {"keySecretRef": {"name": "key"}}});
    let mut world = edited(&signed);
    is_told(&mut world, DIGEST, vec![]);
    assert!(compiles(&mut world));
}

#[test]
fn where_the_image_before_is_gone_the_next_attempt_compiles_at_once() {
    let mut world =
        with_job(edited(&json!({"image": {"labels": {"team": "shop"}}, "build": {"retries": 0}})), failed(Reason::ProgramUnavailable));
    assert!(compiles(&mut world));
}
