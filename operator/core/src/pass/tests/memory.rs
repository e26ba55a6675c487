//! Memory: what a build gets, what it gets after it ran out of it, and what the next builds of the object learn from that.

use super::*;
use gowindows_crds::v1alpha1::{BuildEngine, MemorySource};
use gowindows_model::wire::stopped::Stopped;

const GI: u64 = 1 << 30;

/// Request and limit of what compiles and tests.
fn memory_of(plan: &Plan) -> Option<(String, String)> {
    let memory = started(plan)?.memory.clone()?;
    Some((memory.request, memory.limit))
}

fn pair(request: &str, limit: &str) -> Option<(String, String)> {
    Some((request.to_owned(), limit.to_owned()))
}

fn ran_out(stage: Option<&str>) -> BuildState {
    let message = "Stage compile used more memory than its limit.".into();
    let stage = stage.map(str::to_owned);
    BuildState::Failed(Failure { reason: Reason::OutOfMemory, stage, exit_code: Some(137), message, log_tail: None })
}

/// The newest attempt got this far; then the next pass, long after.
fn after(world: &mut World, plan: &Plan, state: BuildState) -> Plan {
    report(world, plan);
    goes_on(world, plan, state);
    world.now = later(world.now, Duration::from_secs(900));
    settle(world, None)
}

