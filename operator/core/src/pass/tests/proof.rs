//! What only a signature can prove is taken from no status, label, tag or message (security.md, H3 and H9).

use super::gate::gate;
use super::program::edited;
use super::*;
use gowindows_model::attest::Program;

/// What of a testimony is not that of the image.
type Forgery = fn(&mut Testimony);

const OLD: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

fn signing() -> Value {
    json!({"spec": {"signing": {"keySecretRef": {"name": "key"}}}})
}

/// What the operator says of the image of these inputs.
fn testimony(inputs: &Inputs) -> Testimony {
    Testimony {
        fingerprint: inputs.fingerprint().to_owned(),
        image: Some("registry.example.com/shop".into()),
        object: Some("team/shop".into()),
        program: Some(Program { inputs: inputs.program_fingerprint().to_owned(), sha256: "ab".into() }),
        tests: inputs.passed_tests().map(|tests| tests.inputs.clone()),
        started: Some(at(0)),
    }
}

fn inputs_of(world: &World) -> Inputs {
    settle(&mut world.clone(), None).verdicts.build.inputs.expect("inputs")
}

fn with_status(world: &mut World, change: impl FnOnce(&mut GoWindowsImageStatus)) {
    let mut object = (*world.object).clone();
    change(object.status.get_or_insert_default());
    world.object = Arc::new(object);
    world.answers.asked.clear();
    world.answers.published.clear();
}

/// R3: somebody who may push points the tag of the next commit's image at one that this key has signed for something else.
#[test]
fn an_image_is_adopted_only_by_what_says_that_it_is_this_one() {
    let mut patch = signing();
    merge(&mut patch, &gate());
    let world = world(patch);
    let right = testimony(&inputs_of(&world));
    let noted =
        ImageStatus { binary: Some(BinaryStatus { name: "shop.exe".into(), bytes: 1, sha256: "ab".into(), inputs: None }), ..image() };
    let adopts = |told: Vec<Testimony>| {
        let mut world = world.clone();
        is_told(&mut world, DIGEST, told);
        let plan = settle(&mut world, Some(&noted));
        assert_eq!(started(&plan).is_none(), plan.verdicts.build.image.is_some(), "{:?}", names_of(&plan));
        plan.verdicts.build.image.is_some()
    };
    assert!(adopts(vec![right.clone()]), "its own");
    assert!(!adopts(vec![]), "a tag alone");
    let wrong: [(&str, Forgery); 7] = [
        ("of an older commit", |told| told.fingerprint = "0".repeat(64)),
        ("of another object with the same inputs", |told| told.object = Some("team/other".into())),
        ("of another namespace", |told| told.object = Some("evil/shop".into())),
        ("for another repository", |told| told.image = Some("registry.example.com/other".into())),
        ("untested", |told| told.tests = None),
        ("with another program", |told| told.program = Some(Program { inputs: "f".into(), sha256: "ee".into() })),
        ("as a version before signed it", |told| (told.image, told.object) = (None, None)),
    ];
    for (what, change) in wrong {
        let mut told = right.clone();
        change(&mut told);
        assert!(!adopts(vec![told.clone()]), "{what}");
        assert!(adopts(vec![told, right.clone()]), "{what}, and its own beside it");
    }
}

#[test]
fn provenance_that_cannot_be_read_is_waited_for() {
    for patch in [json!({}), signing()] {
        let mut world = world(patch);
        let trouble = Trouble { reason: Reason::RegistryUnreachable, message: "No.".into(), at: at(1), times: 1 };
        world.answers.provenance.insert(DIGEST.into(), Seen::Unknown(trouble.clone()));
        let plan = settle(&mut world, Some(&image()));
        assert!(matches!(&plan.verdicts.build.progress, BuildProgress::Blocked(found) if *found == trouble), "{plan:?}");
        assert!(names_of(&plan).is_empty() && plan.next.is_some());
    }
    // A registry that has no list, or one that nobody can read, has none tomorrow either.
    for reason in [Reason::RegistryInvalid, Reason::RegistryAuthFailed] {
        let mut world = world(signing());
        let trouble = Trouble { reason, message: "No.".into(), at: at(1), times: 1 };
        world.answers.provenance.insert(DIGEST.into(), Seen::Unknown(trouble));
        assert!(started(&settle(&mut world, Some(&image()))).is_some(), "{reason}");
    }
}

