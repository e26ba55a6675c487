//! What is said of an image, when, and what waits for it.

use super::*;

const KEY: &str = "shop-signing";

fn signed_world() -> World {
    let mut world = with_job(world(json!({"spec": {"signing": {"keySecretRef": {"name": KEY}}}})), succeeded());
    world.workloads = vec![Some(deployment("old:1"))];
    world
}

fn attestation(plan: &Plan) -> Option<&Attestation> {
    writes(plan).iter().find_map(|write| if let Write::Attest { attestation, .. } = write { Some(attestation.as_ref()) } else { None })
}

/// A pass in which the registry is away, or refuses: what waits for a signature is not tried.
fn refused(world: &mut World, plan: &Plan, reason: Reason) {
    let error = CallError { reason, message: "No.".into() };
    let done = |step: &Step| match (&step.write, step.after) {
        (Write::Attest { .. }, _) => Done::Failed(error.clone()),
        (_, Some(Guard::Signed)) => Done::Skipped,
        (_, None) => Done::Performed,
    };
    let steps: Vec<Done> = plan.steps.iter().map(done).collect();
    let tags = |(step, done): (&Step, &Done)| match &step.write {
        Write::MoveTags { tags, .. } if *done == Done::Performed => Some(tags.clone()),
        _ => None,
    };
    let tagged = plan.steps.iter().zip(&steps).find_map(tags);
    report_of(world, plan, &Outcome { steps, tagged, attested: None });
}

/// The key that a plan signs with.
fn key(plan: &Plan) -> Option<String> {
    writes(plan).into_iter().find_map(|write| if let Write::Attest { key, .. } = write { Some(key.clone()) } else { None })?
}

fn condition(world: &World, kind: ConditionType) -> (String, String) {
    let found = find(&world.status().conditions, kind).expect("the condition");
    (found.status.clone(), found.reason.clone())
}

#[test]
fn provenance_names_what_was_built_from_what_by_which_job() {
    let mut world = with_job(world(json!({})), succeeded());
    let plan = settle(&mut world, Some(&image()));
    let attestation = attestation(&plan).expect("an attestation");
    assert_eq!(key(&plan), None);
    assert_eq!(attestation.digests, [DIGEST]);
    let provenance = attestation.provenance.as_ref().expect("the Job is there");
    assert_eq!((provenance.commit.as_str(), provenance.reference.as_deref()), (COMMIT, Some("main")));
    assert_eq!(provenance.bases, [format!("{BASE}@{DIGEST}")]);
    assert_eq!(provenance.witness.job, world.builds[0].job);
    report(&mut world, &plan);
    assert_eq!(condition(&world, ConditionType::Attested), ("True".into(), "Succeeded".into()));
    assert_eq!(world.status().image.as_ref().and_then(|image| image.sbom.as_deref()), Some("sha256:5b"));
}

#[test]
fn provenance_names_the_repository_of_the_build_and_not_of_today() {
    let other = json!({"spec": {"source": {"git": {"url": "https://git.example.com/moved.git"}}}});
    let labelled = json!({"spec": {"image": {"labels": {"org.opencontainers.image.source": "https://example.com"}}}});
    for patch in [json!({}), labelled] {
        let mut world = with_job(world(patch.clone()), succeeded());
        let inputs = world.builds[0].inputs.clone().expect("inputs");
        assert_eq!(inputs.repository(), "https://git.example.com/shop.git");
        // The specification is edited before anything is said of what was built.
        let mut edited = patch;
        merge(&mut edited, &other);
        let published = ImageStatus { fingerprint: Some(inputs.fingerprint().to_owned()), ..image() };
        let moved = object(edited);
        let request = Request::new(&moved, &settings()).expect("valid");
        let today = Inputs::new(&request, "main", SourceId::Commit(COMMIT.into()), inputs.pins()).expect("canonical");
        assert_eq!(today.differing_fields(&inputs), ["source.git.url"]);
        assert_ne!(today.fingerprint(), inputs.fingerprint(), "another repository is another build");
        let status = GoWindowsImageStatus { image: Some(published), ..GoWindowsImageStatus::default() };
        world.object = Arc::new(GoWindowsImage { status: Some(status), ..moved });
        let plan = settle(&mut world, None);
        let provenance = attestation(&plan).and_then(|attestation| attestation.provenance.clone()).expect("the Job is there");
        assert_eq!(provenance.repository, "https://git.example.com/shop.git");
    }
}

#[test]
fn each_platform_of_an_index_is_told_of() {
    let other = format!("sha256:{}", "7".repeat(64));
    let platform = |digest: &str| gowindows_crds::v1alpha1::PlatformStatus { digest: digest.into(), ..Default::default() };
    let index = ImageStatus { platforms: vec![platform(&other), platform(DIGEST)], ..image() };
    let mut world = with_job(world(json!({})), succeeded());
    let plan = settle(&mut world, Some(&index));
    assert_eq!(attestation(&plan).expect("an attestation").digests, [DIGEST.to_owned(), other]);
}

#[test]
fn without_a_key_nothing_waits_for_provenance() {
    let mut world = with_job(world(json!({})), succeeded());
    world.workloads = vec![Some(deployment("old:1"))];
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(names_of(&plan), ["MoveTags", "Attest"]);
    refused(&mut world, &plan, Reason::RegistryUnreachable);
    assert_eq!(condition(&world, ConditionType::Attested), ("Unknown".into(), "RegistryUnreachable".into()));
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(names_of(&plan), ["Roll", "Attest"], "it is rolled, and provenance is tried again");
    refused(&mut world, &plan, Reason::RegistryInvalid);
    assert_ne!(world.status().phase, Some(gowindows_crds::v1alpha1::Phase::Failed));
}

