//! The edges of a decision: targets, orders that touch nothing, retention, and specifications that are refused.

use super::*;

#[test]
fn targets_get_their_verdict() {
    let reference = image().reference;
    let wanted = |change: fn(&mut Workload)| {
        let mut workload = deployment(&reference);
        change(&mut workload);
        workload
    };
    let crash = |workload: &mut Workload| {
        workload.available = 0;
        let image = workload.containers[0].image.clone();
        workload.pod_troubles = vec![PodTrouble { pod: "p".into(), image, reason: Reason::CrashLooping, message: "exit code 3".into() }];
    };
    let cases: Vec<(Option<Workload>, RolloutPhase, Reason, bool)> = vec![
        (None, RolloutPhase::Waiting, Reason::TargetNotFound, false),
        (Some(wanted(|_| {})), RolloutPhase::Complete, Reason::Succeeded, false),
        (Some(wanted(|w| w.containers[0].image = "old:1".into())), RolloutPhase::Progressing, Reason::Progressing, true),
        (Some(wanted(|w| w.available = 0)), RolloutPhase::Progressing, Reason::Progressing, false),
        (Some(wanted(crash)), RolloutPhase::Failed, Reason::CrashLooping, false),
        (Some(wanted(|w| (w.paused, w.updated) = (true, 0))), RolloutPhase::Waiting, Reason::TargetPaused, false),
        (Some(wanted(|w| w.containers.push(w.containers[0].clone()))), RolloutPhase::Failed, Reason::ContainerNotFound, false),
        (
            Some(wanted(|w| {
                w.containers[0].image = "old:1".into();
                w.containers[0].applied_by = Some("flux".into());
            })),
            RolloutPhase::Failed,
            Reason::FieldOwned,
            false,
        ),
    ];
    for (workload, phase, reason, rolls) in cases {
        let mut world = settled_world();
        world.workloads = vec![workload.clone()];
        let plan = settle(&mut world, Some(&image()));
        let target = &plan.verdicts.rollout.targets[0];
        assert_eq!((target.phase, target.reason), (phase, reason), "{workload:?}");
        assert_eq!(writes(&plan).iter().any(|write| matches!(write, Write::Roll(_))), rolls, "{workload:?}");
    }
}

#[test]
fn status_only_and_suspend_touch_nothing() {
    let refused = json!({"spec": {"suspend": true, "interval": "soon"}, "metadata": {"annotations": {names::ORDER_CANCEL: "1"}}});
    for patch in [json!({"spec": {"rollout": {"mode": "StatusOnly"}}}), json!({"spec": {"suspend": true}}), refused] {
        let mut world = settled_world();
        let status = world.object.status.clone();
        let mut edited = object(patch.clone());
        edited.status = status;
        world.object = Arc::new(edited);
        world.workloads = vec![Some(deployment("old:1"))];
        assert_eq!(names_of(&settle(&mut world, Some(&image()))), Vec::<&str>::new(), "{patch}");
    }
}

/// The world after its specification was edited.
fn edited(mut world: World, patch: Value) -> World {
    let edited = GoWindowsImage { status: world.object.status.clone(), ..object(patch) };
    world.object = Arc::new(edited);
    world
}

#[test]
fn a_refused_specification_stops_no_rollout() {
    let mut world = edited(settled_world(), json!({"spec": {"interval": "soon"}}));
    world.workloads = vec![Some(deployment("old:1"))];
    let plan = settle(&mut world, Some(&image()));
    assert!(matches!(plan.verdicts.spec, SpecVerdict::Refused { .. }));
    assert_eq!(names_of(&plan), ["Roll"]);
    report(&mut world, &plan);
    let condition = |kind| find(&world.status().conditions, kind).map(|condition| condition.reason.clone());
    assert_eq!(condition(ConditionType::Ready), Some("InvalidSpec".into()));
    assert_eq!(condition(ConditionType::RolledOut), Some("Progressing".into()));
    assert_eq!(condition(ConditionType::Built), Some("Succeeded".into()), "as it was");

    // Which workload it would be is not known: nothing is written.
    for rollout in [json!({"targets": [{"name": "shop"}, {"name": "shop"}]}), json!({"progressDeadline": "soon"})] {
        let mut world = edited(settled_world(), json!({"spec": {"rollout": rollout}}));
        world.workloads = vec![Some(deployment("old:1"))];
        let plan = settle(&mut world, Some(&image()));
        assert!(matches!(plan.verdicts.spec, SpecVerdict::Refused { .. }));
        assert_eq!(names_of(&plan), Vec::<&str>::new());
    }
}