/// Without a key whoever may push can write provenance too; still the tag alone is not enough.
#[test]
fn without_a_key_the_inputs_and_the_program_must_be_told() {
    let world = world(json!({}));
    let told = Testimony { image: None, object: None, ..testimony(&inputs_of(&world)) };
    for (told, adopted) in [(vec![told.clone()], true), (vec![], false), (vec![Testimony { fingerprint: "0".into(), ..told }], false)] {
        let mut world = world.clone();
        is_told(&mut world, DIGEST, told);
        assert_eq!(settle(&mut world, Some(&image())).verdicts.build.image.is_some(), adopted);
    }
}

/// The pod's words are lost, and somebody has pointed the tag elsewhere meanwhile.
#[test]
fn with_a_key_a_job_that_says_nothing_proves_no_image() {
    let mut world = with_job(world(signing()), BuildState::Succeeded(None));
    let waits = settle(&mut world, Some(&image()));
    assert!(matches!(waits.verdicts.build.progress, BuildProgress::Unconfirmed(_)) && names_of(&waits).is_empty(), "{waits:?}");
    world.now = at(1_000);
    let plan = settle(&mut world, Some(&image()));
    assert_eq!((names_of(&plan), plan.verdicts.build.image), (vec!["CreateJob"], None));
    let right = testimony(world.builds[0].inputs.as_ref().expect("inputs"));
    is_told(&mut world, DIGEST, vec![right]);
    world.answers.asked.clear();
    assert_eq!(names_of(&settle(&mut world, Some(&image()))), ["Attest", "MoveTags"]);

    // The same before it is published: an untested image is not promoted for a tag's sake.
    let mut patch = signing();
    merge(&mut patch, &gate());
    let mut gated = with_job(super::world(patch), BuildState::Succeeded(None));
    let passed = Run { state: BuildState::Succeeded(None), finished: Some(at(40)), ..created("shop-test", false, false, at(1)) };
    gated.builds[0].tests = Some(Tests { job: "shop-test".into(), before: vec![], run: Some(passed) });
    gated.now = at(1_000);
    assert_eq!(names_of(&settle(&mut gated, Some(&image()))), ["CreateJob"]);
}

/// H9: an edited status with another image, which has a sha256 of its own, and an edit that changes the image alone.
#[test]
fn the_program_that_is_taken_over_is_named_by_provenance_alone() {
    let relabelled = json!({"image": {"labels": {"team": "shop"}}});
    let reused = |world: &mut World| started(&settle(world, None)).expect("a build").reused_program.clone();
    let mut world = edited(&relabelled);
    let told = world.answers.provenance[DIGEST].value().expect("told")[0].clone();
    with_status(&mut world, |status| {
        let image = status.image.as_mut().expect("an image");
        image.binary.as_mut().expect("a program").sha256 = "ee".repeat(32);
    });
    assert_eq!(reused(&mut world).map(|program| program.sha256), Some("ab".into()), "whatever the status says");
    let evil = |told: Vec<Testimony>| {
        let mut world = world.clone();
        is_told(&mut world, OLD, told);
        with_status(&mut world, |status| {
            let image = status.image.as_mut().expect("an image");
            (image.digest, image.reference) = (OLD.into(), format!("registry.example.com/shop@{OLD}"));
        });
        reused(&mut world)
    };
    assert_eq!(evil(vec![]), None, "nothing is known of it");
    let older = Testimony { program: Some(Program { inputs: "of an older commit".into(), sha256: "cd".into() }), ..told.clone() };
    assert_eq!(evil(vec![older]), None);
    assert_eq!(evil(vec![Testimony { program: None, ..told }]), None, "as a version before wrote it");
}

/// Whoever may edit a status writes into it that tests have passed which never ran.
#[test]
fn tests_have_passed_where_provenance_says_so() {
    let mut world = edited(&json!({"go": {"test": {"packages": ["./..."]}}}));
    let wanted = inputs_of(&world).passed_tests().cloned().expect("tests");
    with_status(&mut world, |status| status.image.as_mut().expect("an image").tests = Some(wanted.clone()));
    let gated = |world: &mut World| started(&settle(world, None)).map(|order| order.gated);
    assert_eq!(gated(&mut world.clone()), Some(true));
    let told = world.answers.provenance[DIGEST].value().expect("told")[0].clone();
    is_told(&mut world, DIGEST, vec![Testimony { tests: Some(wanted.inputs), ..told }]);
    world.answers.asked.clear();
    assert_eq!(gated(&mut world), Some(false));
}

