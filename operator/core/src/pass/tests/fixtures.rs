//! Worlds to decide in, and how one goes on.

use super::*;

pub(super) const COMMIT: &str = "4f1c2e7aa8b0c9d1e2f3a4b5c6d7e8f901234567";
pub(super) const NEXT: &str = "aaaaaaaaa8b0c9d1e2f3a4b5c6d7e8f901234567";
pub(super) const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
pub(super) const BASE: &str = "registry.example.com/nanoserver:ltsc2022";
pub(super) const WINDOWS_GO: &str = "r.example.com/windows-go:1.26";

pub(super) fn settings() -> Settings {
    Settings {
        toolchains: [("1.9".into(), "r.example.com/go:1.9".into()), ("1.26".into(), format!("r.example.com/go@{DIGEST}"))].into(),
        windows_toolchains: [("1.26".into(), WINDOWS_GO.into())].into(),
        step_image: "r.example.com/gowindows:1".into(),
        buildctl_image: Some("r.example.com/buildctl:1".into()),
        windows_buildctl_image: Some("r.example.com/windows-buildctl:1".into()),
        kaniko_image: Some("r.example.com/kaniko:1".into()),
        bases: [("NanoServer".into(), "registry.example.com/nanoserver".into())].into(),
        ..Settings::default()
    }
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).expect("in range")
}

/// The smallest useful object, changed by a merge patch.
pub(super) fn object(patch: Value) -> GoWindowsImage {
    let mut object = json!({
        "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage",
        "metadata": {"name": "shop", "namespace": "team", "uid": "0000-1111", "generation": 1},
        "spec": {
            "source": {"git": {"url": "https://git.example.com/shop.git"}},
            "image": {"repository": "registry.example.com/shop"},
            "rollout": {"targets": [{"name": "shop"}]},
        },
    });
    merge(&mut object, &patch);
    serde_json::from_value(object).expect("an object of the schema's types")
}

pub(super) fn merge(into: &mut Value, patch: &Value) {
    let (Value::Object(into), Value::Object(patch)) = (&mut *into, patch) else {
        *into = patch.clone();
        return;
    };
    for (key, value) in patch {
        if value.is_null() { drop(into.remove(key)) } else { merge(into.entry(key.clone()).or_insert(Value::Null), value) }
    }
}

/// A world in which every question is answered well and nothing was built yet.
pub(super) fn world(patch: Value) -> World {
    let answers = Answers {
        source: Seen::Fresh(Revision { name: "main".into(), commit: COMMIT.into() }, at(0)),
        bases: [(BASE.into(), Seen::Fresh(resolved(DIGEST, "10.0.20348.5499"), at(0)))].into(),
        ..Answers::default()
    };
    let nodes = Nodes::Hidden("they are not looked at".into());
    World { workloads: vec![None], answers, ..World::new(object(patch), at(1), nodes) }
}

pub(super) fn resolved(digest: &str, os_version: &str) -> ResolvedBase {
    ResolvedBase { digest: digest.into(), os_versions: vec![os_version.into()] }
}

/// Decides, answering each question as a registry would that has only what is given.
pub(super) fn settle(world: &mut World, published: Option<&ImageStatus>) -> Plan {
    settle_under(&settings(), world, published)
}

pub(super) fn settle_under(settings: &Settings, world: &mut World, published: Option<&ImageStatus>) -> Plan {
    for _ in 0..6 {
        match decide(world, settings) {
            Decision::Do(plan) => return *plan,
            Decision::Ask(questions) => {
                for question in questions {
                    if let Question::Published { tag, .. } = &question {
                        let found = published.map(|image| Published { image: image.clone(), violations: vec![] });
                        world.answers.published.entry(tag.clone()).or_insert(Seen::Fresh(found, world.now));
                    }
                    nothing_is_told(world, &question);
                    world.answers.asked.push(question);
                }
            }
        }
    }
    panic!("the decision keeps asking: {:?}", world.answers.asked);
}