#[test]
fn a_refused_specification_signs_before_it_rolls() {
    let refused = json!({"spec": {"interval": "soon", "signing": {"keySecretRef": {"name": "key"}}}});
    let mut world = edited(settled_world(), refused);
    world.workloads = vec![Some(deployment("old:1"))];
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(names_of(&plan), ["Attest", "Roll"]);
    assert_eq!(plan.steps[1].after, Some(Guard::Signed));
    // Why nothing is rolled is told, and what was signed is recorded.
    let failed = Done::Failed(CallError { reason: Reason::SecretUnavailable, message: "Secret key is absent.".into() });
    let mut told = world.clone();
    report_of(&mut told, &plan, &Outcome { steps: vec![failed, Done::Skipped], ..Outcome::default() });
    let attested = find(&told.status().conditions, ConditionType::Attested).expect("Attested");
    assert_eq!((attested.status.as_str(), attested.reason.as_str()), ("False", "SecretUnavailable"));
    report(&mut world, &plan);
    assert_eq!(world.status().image.as_ref().and_then(|image| image.signed_by.as_deref()), Some("key"));
    world.workloads = vec![Some(deployment(&image().reference))];
    assert_eq!(names_of(&settle(&mut world, Some(&image()))), Vec::<&str>::new(), "nothing waits for it any more");
    let before = world.object.status.clone();
    let plan = settle(&mut world, Some(&image()));
    report(&mut world, &plan);
    report(&mut world, &plan);
    let settled = world.object.status.clone();
    let plan = settle(&mut world, Some(&image()));
    report(&mut world, &plan);
    assert!(world.object.status == settled && settled != before, "the status is a fixed point");
}

/// The image before is of another repository: what runs is left alone, and told as it was.
#[test]
fn a_refused_specification_of_another_repository_rolls_nothing() {
    let patch = json!({"spec": {"interval": "soon", "image": {"repository": "registry.example.com/moved"}}});
    let mut world = edited(settled_world(), patch);
    let rolled = |world: &World| find(&world.status().conditions, ConditionType::RolledOut).map(|found| found.message.clone());
    let before = rolled(&world);
    world.workloads = vec![Some(deployment("old:1"))];
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(names_of(&plan), Vec::<&str>::new());
    report(&mut world, &plan);
    assert!(before.is_some() && rolled(&world) == before);
}

/// Found by the audit (H4): a pinned commit asks no git server, so the Secret was read by nobody before its pod sent it to the tenant's own.
#[test]
fn a_pinned_commit_leads_around_no_secret() {
    let pinned = json!({"spec": {"source": {"git": {"ref": {"commit": COMMIT}, "secretRef": {"name": "db-app"}}}}});
    for reason in [Reason::SecretUnavailable, Reason::SecretInvalid, Reason::SecretUnbound, Reason::Timeout] {
        let mut world = world(pinned.clone());
        let trouble = Trouble { reason, message: "It is so.".into(), at: at(1), times: 1 };
        world.answers.git_login = Seen::Unknown(trouble.clone());
        let plan = settle(&mut world, None);
        assert!(started(&plan).is_none() && plan.next.is_some(), "{reason}: {:?}", writes(&plan));
        assert!(matches!(&plan.verdicts.build.progress, BuildProgress::Blocked(found) if *found == trouble), "{reason}");
        // What was usable when it was looked at last is looked at again.
        let login = GitLogin { keys: vec!["username".into(), "password".into()], unbound: None };
        world.answers = Answers { git_login: Seen::Stale(login, trouble), source: world.answers.source.clone(), ..Answers::default() };
        assert!(started(&settle(&mut world, None)).is_none(), "{reason}");
    }
    let mut world = world(pinned);
    let login = GitLogin { keys: vec!["username".into(), "password".into()], unbound: Some("It will be refused.".into()) };
    world.answers.git_login = Seen::Fresh(login, at(1));
    let plan = settle(&mut world, None);
    let asked = Question::GitLogin { url: "https://git.example.com/shop.git".into(), secret: "db-app".into() };
    assert!(world.answers.asked.contains(&asked), "before each Job: {:?}", world.answers.asked);
    assert_eq!(plan.would_refuse, ["It will be refused."]);
    assert_eq!(started(&plan).map(|order| order.git_keys.clone()), Some(vec!["username".to_owned(), "password".to_owned()]));
    // A pass that has not looked says it no second time.
    goes_on(&mut world, &plan, BuildState::Running);
    world.answers.asked.clear();
    assert_eq!(settle(&mut world, None).would_refuse, Vec::<String>::new());
}

