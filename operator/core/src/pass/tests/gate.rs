//! What do tests beside a build hold back, and what do they not?

use super::*;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::StageStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub(super) fn gate() -> Value {
    json!({"spec": {"go": {"test": {"packages": ["./..."]}}}})
}

/// A gated world whose build and tests got so far; `None`: the Job is gone.
fn with_jobs(patch: Value, state: BuildState, tests: Option<BuildState>) -> World {
    let mut world = world(patch);
    let plan = settle(&mut world, None);
    let order = started(&plan).filter(|order| order.gated).expect("a build and its tests");
    let ends = |state: &BuildState, at_second| (!state.is_active()).then_some(at(at_second));
    let run = tests.map(|state| {
        let fresh = created(&format!("{}-test", order.job), false, false, world.now);
        let current = current(fresh.current.clone(), &state, world.now);
        Run { finished: ends(&state, 40), state, current, ..fresh }
    });
    let mut build = ordered(order, world.now);
    build.current = current(build.current, &state, world.now);
    (build.running, build.finished) = (state.is_active(), ends(&state, 60));
    build.state = state;
    world.builds.push(tested(build, run));
    world.answers.asked.clear();
    world.answers.published.clear();
    world.now = at(61);
    world
}

/// Decides with a registry that has these tags.
fn settle_with(world: &mut World, tags: &[String]) -> Plan {
    loop {
        match decide(world, &settings()) {
            Decision::Do(plan) => return *plan,
            Decision::Ask(questions) => {
                for question in questions {
                    if let Question::Published { tag, .. } = &question {
                        let found = tags.contains(tag).then(|| Published { image: image(), violations: vec![] });
                        world.answers.published.insert(tag.clone(), Seen::Fresh(found, world.now));
                    }
                    nothing_is_told(world, &question);
                    assert!(!world.answers.asked.contains(&question), "asked twice: {question:?}");
                    world.answers.asked.push(question);
                }
            }
        }
    }
}

fn inputs(world: &World) -> Inputs {
    world.builds[0].inputs.clone().expect("inputs")
}

#[test]
fn nothing_is_published_before_the_tests_have_passed() {
    for (state, tests) in [
        (succeeded(), BuildState::Running),
        (succeeded(), BuildState::Queued(None)),
        (BuildState::Running, BuildState::Succeeded(None)),
        (BuildState::Running, BuildState::Running),
    ] {
        let mut world = with_jobs(gate(), state, Some(tests));
        world.workloads = vec![Some(deployment("old:1"))];
        let tags = [inputs(&world).untested_tag()];
        let plan = settle_with(&mut world, &tags);
        assert_eq!(names_of(&plan), Vec::<&str>::new());
        assert!(matches!(plan.verdicts.build.progress, BuildProgress::Active(_)), "{:?}", plan.verdicts.build.progress);
    }
}

#[test]
fn passed_tests_publish_the_image_and_are_recorded() {
    let mut world = with_jobs(gate(), succeeded(), Some(BuildState::Succeeded(None)));
    world.workloads = vec![Some(deployment("old:1"))];
    let inputs = inputs(&world);
    let plan = settle_with(&mut world, &[inputs.untested_tag()]);
    let [Write::Promote { digest, tag, .. }] = &writes(&plan)[..] else { panic!("{:?}", writes(&plan)) };
    assert_eq!((digest.as_str(), tag), (DIGEST, &inputs.tag()));
    report(&mut world, &plan);
    assert!(world.status().image.is_none());
    let plan = settle_with(&mut world, &[inputs.untested_tag(), inputs.tag()]);
    assert_eq!(names_of(&plan), ["MoveTags", "Attest"]);
    report(&mut world, &plan);
    assert_eq!(world.status().image.as_ref().and_then(|image| image.tests.clone()), inputs.passed_tests().cloned());
    // The tag is the proof: what made it may go.
    for builds in [vec![], vec![Build { tests: None, ..world.builds[0].clone() }]] {
        let mut later = world.clone();
        later.builds = builds;
        Arc::make_mut(&mut later.object).status = None;
        assert_eq!(names_of(&settle_with(&mut later, &[inputs.tag()])), ["MoveTags", "Attest"]);
    }
}