fn verdict(plan: &Plan) -> (Reason, String, bool) {
    match &plan.verdicts.build.progress {
        BuildProgress::Failed { reason, message, retry_at, .. } => (*reason, message.clone(), retry_at.is_some()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_buildkitd_in_the_pod_gets_twice_as_much_and_the_client_of_one_elsewhere_no_more() {
    let tcp = json!({"address": "tcp://buildkitd.builds:1234", "tlsSecretRef": {"name": "buildkit-tls"}});
    for (buildkit, raised) in [(json!({"inPod": true}), true), (tcp, false)] {
        let mut world = world(json!({"spec": {"build": {"engine": "BuildKit", "buildkit": buildkit}}}));
        let first = settle(&mut world, None);
        let had = memory_of(&first);
        let second = after(&mut world, &first, ran_out(Some("compile")));
        let has = memory_of(&second);
        assert_eq!(has, if raised { pair("4Gi", "8Gi") } else { None }, "{buildkit}");
        assert_eq!(had == pair("1Gi", "4Gi"), raised, "{buildkit}");
    }
}

#[test]
fn a_build_that_ran_out_of_memory_gets_twice_as_much_once() {
    let mut world = world(json!({}));
    let first = settle(&mut world, None);
    assert_eq!(memory_of(&first), pair("1Gi", "4Gi"));
    let second = after(&mut world, &first, ran_out(Some("compile")));
    assert_eq!(memory_of(&second), pair("4Gi", "8Gi"), "it needs more than 4Gi: so much is set aside");
    let third = after(&mut world, &second, ran_out(Some("compile")));
    assert!(started(&third).is_none(), "{third:?}");
    let (reason, message, again) = verdict(&third);
    assert_eq!((reason, again), (Reason::OutOfMemory, false));
    for part in ["build.resources.limits.memory to more than 8Gi", "build.resources.maxMemory", "ran out of 4Gi"] {
        assert!(message.contains(part), "{message}");
    }
    // Its Jobs go, and it stays final; until somebody gives it more.
    report(&mut world, &third);
    world.builds.clear();
    assert_eq!((names_of(&settle(&mut world, None)).len(), verdict(&settle(&mut world, None)).2), (0, false));
    let mut edited = object(json!({"spec": {"build": {"resources": {"limits": {"memory": "12Gi"}}}}}));
    edited.status.clone_from(&world.object.status);
    world.object = Arc::new(edited);
    world.answers.asked.clear();
    let plan = settle(&mut world, None);
    assert_eq!(memory_of(&plan), pair("1Gi", "12Gi"));
}

#[test]
fn what_happens_next_is_told_before_it_does() {
    let mut world = world(json!({}));
    let first = settle(&mut world, None);
    report(&mut world, &first);
    goes_on(&mut world, &first, ran_out(Some("compile")));
    world.now = later(world.now, Duration::from_secs(61));
    let (_, message, again) = verdict(&settle(&mut world, None));
    assert!(again && message.ends_with("The next attempt gets 8Gi."), "{message}");
}

#[test]
fn a_limit_that_is_declared_is_kept_unless_more_is_allowed() {
    let resources = |resources: Value| json!({"spec": {"build": {"resources": resources}}});
    let table = [
        (json!({"limits": {"memory": "256Mi"}}), pair("256Mi", "256Mi"), None, "build.resources.limits.memory is 256Mi and is kept"),
        (json!({"limits": {"memory": "256Mi"}, "maxMemory": "384Mi"}), pair("256Mi", "256Mi"), pair("256Mi", "384Mi"), ""),
        (json!({"requests": {"memory": "2Gi"}}), pair("2Gi", "4Gi"), pair("2Gi", "8Gi"), ""),
        (json!({"maxMemory": "2Gi"}), pair("1Gi", "2Gi"), None, "That is the most it may get"),
        (json!({"maxMemory": "6Gi"}), pair("1Gi", "4Gi"), pair("4Gi", "6Gi"), ""),
    ];
    for (given, first, next, says) in table {
        let mut world = world(resources(given.clone()));
        let plan = settle(&mut world, None);
        assert_eq!(memory_of(&plan), first, "{given}");
        let plan = after(&mut world, &plan, ran_out(Some("compile")));
        assert_eq!(memory_of(&plan), next, "{given}");
        if next.is_none() {
            let (_, message, again) = verdict(&plan);
            assert!(!again && message.contains(says), "{given}: {message}");
        }
    }
    let mut world = world(json!({"spec": {"build": {"retries": 0}}}));
    let plan = settle(&mut world, None);
    let plan = after(&mut world, &plan, ran_out(Some("compile")));
    assert!(started(&plan).is_none() && verdict(&plan).1.contains("build.retries is 0"), "{plan:?}");
}

#[test]
fn the_next_build_starts_with_what_sufficed() {
    let mut world = world(json!({}));
    let first = settle(&mut world, None);
    let second = after(&mut world, &first, ran_out(Some("compile")));
    let plan = after(&mut world, &second, BuildState::Succeeded(None));
    report(&mut world, &plan);
    let learned = world.status().learned.clone().and_then(|learned| learned.memory).expect("it is in the status");
    assert_eq!((learned.request.as_str(), learned.limit.as_str(), learned.engine), ("4Gi", "8Gi", BuildEngine::Go));
    assert_eq!(learned.because, Some(format!("Job {} ran out of 4Gi", world.builds[0].job)));
    let next = Revision { name: "main".into(), commit: NEXT.into() };
    world.answers.source = Seen::Fresh(next, world.now);
    // From the Jobs, and without the status; from the status, and without the Jobs; and with a settings file that allows less.
    let with_jobs = |world: &World| {
        let mut world = world.clone();
        let mut object = (*world.object).clone();
        object.status.as_mut().expect("a status").learned = None;
        world.object = Arc::new(object);
        world
    };
    let without_jobs = |world: &World| World { builds: vec![], ..world.clone() };
    for mut world in [with_jobs(&world), without_jobs(&world)] {
        let plan = settle(&mut world, None);
        assert_eq!(memory_of(&plan), pair("4Gi", "8Gi"));
        let told = started(&plan).and_then(|order| order.memory.clone()).expect("told");
        assert_eq!((told.source, told.because), (MemorySource::Learned, learned.because.clone()));
        let plan = after(&mut world, &plan, ran_out(Some("compile")));
        assert!(started(&plan).is_none(), "8Gi is the most: {plan:?}");
    }
    let mut kaniko = without_jobs(&world);
    let mut object = (*kaniko.object).clone();
    object.spec.build.get_or_insert_default().engine = Some(BuildEngine::Kaniko);
    kaniko.object = Arc::new(object);
    assert_eq!(memory_of(&settle(&mut kaniko, None)), pair("1Gi", "4Gi"), "another engine needs other amounts");
}

#[test]
fn an_eviction_because_of_memory_sets_more_aside() {
    let mut world = world(json!({}));
    let first = settle(&mut world, None);
    report(&mut world, &first);
    let mut evicted = ordered(started(&first).expect("a build"), world.now);
    evicted.state = BuildState::Running;
    if let Some(current) = &mut evicted.current {
        (current.evicted, current.since) = (true, Some(world.now));
    }
    world.builds.push(evicted);
    let plan = settle(&mut world, None);
    assert!(matches!(&writes(&plan)[..], [Write::Stop { why, .. }] if *why == Stopped::Evicted), "{:?}", writes(&plan));
    world.builds.clear();
    let second = after(&mut world, &first, ran_out(None));
    assert_eq!(memory_of(&second), pair("4Gi", "4Gi"));
    let third = after(&mut world, &second, ran_out(None));
    assert!(started(&third).is_none() && verdict(&third).1.contains("build.resources.requests.memory"), "{third:?}");
    // Where the object says what is to be set aside, the Job controller goes on as ever.
    let mut declared = super::world(json!({"spec": {"build": {"resources": {"requests": {"memory": "1Gi"}}}}}));
    let plan = settle(&mut declared, None);
    let mut evicted = ordered(started(&plan).expect("a build"), world.now);
    evicted.state = BuildState::Running;
    if let Some(current) = &mut evicted.current {
        current.evicted = true;
    }
    declared.builds.push(evicted);
    declared.answers.asked.clear();
    assert_eq!(names_of(&settle(&mut declared, None)), Vec::<&str>::new());
}

#[test]
fn memory_of_others_is_a_passing_failure() {
    for stage in ["source", "assemble"] {
        let mut world = world(json!({}));
        let mut plan = settle(&mut world, None);
        for _ in 0..2 {
            plan = after(&mut world, &plan, ran_out(Some(stage)));
            assert_eq!(memory_of(&plan), pair("1Gi", "4Gi"), "{stage}");
        }
        assert!(verdict(&after(&mut world, &plan, ran_out(Some(stage)))).1.contains("build.retries allows no more"), "{stage}");
    }
}

#[test]
fn amounts_that_cannot_be_meant_are_refused_by_name() {
    for (resources, field) in [
        (json!({"limits": {"memory": "much"}}), "build.resources.limits.memory"),
        (json!({"requests": {"memory": "0"}}), "build.resources.requests.memory"),
        (json!({"requests": {"memory": "5Gi"}}), "build.resources.requests.memory"),
        (json!({"limits": {"memory": "4Gi"}, "maxMemory": "2Gi"}), "build.resources.maxMemory"),
    ] {
        let object = object(json!({"spec": {"build": {"resources": resources}}}));
        let refusal = Request::new(&object, &settings()).expect_err("refused");
        assert!(refusal.reason == Reason::InvalidSpec && refusal.message.contains(field), "{}", refusal.message);
    }
    let mut settings = settings();
    settings.resources.max_memory = Some("5Gi".into());
    let memory = Request::new(&object(json!({})), &settings).expect("valid").build.memory;
    assert_eq!((memory.request, memory.limit, memory.most), (GI, 4 * GI, 5 * GI));
}