#[test]
fn with_a_key_nothing_is_tagged_or_rolled_or_in_status_before_it_is_signed() {
    let mut world = signed_world();
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(names_of(&plan), ["Attest", "MoveTags"]);
    assert_eq!(key(&plan).as_deref(), Some(KEY));
    for (reason, truth) in [(Reason::RegistryUnreachable, "Unknown"), (Reason::SecretInvalid, "False")] {
        refused(&mut world, &plan, reason);
        assert_eq!(condition(&world, ConditionType::Attested), (truth.into(), reason.to_string()));
        assert_eq!(condition(&world, ConditionType::Ready).1, reason.to_string(), "Ready says what is being waited for");
        assert_eq!(world.status().image, None, "others take the digest from here");
        assert_eq!(names_of(&settle(&mut world, Some(&image()))), ["Attest", "MoveTags"]);
    }
    report(&mut world, &plan);
    let image_status = world.status().image.clone().expect("an image");
    assert_eq!((image_status.signature.as_deref(), image_status.signed_by.as_deref()), (Some("sha256:51"), Some(KEY)));
    assert_eq!(
        names_of(&settle(&mut world, Some(&image()))),
        ["Attest", "Roll"],
        "a status can be edited: the signature is looked for again"
    );
}

#[test]
fn a_settled_signed_world_does_nothing() {
    let mut world = signed_world();
    world.workloads = vec![Some(deployment(&image().reference))];
    let plan = settle(&mut world, Some(&image()));
    report(&mut world, &plan);
    assert_eq!(names_of(&settle(&mut world, Some(&image()))), Vec::<&str>::new());
    assert_eq!(condition(&world, ConditionType::Ready).0, "True");
}

#[test]
fn a_key_that_comes_later_or_is_another_one_signs_what_is_published() {
    for name in [KEY, "another-key"] {
        let mut world = if name == KEY { settled_world() } else { signed_world() };
        world.workloads = vec![Some(deployment(&image().reference))];
        let plan = settle(&mut world, Some(&image()));
        report(&mut world, &plan);
        let mut object = (*world.object).clone();
        let key_secret_ref = gowindows_crds::v1alpha1::SecretReference { name: name.into() };
        object.spec.signing = Some(gowindows_crds::v1alpha1::SigningSpec { key_secret_ref });
        object.metadata.generation = Some(2);
        world.object = Arc::new(object);
        assert_eq!(names_of(&settle(&mut world, Some(&image()))), ["Attest"], "{name}");
    }
}

#[test]
fn what_nobody_saw_being_built_is_built_again_before_it_is_signed() {
    let mut world = signed_world();
    let newest = world.builds.pop().expect("a build");
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(names_of(&plan), ["CreateJob"]);

    // A Job whose pod says nothing, or something else, is no witness either.
    let other = BuildResult { digest: format!("sha256:{}", "9".repeat(64)), binary: None, sbom: None, warnings: vec![] };
    let nothing = BuildState::Succeeded(None);
    world.builds = vec![Build { state: nothing, ..newest.clone() }];
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(names_of(&plan), Vec::<&str>::new(), "its pod's words may still come");
    assert!(plan.next.is_some_and(|next| next <= Duration::from_secs(10)));
    world.now = at(60 + 500);
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(names_of(&plan), ["CreateJob"]);
    assert_eq!(started(&plan).map(|order| order.attempt), Some(2));
    world.builds = vec![Build { state: BuildState::Succeeded(Some(other)), ..newest.clone() }];
    assert!(writes(&settle(&mut world, Some(&image()))).iter().all(|write| !matches!(write, Write::Attest { .. })));

    world.builds = vec![newest];
    assert_eq!(names_of(&settle(&mut world, Some(&image()))), ["Attest", "MoveTags"]);
}

#[test]
fn a_deleted_job_leaves_its_number_to_no_other_attempt() {
    let number = |plan: &Plan| started(plan).map(|order| order.attempt);
    let mut world = signed_world();
    world.builds[0].state = BuildState::Succeeded(None);
    let plan = settle(&mut world, Some(&image()));
    report(&mut world, &plan);
    world.now = at(60 + 500);
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(number(&plan), Some(2));
    goes_on(&mut world, &plan, succeeded());
    let plan = settle(&mut world, Some(&image()));
    refused(&mut world, &plan, Reason::SecretUnavailable);
    assert_eq!(world.status().build.as_ref().map(|build| build.attempt), Some(2));
    // Before it is signed, somebody deletes the second Job. The first one's is there, and no witness.
    world.builds.pop();
    assert_eq!(number(&settle(&mut world, Some(&image()))), Some(3));
}

#[test]
fn without_a_key_an_image_that_nobody_saw_being_built_is_left_at_that() {
    let mut world = settled_world();
    world.builds.clear();
    let mut object = (*world.object).clone();
    let status = object.status.as_mut().expect("a status");
    if let Some(image) = &mut status.image {
        image.provenance = None;
    }
    status.conditions.retain(|condition| condition.type_ != "Attested");
    world.object = Arc::new(object);
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(names_of(&plan), ["Attest"], "it may be there");
    report_of(&mut world, &plan, &Outcome { attested: Some(Attested::default()), ..performed(&plan) });
    assert_eq!(condition(&world, ConditionType::Attested), ("False".into(), "NotWitnessed".into()));
    assert_eq!(condition(&world, ConditionType::Ready).0, "True");
    assert_eq!(names_of(&settle(&mut world, Some(&image()))), Vec::<&str>::new(), "not again and again");
}