/// A kubelet waits for ever for a Secret to mount, and a pod that waits says nothing.
#[test]
fn no_job_is_made_while_a_secret_cannot_be_used() {
    let names_secrets = json!({"spec": {"image": {"pushSecretRef": {"name": "push"}}, "source": {"git": {"secretRef": {"name": "git"}}}}});
    let trouble = |reason| Trouble { reason, message: "Secret it is.".into(), at: at(1), times: 1 };
    let orders = [json!({}), json!({"metadata": {"annotations": {"gowindows.dev/rebuild": "now"}}})];
    for reason in [Reason::SecretUnavailable, Reason::SecretInvalid] {
        for (retry, order) in [(false, &orders[0]), (false, &orders[1]), (true, &orders[0])] {
            let mut world = world(names_secrets.clone());
            if retry {
                world = with_job(world, failed(Reason::RegistryAuthFailed));
                world.now = at(600);
            }
            let mut patched = serde_json::to_value(&*world.object).expect("JSON");
            merge(&mut patched, order);
            world.object = Arc::new(serde_json::from_value(patched).expect("an object"));
            let tag = {
                let mut asked = world.clone();
                let plan = settle(&mut asked, None);
                assert!(started(&plan).is_some(), "with good Secrets it builds: {plan:?}");
                plan.verdicts.build.inputs.expect("inputs").tag()
            };
            let mut without_push = world.clone();
            without_push.answers.published.insert(tag, Seen::Unknown(trouble(reason)));
            let mut without_git = world.clone();
            without_git.answers.source = Seen::Stale(Revision { name: "main".into(), commit: COMMIT.into() }, trouble(reason));
            for mut world in [without_push, without_git] {
                let plan = settle(&mut world, None);
                assert_eq!(names_of(&plan), Vec::<&str>::new());
                assert!(matches!(&plan.verdicts.build.progress, BuildProgress::Blocked(trouble) if trouble.reason == reason), "{plan:?}");
                assert!(performed(&plan).acknowledged(&plan).is_empty() && plan.next.is_some(), "the order stands, and it looks again");
            }
        }
    }
}

#[test]
fn old_jobs_go_and_the_current_one_stays() {
    let mut world = settled_world();
    for number in 0..8 {
        let mut old = world.builds[0].clone();
        (old.job, old.fingerprint, old.inputs) = (format!("old-{number}"), format!("{number:032}"), None);
        old.created = at(-1000 + number);
        world.builds.insert(usize::try_from(number).expect("small"), old);
    }
    let plan = settle(&mut world, None);
    let deleted: Vec<_> =
        writes(&plan).iter().map(|write| if let Write::Delete { job } = write { job.clone() } else { panic!("{write:?}") }).collect();
    assert_eq!(deleted, ["old-3", "old-2", "old-1", "old-0"], "5 succeeded ones are kept, the current one among them");
}

#[test]
fn recorded_inputs_are_found_again_from_the_status_alone() {
    let mut world = settled_world();
    world.builds.clear();
    let plan = settle(&mut world, None);
    assert_eq!((names_of(&plan).len(), world.answers.asked.len()), (0, 0), "{plan:?}");
    let recorded: InputsStatus = world.object.status.clone().and_then(|status| status.inputs).expect("inputs");
    assert_eq!(Some(recorded.fingerprint), plan.verdicts.build.inputs.map(|inputs| inputs.fingerprint().to_owned()));
}

