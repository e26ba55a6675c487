//! What becomes of an image that is too large?

use super::*;
use gowindows_crds::v1alpha1::PlatformStatus;

fn sized(app_bytes: i64) -> ImageStatus {
    ImageStatus { platforms: vec![PlatformStatus { app_bytes, total_bytes: app_bytes, ..PlatformStatus::default() }], ..image() }
}

fn budget(json: Value) -> Value {
    json!({"spec": {"image": {"sizeBudget": json}}})
}

fn edit(world: &mut World, patch: Value) {
    let mut object = serde_json::to_value(&*world.object).expect("JSON");
    merge(&mut object, &patch);
    world.object = Arc::new(serde_json::from_value(object).expect("an object"));
    world.answers.asked.clear();
    world.answers.published.clear();
}

fn refused(plan: &Plan) -> bool {
    matches!(&plan.verdicts.build.progress, BuildProgress::Failed { reason: Reason::SizeBudgetExceeded, retry_at: None, .. })
}

fn takes(plan: &Plan) -> bool {
    names_of(plan).contains(&"MoveTags") && started(plan).is_none()
}

#[test]
fn too_large_gets_no_tag_and_no_target() {
    let mut world = with_job(world(budget(json!({"app": "1M"}))), succeeded());
    world.workloads = vec![Some(deployment("registry.example.com/other:1"))];
    let plan = settle(&mut world, Some(&sized(1_000_001)));
    assert!(refused(&plan), "{:?}", plan.verdicts.build.progress);
    assert_eq!((names_of(&plan), &plan.verdicts.publish.newest), (vec![], &None));
    report(&mut world, &plan);
    let status = world.object.status.as_ref().expect("a status");
    let message = &status.conditions.iter().find(|condition| condition.type_ == "Built").expect("Built").message;
    assert!(message.contains("1000001") && message.contains("raise the budget"), "{message}");
    assert_eq!(
        status.build.as_ref().and_then(|build| build.failure.clone()).map(|failure| failure.reason),
        Some("SizeBudgetExceeded".into())
    );

    edit(&mut world, budget(json!({"app": "2M"})));
    let plan = settle(&mut world, Some(&sized(1_000_001)));
    assert!(takes(&plan), "a raised budget takes what is there, without a build: {:?}", names_of(&plan));
}

#[test]
fn a_raised_budget_takes_what_the_registry_can_prove_when_the_job_is_gone() {
    let mut world = with_job(world(budget(json!({"app": "1M"}))), succeeded());
    let plan = settle(&mut world, Some(&sized(1_000_001)));
    report(&mut world, &plan);
    world.builds.clear();
    edit(&mut world, json!({}));
    let plan = settle(&mut world, Some(&sized(1_000_001)));
    assert!(refused(&plan) && started(&plan).is_none(), "{:?}", plan.verdicts.build.progress);
    edit(&mut world, budget(json!({"app": "2M"})));
    // What was refused has no provenance.
    assert!(started(&settle(&mut world.clone(), Some(&sized(1_000_001)))).is_some());
    let inputs = plan.verdicts.build.inputs.expect("inputs");
    is_told(&mut world, DIGEST, vec![Testimony { fingerprint: inputs.fingerprint().to_owned(), ..Testimony::default() }]);
    let plan = settle(&mut world, Some(&sized(1_000_001)));
    assert!(takes(&plan), "{:?}", names_of(&plan));
}

#[test]
fn growth_is_noted_and_a_warning_keeps_nothing_back() {
    let digest = format!("sha256:{}", "2".repeat(64));
    let larger = ImageStatus { reference: format!("registry.example.com/shop@{digest}"), digest: digest.clone(), ..sized(1_300_000) };
    for (action, published) in [("Warn", true), ("Fail", false)] {
        let mut world = with_job(world(budget(json!({"growthPercent": 20, "action": action}))), succeeded());
        let plan = settle(&mut world, Some(&sized(1_000_000)));
        assert_eq!(plan.verdicts.publish.newest.as_ref().and_then(|image| image.delta_percent), None, "the first image grew from nothing");
        report(&mut world, &plan);
        world.answers.source = Seen::Fresh(Revision { name: "main".into(), commit: NEXT.into() }, at(61));
        let mut world = with_job(
            world,
            BuildState::Succeeded(Some(BuildResult { digest: digest.clone(), binary: None, sbom: None, warnings: vec![] })),
        );
        let plan = settle(&mut world, Some(&larger));
        let image = plan.verdicts.publish.newest.as_ref().expect("a good image");
        assert_eq!((image.digest == digest, refused(&plan)), (published, !published), "{action}");
        assert_eq!(image.delta_percent, published.then_some(30));
        report(&mut world, &plan);
        let conditions = &world.object.status.as_ref().expect("a status").conditions;
        let warning = conditions.iter().find(|condition| condition.type_ == "ImageWarnings");
        assert_eq!(warning.is_some_and(|warning| warning.message.contains("grew by 30 %")), published, "{warning:?}");
    }
}