/// Of a digest that nothing was attached to nothing is told.
pub(super) fn nothing_is_told(world: &mut World, question: &Question) {
    if let Question::Provenance { digest, .. } = question {
        world.answers.provenance.entry(digest.clone()).or_insert(Seen::Fresh(Vec::new(), world.now));
    }
}

/// What the registry tells of a digest from now on.
pub(super) fn is_told(world: &mut World, digest: &str, told: Vec<Testimony>) {
    world.answers.provenance.insert(digest.to_owned(), Seen::Fresh(told, world.now));
}

/// The attempt that a plan begins.
pub(super) fn started(plan: &Plan) -> Option<&BuildOrder> {
    writes(plan).into_iter().find_map(|write| if let Write::StartBuild(order) = write { Some(order.as_ref()) } else { None })
}

pub(super) fn writes(plan: &Plan) -> Vec<&Write> {
    plan.steps.iter().map(|step| &step.write).collect()
}

/// What a plan writes, by name.
pub(super) fn names_of(plan: &Plan) -> Vec<&'static str> {
    plan.steps.iter().map(|step| step.write.name()).collect()
}

/// The order of a first build of these inputs.
pub(super) fn order_of(object: &GoWindowsImage, settings: &Settings, inputs: Inputs) -> BuildOrder {
    let request = Arc::new(Request::new(object, settings).expect("valid"));
    let [nodes, test_nodes] = [AllowedNodes::default(), AllowedNodes::default()];
    BuildOrder {
        job: "shop-1".into(),
        request,
        inputs,
        attempt: 1,
        cause: "First".into(),
        rebuild_token: None,
        reused_program: None,
        gated: false,
        memory: None,
        git_keys: Vec::new(),
        credentials: None,
        nodes,
        test_nodes,
        queued: Queued::default(),
    }
}

pub(super) fn image() -> ImageStatus {
    ImageStatus { reference: format!("registry.example.com/shop@{DIGEST}"), digest: DIGEST.into(), ..ImageStatus::default() }
}

/// Whose turn it is when a Job has got this far, and so since it was created.
pub(super) fn current(fresh: Option<CurrentJob>, state: &BuildState, created: Timestamp) -> Option<CurrentJob> {
    fresh.filter(|_| state.is_active()).map(|current| CurrentJob { since: Some(created), ..current })
}

/// The world after its plan's Job was created and got this far.
pub(super) fn with_job(mut world: World, state: BuildState) -> World {
    let plan = settle(&mut world, None);
    goes_on(&mut world, &plan, state);
    world.now = later(world.now, Duration::from_secs(61));
    world
}

/// A plan's Jobs were created and got this far; what has ended took a minute.
pub(super) fn goes_on(world: &mut World, plan: &Plan, state: BuildState) {
    let build = ordered(started(plan).expect("a build"), world.now);
    let finished = (!state.is_active()).then_some(later(world.now, Duration::from_secs(60)));
    let current = current(build.current, &state, world.now);
    world.builds.push(Build { finished, running: state.is_active(), current, state, ..build });
    world.answers.asked.clear();
    world.answers.published.clear();
}