#[test]
fn every_bad_specification_is_refused_by_name() {
    let corpus = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/corpus/bad_specs.yaml")).expect("the corpus");
    let cases: Vec<Value> = serde_norway::from_str(&corpus).expect("a list");
    for case in cases.iter().filter(|case| case.get("decide").is_none()) {
        let refusal = match Request::new(&object(json!({"spec": case["patch"]})), &settings()) {
            Err(refusal) => refusal,
            Ok(_) => panic!("{} is accepted", case["name"]),
        };
        let says = case["says"].as_str().expect("says");
        assert!(refusal.message.contains(says), "{}: {says:?} not in {:?}", case["name"], refusal.message);
        if let Some(secret) = case.get("never").and_then(Value::as_str) {
            assert!(!refusal.message.contains(secret), "{}", refusal.message);
        }
    }
}

#[test]
fn the_newest_toolchain_is_the_default_and_a_missing_one_is_named() {
    let request = Request::new(&object(json!({})), &settings()).expect("valid");
    assert!(request.toolchain.contains("go@sha256"), "1.26 is newer than 1.9: {}", request.toolchain);
    let refusal = Request::new(&object(json!({"spec": {"go": {"version": "1.2"}}})), &settings()).expect_err("no such toolchain");
    assert_eq!(refusal.reason, Reason::NotConfigured);
    assert!(refusal.message.contains("1.26"), "{}", refusal.message);
}

#[test]
fn a_target_belongs_to_the_older_object() {
    let mut world = settled_world();
    world.claims = vec![Some("elder".into())];
    world.workloads = vec![Some(deployment("old:1"))];
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(names_of(&plan), Vec::<&str>::new());
    let verdict = &plan.verdicts.rollout.targets[0];
    assert_eq!((verdict.phase, verdict.reason), (RolloutPhase::Failed, Reason::TargetClaimed));
    assert!(verdict.message.as_ref().is_some_and(|message| message.contains("elder")), "{verdict:?}");
}

#[test]
fn a_target_that_refuses_again_is_no_news() {
    let mut world = settled_world();
    world.workloads = vec![Some(deployment("old:1"))];
    let mut statuses = Vec::new();
    for pass in 0..2 {
        world.now = at(1000 + 10 * pass);
        let plan = settle(&mut world, Some(&image()));
        assert_eq!(names_of(&plan), ["Roll"]);
        let error = CallError { reason: Reason::TargetRefused, message: "No.".into() };
        let refused = Outcome { steps: vec![Done::Failed(error)], ..Outcome::default() };
        statuses.push(crate::pass::report(&world, &plan, &refused));
        let mut object = (*world.object).clone();
        object.status = statuses.last().cloned();
        world.object = Arc::new(object);
        world.answers.asked.clear();
    }
    assert_eq!(statuses[0], statuses[1], "or each try would bring about the next one");
    let plan = settle(&mut world, Some(&image()));
    report(&mut world, &plan);
    let begun = world.status().rollout.as_ref().and_then(|rollout| rollout.targets[0].started_at.clone());
    assert_eq!(begun.map(|time| time.0), Some(world.now), "the deadline counts from the write");
}

#[test]
fn a_lost_status_is_recovered_from_what_the_targets_run() {
    let mut world = with_job(world(json!({})), succeeded());
    world.answers.source = Seen::Fresh(Revision { name: "main".into(), commit: NEXT.into() }, world.now);
    for (runs, recovered) in [(image().reference, Some(DIGEST.to_owned())), ("other:1".into(), None)] {
        world.workloads = vec![Some(deployment(&runs))];
        world.answers.asked.clear();
        let built = world.builds[0].inputs.as_ref().expect("inputs").tag();
        let served = Published { image: image(), violations: vec![] };
        world.answers.published.insert(built, Seen::Fresh(Some(served), world.now));
        let plan = settle(&mut world, None);
        let expected: &[&str] = if recovered.is_some() { &["CreateJob", "Attest"] } else { &["CreateJob"] };
        assert_eq!(names_of(&plan), expected, "{runs}");
        assert_eq!(plan.verdicts.publish.newest.map(|image| image.digest), recovered, "{runs}");
    }
}