/// A status that names an older image of ours, as good as any, while the newest source does not build.
#[test]
fn an_edited_status_takes_no_workload_back() {
    let rolls = |patch: &Value, ours: Vec<Testimony>, theirs: Vec<Testimony>, runs: &str| {
        let mut world = settled_world();
        let mut object = object(patch.clone());
        object.status = world.object.status.clone();
        world.object = Arc::new(object);
        world.answers.source = Seen::Fresh(Revision { name: "main".into(), commit: NEXT.into() }, world.now);
        let order = settle(&mut world, None);
        if started(&order).is_some() {
            goes_on(&mut world, &order, failed(Reason::CompileError));
        }
        world.workloads = vec![Some(deployment(runs))];
        is_told(&mut world, OLD, ours);
        is_told(&mut world, DIGEST, theirs);
        let old = ImageStatus { reference: format!("registry.example.com/shop@{OLD}"), digest: OLD.into(), ..image() };
        with_status(&mut world, |status| {
            let fingerprint = status.image.as_ref().and_then(|image| image.fingerprint.clone());
            status.image = Some(ImageStatus { fingerprint, provenance: Some("sha256:9c".into()), ..old.clone() });
        });
        let plan = settle(&mut world, Some(&old));
        let told = plan.verdicts.rollout.unconfirmed.as_ref().map(|trouble| trouble.message.clone());
        assert_eq!(told.is_none(), names_of(&plan).contains(&"Roll"), "{:?}", names_of(&plan));
        assert!(told.as_ref().is_none_or(|told| told.contains("left alone")), "{told:?}");
        told.is_none()
    };
    let built = |second: i64| vec![Testimony { started: Some(at(second)), ..Testimony::default() }];
    let of_another = |image: &str, object: &str| {
        vec![Testimony { image: Some(image.into()), object: Some(object.into()), started: Some(at(100)), ..Testimony::default() }]
    };
    let current = image().reference;
    for patch in [json!({}), json!({"spec": {"interval": "soon"}})] {
        assert!(!rolls(&patch, built(-100), built(0), &current), "an older one");
        assert!(!rolls(&patch, vec![], built(0), &current), "one of which nothing is known");
        assert!(!rolls(&patch, built(-100), vec![], &current), "of what runs nothing is known");
        assert!(!rolls(&patch, built(0), built(0), &current), "both began at the same moment");
        assert!(!rolls(&patch, of_another("registry.example.com/shop", "team/dev"), built(0), &current), "a newer one of another object");
        assert!(!rolls(&patch, of_another("registry.example.com/dev", "team/shop"), built(0), &current), "of another repository");
        assert!(rolls(&patch, built(100), built(0), &current), "a newer one");
        assert!(rolls(&patch, built(-100), built(0), "old:1"), "what runs is none of ours");
    }
}

/// Each target may run another image: all of them are looked at in one round, or a pass would have too few.
#[test]
fn sixteen_targets_are_looked_at_in_one_round() {
    let targets: Vec<Value> = (0..16).map(|number| json!({"name": format!("shop-{number}")})).collect();
    let mut world = settled_world();
    let mut object = object(json!({"spec": {"interval": "soon", "rollout": {"targets": targets}}}));
    object.status = world.object.status.clone();
    world.object = Arc::new(object);
    let runs = |number: u8| Some(deployment(&format!("registry.example.com/shop@sha256:{}", format!("{number:02x}").repeat(32))));
    (world.workloads, world.claims) = ((0..16).map(|number| runs(number + 32)).collect(), vec![None; 16]);
    let (mut rounds, mut asked) = (0, 0);
    while let Decision::Ask(questions) = decide(&world, &settings()) {
        (rounds, asked) = (rounds + 1, asked + questions.len());
        for question in questions {
            nothing_is_told(&mut world, &question);
            if let Question::Published { tag, .. } = &question {
                let found = Published { image: image(), violations: vec![] };
                world.answers.published.insert(tag.clone(), Seen::Fresh(Some(found), world.now));
            }
            world.answers.asked.push(question);
        }
    }
    assert!(rounds <= 3 && asked >= 17, "{asked} questions in {rounds} rounds");
    // A target that is not rolled costs no question, nor does one that runs nothing of ours.
    let mut left_alone = world.clone();
    left_alone.claims = vec![Some("elder".into()); 16];
    left_alone.answers.asked.clear();
    assert!(matches!(decide(&left_alone, &settings()), Decision::Do(_)));
    world.workloads = vec![Some(deployment("old:1")); 16];
    world.answers.asked.retain(|question| matches!(question, Question::Published { .. }));
    assert!(matches!(decide(&world, &settings()), Decision::Do(_)));
}