/// The build of an order, whose Jobs were created at this moment and have no pods yet.
pub(super) fn ordered(order: &BuildOrder, now: Timestamp) -> Build {
    let BuildOrder { job, request, inputs, queued, .. } = order;
    let parts = |own: &str, windows: bool, names: &[&str]| -> Vec<PartJob> {
        let names = names.iter().filter(|_| windows && order.reused_program.is_none());
        names.map(|name| PartJob { job: format!("{own}-{name}"), run: None }).collect()
    };
    let before = parts(job, request.build.system == NodeSystem::Windows, &["source", "compile"]);
    let Run { uid, stages, facts, state, current, .. } = created(job, !before.is_empty() || queued.linux, queued.linux, now);
    Build {
        job: job.clone(),
        uid,
        fingerprint: inputs.fingerprint()[..32].to_owned(),
        inputs: Some(inputs.clone()),
        attempt: order.attempt,
        engine: request.build.engine.kind(),
        elsewhere: request.build.engine.is_elsewhere(),
        cause: order.cause.clone(),
        rebuild_token: order.rebuild_token.clone(),
        program_of: order.reused_program.as_ref().map(|program| program.image.clone()),
        memory: order.memory.clone(),
        created: now,
        finished: None,
        stages,
        facts,
        state,
        running: true,
        uncounted: false,
        stopped: None,
        before,
        current,
        idle: Vec::new(),
        tests: order.gated.then(|| Tests { job: format!("{job}-test"), before: Vec::new(), run: None }),
    }
}

/// A Job that was created at this moment and has no pod yet.
pub(super) fn created(job: &str, suspended: bool, queued: bool, now: Timestamp) -> Run {
    let since = (!suspended).then_some(now);
    let current = CurrentJob { job: job.to_owned(), uid: String::new(), since, has_pod: false, evicted: false, queued };
    Run {
        uid: String::new(),
        created: now,
        finished: None,
        stages: Vec::new(),
        facts: SourceFacts::default(),
        state: BuildState::Queued(None),
        uncounted: false,
        stopped: None,
        current: Some(current),
        idle: Vec::new(),
    }
}

pub(super) fn succeeded() -> BuildState {
    let binary = BinaryStatus { name: "shop.exe".into(), bytes: 5_900_000, sha256: "ab".into(), inputs: None };
    BuildState::Succeeded(Some(BuildResult { digest: DIGEST.into(), binary: Some(binary), sbom: None, warnings: vec![] }))
}

pub(super) fn failed(reason: Reason) -> BuildState {
    BuildState::Failed(Failure { reason, stage: Some("compile".into()), exit_code: Some(1), message: "It failed.".into(), log_tail: None })
}

/// What comes of a plan of which everything is performed.
pub(super) fn performed(plan: &Plan) -> Outcome {
    let tagged =
        writes(plan).into_iter().find_map(|write| if let Write::MoveTags { tags, .. } = write { Some(tags.clone()) } else { None });
    let key = writes(plan).into_iter().find_map(|write| if let Write::Attest { key, .. } = write { Some(key.clone()) } else { None });
    let digest = |what: &str| Some(format!("sha256:{what}"));
    let attested =
        key.map(|key| Attested { sbom: digest("5b"), provenance: digest("9c"), signature: digest("51").filter(|_| key.is_some()) });
    Outcome { steps: vec![Done::Performed; plan.steps.len()], attested, tagged }
}

/// The status that a pass would write is the next pass's status.
pub(super) fn report(world: &mut World, plan: &Plan) {
    report_of(world, plan, &performed(plan));
}

pub(super) fn report_of(world: &mut World, plan: &Plan, outcome: &Outcome) {
    let status = crate::pass::report(world, plan, outcome);
    if outcome.attested.is_some() {
        attached(world, plan);
    }
    let mut object = (*world.object).clone();
    object.status = Some(status);
    world.object = Arc::new(object);
    world.answers.asked.clear();
}

/// The provenance that a plan attaches is told by the registry.
fn attached(world: &mut World, plan: &Plan) {
    for write in writes(plan) {
        let Write::Attest { attestation, .. } = write else { continue };
        let told = attestation.provenance.as_ref().and_then(|provenance| Testimony::of(&provenance.predicate(None)));
        if let Some(told) = told {
            is_told(world, &attestation.digests[0], vec![told]);
        }
    }
}

/// A world that is published and rolled.
pub(super) fn settled_world() -> World {
    let mut world = with_job(world(json!({})), succeeded());
    world.workloads = vec![Some(deployment(&image().reference))];
    let plan = settle(&mut world, Some(&image()));
    report(&mut world, &plan);
    world
}