#[test]
fn what_travels_to_a_build_is_limited() {
    let long = |length: usize| "x".repeat(length);
    let many = |count: usize, value: &str| (0..count).map(|number| (format!("k{number}"), json!(value))).collect::<serde_json::Map<_, _>>();
    let table = [
        (json!({"args": [long(4097)]}), "image.args"),
        (json!({"args": vec![long(4000); 8]}), "30000 bytes together"),
        (json!({"args": vec!["a"; 65]}), "at most 64"),
        (json!({"args": ["a\0b"]}), "NUL"),
        (json!({"env": [{"name": "A", "value": long(32_001)}]}), "image.env[].value"),
        (json!({"labels": {"a": long(4097)}}), "image.labels[a]"),
        (json!({"annotations": {"a": "\0"}}), "image.annotations[a]"),
        (json!({"labels": many(65, "x")}), "at most 64"),
        (json!({"labels": many(20, &long(4000))}), "65536 bytes together"),
        (json!({"env": [{"name": "A", "value": "\u{1}".repeat(20_000)}]}), "65536 bytes together"),
        (json!({"files": vec![json!({"from": "a", "to": "C:\\app\\a"}); 17]}), "at most 16"),
    ];
    for (image, says) in table {
        let refusal = Request::new(&object(json!({"spec": {"image": image}})), &settings()).expect_err(says);
        assert!(refusal.message.contains(says) && refusal.message.len() < 500, "{says}: {}", refusal.message);
    }
    assert!(Request::new(&object(json!({"spec": {"image": {"labels": many(14, &long(4000))}}})), &settings()).is_ok());
}

#[test]
fn facts_of_the_source_are_inputs_unless_the_user_gives_them() {
    let assembly = |image: Value| {
        let request = Request::new(&object(json!({"spec": {"image": image}})), &settings()).expect("valid");
        request.assembly(COMMIT, vec![])
    };
    let known = assembly(json!({}));
    assert_eq!((known.revision.as_deref(), known.source.as_deref()), (Some(COMMIT), Some("https://git.example.com/shop.git")));
    let given = assembly(json!({
        "labels": {"org.opencontainers.image.source": "https://example.com"},
        "annotations": {"org.opencontainers.image.revision": "$(revision)", "note": "at $(revision)"},
    }));
    assert_eq!((given.revision, given.source), (None, None));
    assert_eq!(given.annotations["note"], format!("at {COMMIT}"));
}

/// With a Secret for everything, unpinned images, tests as a gate and nodes that choose the base: still far fewer rounds than a pass has.
#[test]
fn the_most_demanding_specification_asks_in_few_rounds() {
    let secret = |name: &str| json!({"name": name});
    let mut world = world(json!({"spec": {
        "source": {"git": {"secretRef": secret("git")}},
        "image": {"pushSecretRef": secret("push"), "base": {"pullSecretRef": secret("base"), "releases": ["ltsc2022"]}},
        "go": {"image": "r.example.com/go:latest", "modules": {"secretRef": secret("modules")}, "test": {"packages": ["./..."]}},
        "build": {"engine": "BuildKit", "buildkit": {"address": "tcp://b.builds:1234", "tlsSecretRef": secret("tls")}},
    }}));
    world.answers.source = Seen::NotAsked;
    world.answers.modules = Seen::Fresh(ModulesLogin::default(), at(0));
    world.answers.builder = Seen::Fresh((), at(0));
    let mut rounds = 0;
    while let Decision::Ask(questions) = decide(&world, &settings()) {
        rounds += 1;
        assert!(rounds < crate::pass::ROUNDS / 2, "{:?}", world.answers.asked);
        for question in questions {
            assert!(!world.answers.asked.contains(&question), "asked twice: {question:?}");
            match &question {
                Question::Source { .. } => {
                    world.answers.source = Seen::Fresh(Revision { name: "main".into(), commit: COMMIT.into() }, world.now);
                }
                Question::Published { tag, .. } => drop(world.answers.published.insert(tag.clone(), Seen::Fresh(None, world.now))),
                Question::Digest { reference, .. } => {
                    drop(world.answers.digests.insert(reference.clone(), Seen::Fresh(DIGEST.into(), world.now)))
                }
                _ => {}
            }
            world.answers.asked.push(question);
        }
    }
    let Decision::Do(plan) = decide(&world, &settings()) else { panic!("it asks") };
    assert!(started(&plan).is_some() && rounds > 4, "{rounds} {:?}", plan.verdicts.build.progress);
}