/// Whoever may push points the next tag at an image that is larger than its owner wants: nothing was built, so nothing is too large.
#[test]
fn an_image_of_others_is_not_judged_by_its_size() {
    let mut world = world(json!({"spec": {"image": {"sizeBudget": {"app": "1M"}}}}));
    let platform = gowindows_crds::v1alpha1::PlatformStatus { app_bytes: 2_000_000, ..Default::default() };
    let large = ImageStatus { platforms: vec![platform], ..image() };
    assert!(started(&settle(&mut world, Some(&large))).is_some());
}

/// A status that calls another image that of the newest inputs.
#[test]
fn an_edited_status_moves_no_tag() {
    for patch in [json!({}), signing()] {
        let mut world = with_job(world(patch), succeeded());
        world.workloads = vec![Some(deployment("old:1"))];
        let plan = settle(&mut world, Some(&image()));
        report(&mut world, &plan);
        world.builds.clear();
        with_status(&mut world, |status| {
            let image = status.image.as_mut().expect("an image");
            (image.digest, image.reference, image.tags) = (OLD.into(), format!("registry.example.com/shop@{OLD}"), vec![]);
        });
        let plan = settle(&mut world, Some(&image()));
        assert_eq!(plan.verdicts.build.image.as_ref().map(|image| image.digest.as_str()), Some(DIGEST), "the registry is believed");
        let moved = writes(&plan)
            .into_iter()
            .find_map(|write| if let Write::MoveTags { digest, .. } = write { Some(digest.as_str()) } else { None });
        assert_eq!(moved, Some(DIGEST));
    }
}

/// Where the registry knows of no signature, what the status says of one does not stay.
#[test]
fn a_signature_that_is_not_found_is_not_told_any_more() {
    let mut world = with_job(world(signing()), succeeded());
    world.workloads = vec![Some(deployment(&image().reference))];
    let plan = settle(&mut world, Some(&image()));
    report(&mut world, &plan);
    world.builds.clear();
    world.workloads = vec![Some(deployment("old:1"))];
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(names_of(&plan), ["Attest", "Roll"]);
    let error = CallError { reason: Reason::NotWitnessed, message: "No.".into() };
    report_of(&mut world, &plan, &Outcome { steps: vec![Done::Failed(error), Done::Skipped], ..Outcome::default() });
    assert_eq!(world.status().image.as_ref().and_then(|image| image.signature.clone()), None);
    assert!(started(&settle(&mut world, Some(&image()))).is_some(), "it is built again");
}

/// The name of a branch is no input, so whoever edits a Job's annotation could have signed what he likes.
#[test]
fn the_name_of_a_reference_is_told_as_the_source_has_it() {
    let mut world = with_job(world(json!({})), succeeded());
    let mut list: Value = serde_json::from_str(world.builds[0].inputs.as_ref().expect("inputs").json()).expect("JSON");
    list["revision"] = json!(format!("refs/heads/released@sha1:{COMMIT}"));
    list["baseChoice"] = json!("because I say so");
    let forged: Inputs = serde_json::from_value(list).expect("inputs");
    assert_eq!(Some(forged.fingerprint()), world.builds[0].inputs.as_ref().map(|inputs| inputs.fingerprint()), "it is the same build");
    world.builds[0].inputs = Some(forged);
    let provenance = |world: &mut World| {
        let plan = settle(world, Some(&image()));
        let found = writes(&plan).into_iter().find_map(|write| match write {
            Write::Attest { attestation, .. } => attestation.provenance.clone(),
            _ => None,
        });
        found.expect("provenance")
    };
    let told = provenance(&mut world);
    assert_eq!(told.reference.as_deref(), Some("main"));
    assert!(!told.predicate(None).to_string().contains("released") && !told.predicate(None).to_string().contains("I say so"));
}