#[test]
fn a_failed_test_ends_the_build_and_is_not_tried_again() {
    let mut world = with_jobs(gate(), BuildState::Running, Some(failed(Reason::TestsFailed)));
    world.now = at(9_999);
    let plan = settle(&mut world, None);
    let [Write::Stop { job, why }] = &writes(&plan)[..] else { panic!("{:?}", writes(&plan)) };
    assert_eq!((job, why.to_string().as_str()), (&world.builds[0].job, "Tests/TestsFailed"));
    let verdict = |plan: &Plan| match &plan.verdicts.build.progress {
        BuildProgress::Failed { reason, retry_at, .. } => (*reason, *retry_at),
        other => panic!("{other:?}"),
    };
    assert_eq!(verdict(&plan), (Reason::TestsFailed, None));
    report(&mut world, &plan);
    // Neither with its Jobs nor without them.
    let mut ended = with_jobs(gate(), succeeded(), Some(failed(Reason::TestsFailed)));
    for gone in [false, true] {
        ended.object = world.object.clone();
        ended.builds.retain(|_| !gone);
        ended.answers.asked.clear();
        let tags = [world.builds[0].inputs.as_ref().expect("inputs").untested_tag()];
        let plan = settle_with(&mut ended, &tags);
        assert_eq!((names_of(&plan), verdict(&plan)), (vec![], (Reason::TestsFailed, None)));
    }
    // What is tested is an input: leaving it out is a change, and then the image is made as any other.
    let mut without = ended.clone();
    let mut object = object(json!({"metadata": {"generation": 2}}));
    object.status = world.object.status.clone();
    without.object = Arc::new(object);
    let plan = settle(&mut without, None);
    assert!(matches!(&plan.verdicts.build.cause, Some(Cause::SpecChanged(_))), "{:?}", plan.verdicts.build.cause);
    assert_eq!(started(&plan).map(|order| order.gated), Some(false));
}

#[test]
fn whatever_fails_first_ends_the_other_and_the_next_attempt_waits_for_both() {
    let mut world = with_jobs(gate(), failed(Reason::Lost), Some(BuildState::Running));
    world.now = at(9_999);
    let plan = settle(&mut world, None);
    assert!(
        matches!(&writes(&plan)[..], [Write::Stop { job, why }] if job.ends_with("-test") && why.to_string() == "BuildFailed"),
        "{plan:?}"
    );
    let tests = world.builds[0].tests.as_mut().and_then(|tests| tests.run.as_mut()).expect("a run");
    (tests.state, tests.finished) = (failed(Reason::Cancelled), Some(at(62)));
    let plan = settle(&mut world, None);
    assert_eq!(started(&plan).map(|order| order.gated), Some(true), "{:?}", writes(&plan));
}

#[test]
fn tests_that_do_not_compile_let_the_compiler_have_its_say() {
    let broken = failed(Reason::CompileError);
    let mut world = with_jobs(gate(), BuildState::Running, Some(broken.clone()));
    assert_eq!(names_of(&settle(&mut world, None)), Vec::<&str>::new());
    for (state, stage) in [(succeeded(), "test"), (broken.clone(), "compile")] {
        let BuildState::Failed(mut failure) = broken.clone() else { panic!() };
        failure.stage = Some("test".into());
        let mut world = with_jobs(gate(), state, Some(BuildState::Failed(failure)));
        let plan = settle(&mut world, None);
        report(&mut world, &plan);
        let failure = world.status().build.as_ref().and_then(|build| build.failure.clone()).expect("a failure");
        assert_eq!((failure.reason.as_str(), failure.stage.as_deref()), ("CompileError", Some(stage)));
    }
}

#[test]
fn tests_whose_job_is_gone_have_not_passed() {
    let mut world = with_jobs(gate(), succeeded(), None);
    let tags = [inputs(&world).untested_tag()];
    let plan = settle_with(&mut world, &tags);
    assert!(
        matches!(plan.verdicts.build.progress, BuildProgress::Failed { reason: Reason::Lost, .. }),
        "{:?}",
        plan.verdicts.build.progress
    );
}

#[test]
fn what_has_passed_is_not_tested_again_unless_ordered() {
    let mut tested = with_jobs(gate(), succeeded(), Some(BuildState::Succeeded(None)));
    let tags = [inputs(&tested).tag()];
    let plan = settle_with(&mut tested, &tags);
    report(&mut tested, &plan);
    let edited = |patch: Value| {
        let mut edit = gate();
        merge(&mut edit, &patch);
        let mut world = tested.clone();
        let mut object = object(edit);
        (object.status, object.metadata.generation) = (world.object.status.clone(), Some(2));
        world.object = Arc::new(object);
        (world.builds, world.answers.asked) = (vec![], vec![]);
        world.answers.published.clear();
        settle(&mut world, None)
    };
    let plan = edited(json!({"spec": {"image": {"labels": {"team": "shop"}}}}));
    assert_eq!(started(&plan).map(|order| order.gated), Some(false), "{:?}", writes(&plan));
    for again in [
        json!({"spec": {"go": {"strip": false}}}),
        json!({"spec": {"go": {"test": {"packages": ["./till"]}}}}),
        json!({"metadata": {"annotations": {names::ORDER_REBUILD: "now"}}}),
    ] {
        assert_eq!(started(&edited(again.clone())).map(|order| order.gated), Some(true), "{again}");
    }
}

#[test]
fn a_gate_for_an_image_that_is_there_needs_no_compiler() {
    let mut world = settled_world();
    let mut object = object(gate());
    (object.status, object.metadata.generation) = (world.object.status.clone(), Some(2));
    world.object = Arc::new(object);
    let plan = settle(&mut world, None);
    let order = started(&plan).expect("a build and its tests");
    assert!(order.gated && order.reused_program.is_some(), "{order:?}");
    assert_eq!(plan.verdicts.build.cause.expect("a cause").to_string(), "SpecChanged: go.test");
    assert_eq!(plan.verdicts.publish.newest.map(|image| image.digest), Some(DIGEST.to_owned()), "until then the image before stands");
}

#[test]
fn both_jobs_are_stopped_by_order_by_a_newer_source_and_by_their_own_limits() {
    let mut cancelled = gate();
    cancelled["metadata"] = json!({"annotations": {names::ORDER_CANCEL: "now"}});
    let mut world = with_jobs(gate(), BuildState::Running, Some(BuildState::Running));
    world.object = Arc::new(object(cancelled));
    assert_eq!(names_of(&settle(&mut world, None)), ["StopJob", "StopJob"]);

    let mut world = with_jobs(gate(), BuildState::Running, Some(BuildState::Running));
    world.answers.source = Seen::Fresh(Revision { name: "main".into(), commit: NEXT.into() }, world.now);
    assert_eq!(names_of(&settle(&mut world, None)), ["StopJob", "StopJob", "CreateJob"]);

    let mut world = with_jobs(gate(), succeeded(), Some(BuildState::Running));
    let run = world.builds[0].tests.as_mut().and_then(|tests| tests.run.as_mut()).expect("a run");
    run.stages = vec![StageStatus { name: "test".into(), started_at: Some(Time(at(0))), ..StageStatus::default() }];
    world.now = at(1_811);
    let plan = settle(&mut world, None);
    assert!(
        matches!(&writes(&plan)[..], [Write::Stop { job, why }] if job.ends_with("-test") && why.to_string() == "Timeout/test"),
        "{plan:?}"
    );
}

#[test]
fn stray_tests_go_after_a_while_and_old_ones_with_their_build() {
    let mut world = settled_world();
    world.orphans = vec![("shop-stray-test".into(), at(0))];
    let early = settle(&mut world, None);
    assert_eq!((names_of(&early).len(), early.next.is_some()), (0, true));
    world.now = at(401);
    assert!(matches!(writes(&settle(&mut world, None))[..], [Write::Delete { job }] if job == "shop-stray-test"));

    let mut world = with_jobs(gate(), succeeded(), Some(BuildState::Succeeded(None)));
    let tags = [inputs(&world).tag()];
    let old = Build { job: "old".into(), fingerprint: "0".repeat(32), ..world.builds[0].clone() };
    world.builds.splice(0..0, [old]);
    Arc::make_mut(&mut world.object).spec.history = Some(serde_json::from_value(json!({"succeeded": 1})).expect("a history"));
    let plan = settle_with(&mut world, &tags);
    let deleted: Vec<_> =
        writes(&plan).into_iter().filter_map(|write| if let Write::Delete { job } = write { Some(job.as_str()) } else { None }).collect();
    let tests = world.builds[0].tests.as_ref().map(|tests| tests.job.as_str());
    assert_eq!(deleted, [tests.expect("tests"), "old"]);
}

#[test]
fn packages_are_judged_by_name() {
    let refused = |packages: Value| {
        let object = object(json!({"spec": {"go": {"test": {"packages": packages}}}}));
        Request::new(&object, &settings()).err().map(|refusal| refusal.message).unwrap_or_default()
    };
    for good in [json!(["./..."]), json!([".", "./cmd/shop", "./internal/..."])] {
        assert_eq!(refused(good), "");
    }
    for bad in [json!([]), json!(["..."]), json!(["-exec=x"]), json!(["./../other"]), json!(["example.com/x"]), json!([".", "."])] {
        assert!(refused(bad.clone()).starts_with("go.test.packages: "), "{bad}");
    }
}

#[test]
fn all_stages_of_the_tests_are_told_but_the_one_that_fetches() {
    let mut world = with_jobs(gate(), BuildState::Running, Some(BuildState::Running));
    let stage = |name: &str| StageStatus { name: name.into(), ..StageStatus::default() };
    let build = &mut world.builds[0];
    build.stages = ["source", "compile", "assemble"].map(stage).to_vec();
    let run = build.tests.as_mut().and_then(|tests| tests.run.as_mut()).expect("tests");
    run.stages = ["source", "modules", "test"].map(stage).to_vec();
    let told: Vec<_> = build.all_stages().into_iter().map(|stage| stage.name).collect();
    assert_eq!(told, ["source", "compile", "assemble", "modules", "test"]);
}
