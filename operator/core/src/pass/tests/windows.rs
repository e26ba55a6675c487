//! What runs on Windows nodes, in which order, and what if it cannot?

use super::*;
use gowindows_crds::names;

pub(super) fn patch(more: Value) -> Value {
    let mut patch = json!({"spec": {"build": {"nodes": {"os": "windows"}, "workspace": {"claimName": "shared"}}}});
    merge(&mut patch, &more);
    patch
}

pub(super) fn taint(key: &str) -> Taint {
    Taint { key: key.into(), value: "windows".into(), effect: "NoSchedule".into() }
}

pub(super) fn node(os_version: &str, taints: Vec<Taint>) -> WindowsNode {
    WindowsNode { name: "win-1".into(), os_version: os_version.into(), taints, ..WindowsNode::default() }
}

pub(super) const BUILDCTL: &str = "r.example.com/windows-buildctl:1";

/// A world with these Windows nodes, whose base, toolchain and `buildctl` are for 2022 and whose claim can be shared.
pub(super) fn world_with(more: Value, nodes: Vec<WindowsNode>) -> World {
    let mut world = world(patch(more));
    world.nodes = Nodes::Seen(nodes).into();
    world.answers.digests.insert(WINDOWS_GO.into(), Seen::Fresh(DIGEST.into(), at(0)));
    let base = format!("{BASE}@{DIGEST}");
    for image in [base, format!("{WINDOWS_GO}@{DIGEST}"), BUILDCTL.to_owned()] {
        world.answers.bases.insert(image, Seen::Fresh(resolved(DIGEST, "10.0.20348.5499"), at(0)));
    }
    world.answers.workspace = Seen::Fresh((), at(0));
    world
}

pub(super) fn usual() -> Vec<WindowsNode> {
    vec![node("10.0.20348.5499", vec![taint("os")])]
}

/// The world after the three Jobs were created and got so far; `None`: the Job is gone.
fn relayed(states: [Option<BuildState>; 2], own: Option<BuildState>) -> World {
    relayed_of(json!({}), states, own)
}

pub(super) fn relayed_of(more: Value, states: [Option<BuildState>; 2], own: Option<BuildState>) -> World {
    let mut world = world_with(more, usual());
    let plan = settle(&mut world, None);
    let mut whole = ordered(started(&plan).expect("a build"), world.now);
    let got = |job: &str, suspended: bool, state: Option<BuildState>| {
        let fresh = created(job, suspended, false, world.now);
        let Some(state) = state else { return fresh };
        let current = current(fresh.current.clone(), &state, world.now);
        Run { state, current, ..fresh }
    };
    for (index, (part, state)) in whole.before.iter_mut().zip(states).enumerate() {
        part.run = Some(got(&part.job, index > 0, state));
    }
    let Run { state, current, .. } = got(&whole.job, true, own);
    (whole.state, whole.current) = (state, current);
    world.builds.push(crate::read::relayed(whole));
    world.answers.asked.clear();
    world.answers.published.clear();
    world
}

#[test]
fn each_job_is_resumed_when_the_one_before_it_has_succeeded() {
    let done = || Some(BuildState::Succeeded(None));
    let waits = None;
    let table = [
        ([Some(BuildState::Running), waits.clone()], None, None),
        ([done(), waits.clone()], None, Some("-compile")),
        ([done(), Some(BuildState::Running)], None, None),
        ([done(), done()], None, Some("")),
        ([done(), done()], Some(BuildState::Running), None),
    ];
    for (parts, own, expected) in table {
        let mut world = relayed(parts.clone(), own);
        let name = world.builds[0].job.clone();
        let plan = settle(&mut world, None);
        let resumed: Vec<&String> =
            writes(&plan).into_iter().filter_map(|write| if let Write::Resume { job } = write { Some(job) } else { None }).collect();
        assert_eq!(resumed, expected.map(|end| format!("{name}{end}")).iter().collect::<Vec<_>>(), "{parts:?}");
        assert_eq!(writes(&plan).len(), resumed.len(), "{parts:?}: {:?}", writes(&plan));
    }
}

/// What is under way comes to its end, whatever is not known or not accepted any more.
#[test]
fn jobs_follow_each_other_without_source_base_or_valid_specification() {
    let trouble = || Trouble { reason: Reason::SourceUnreachable, message: "no route".into(), at: at(1), times: 1 };
    let changes: [fn(&mut World, Trouble); 3] = [
        |world, trouble| world.answers.source = Seen::Unknown(trouble),
        |world, trouble| drop(world.answers.bases.insert(BASE.into(), Seen::Unknown(trouble))),
        |world, _| world.object = Arc::new(object(patch(json!({"spec": {"interval": "soon"}})))),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut world = relayed([Some(BuildState::Succeeded(None)), None], None);
        let name = world.builds[0].job.clone();
        change(&mut world, trouble());
        let plan = settle(&mut world, None);
        let [Write::Resume { job }] = &writes(&plan)[..] else { panic!("{index}: {:?}", writes(&plan)) };
        assert_eq!(*job, format!("{name}-compile"), "{index}");
    }
}

#[test]
fn a_part_that_fails_fails_the_build_and_nothing_is_resumed() {
    let mut world = relayed([Some(BuildState::Succeeded(None)), Some(failed(Reason::CompileError))], None);
    let plan = settle(&mut world, None);
    let [Write::Stop { job, why }] = &writes(&plan)[..] else { panic!("what waits is ended, and nothing else: {:?}", writes(&plan)) };
    assert_eq!((job, why.to_string().as_str()), (&world.builds[0].job, "Part/CompileError"));
    assert!(matches!(plan.verdicts.build.progress, BuildProgress::Failed { reason: Reason::CompileError, retry_at: None, .. }));
    world.builds[0].before[1].run = None;
    let plan = settle(&mut world_with(json!({}), usual()), None);
    let fresh = ordered(started(&plan).expect("a build"), world.now);
    let lost = Build { current: fresh.current, ..world.builds[0].clone() };
    world.builds[0] = crate::read::relayed(lost);
    let plan = settle(&mut world, None);
    assert!(matches!(plan.verdicts.build.progress, BuildProgress::Failed { reason: Reason::Lost, retry_at: Some(_), .. }), "{plan:?}");
}

#[test]
fn a_cancelled_build_is_stopped_where_it_is() {
    for (parts, stopped) in [
        ([Some(BuildState::Running), None], "-source"),
        ([Some(BuildState::Succeeded(None)), None], "-compile"),
        ([Some(BuildState::Succeeded(None)), Some(BuildState::Running)], "-compile"),
    ] {
        let mut world = relayed(parts, None);
        let mut object = (*world.object).clone();
        object.annotations_mut().insert(names::ORDER_CANCEL.into(), "1".into());
        world.object = Arc::new(object);
        let plan = settle(&mut world, None);
        let name = format!("{}{stopped}", world.builds[0].job);
        assert!(matches!(&writes(&plan)[0], Write::Stop { job, .. } if *job == name), "{:?}", writes(&plan));
    }
}

pub(super) fn blocked(world: &mut World) -> Trouble {
    let plan = settle(world, None);
    assert!(started(&plan).is_none(), "{:?}", writes(&plan));
    let BuildProgress::Blocked(trouble) = plan.verdicts.build.progress else { panic!("{:?}", plan.verdicts.build.progress) };
    trouble
}

#[test]
fn no_job_waits_in_silence_for_a_node_or_a_claim() {
    let table = [
        (vec![], "no Windows node runs the toolchain image"),
        (vec![node("10.0.17763.8389", vec![])], "made for Windows 10.0.20348.5499 (nodes there are: 10.0.17763.8389)"),
        (vec![node("10.0.20348.5499", vec![taint("os"), taint("team")])], "build.nodes.tolerations"),
    ];
    for (nodes, words) in table {
        let base = json!({"spec": {"image": {"base": {"image": format!("{BASE}@{DIGEST}")}}}});
        let trouble = blocked(&mut world_with(base, nodes));
        assert!(trouble.reason == Reason::NodeUnavailable && trouble.message.contains(words), "{}", trouble.message);
    }
    let tolerated = json!({"spec": {"build": {"nodes": {"tolerations": [{"key": "team", "operator": "Exists"}]}}}});
    let nodes = vec![node("10.0.26100.1", vec![taint("team")])];
    let plan = settle(&mut world_with(tolerated, nodes), None);
    assert!(started(&plan).is_some(), "a newer node runs it, and the taint is tolerated");

    let mut world = world_with(json!({}), usual());
    let trouble = Trouble { reason: Reason::WorkspaceUnusable, message: "it is not shared".into(), at: at(1), times: 1 };
    world.answers.workspace = Seen::Unknown(trouble.clone());
    assert_eq!(blocked(&mut world), trouble);
    let mut world = world_with(json!({}), usual());
    let linux = Trouble { reason: Reason::BaseInvalid, message: "it has no windows/amd64".into(), at: at(1), times: 1 };
    world.answers.bases.insert(format!("{WINDOWS_GO}@{DIGEST}"), Seen::Unknown(linux));
    let trouble = blocked(&mut world);
    assert!(trouble.reason == Reason::ToolchainUnavailable && trouble.message.ends_with("it has no windows/amd64"), "{trouble:?}");
}

#[test]
fn what_cannot_be_is_refused_with_the_field_and_the_remedy() {
    let refused = |more: Value| Request::new(&object(patch(more)), &settings()).expect_err("refused");
    for (more, reason, words) in [
        (json!({"spec": {"build": {"workspace": null}}}), Reason::InvalidSpec, vec!["build.workspace.claimName", "ReadWriteMany"]),
        (
            json!({"spec": {"go": {"modules": {"secretRef": {"name": "modules-auth"}}}}}),
            Reason::InvalidSpec,
            vec!["go.modules.secretRef.name", "modules-auth", "go.modules.proxy"],
        ),
        (json!({"spec": {"build": {"engine": "Kaniko"}}}), Reason::InvalidSpec, vec!["build.nodes.os", "Kaniko cannot run"]),
        (json!({"spec": {"go": {"version": "1.9"}}}), Reason::NotConfigured, vec!["on Windows nodes", "it has: 1.26", "windowsToolchains"]),
        (
            json!({"spec": {"go": {"image": "r.example.com/go:2", "test": {"packages": ["."], "os": "linux"}}}}),
            Reason::InvalidSpec,
            vec!["go.image", "go.version"],
        ),
    ] {
        let Refusal { reason: found, message } = refused(more);
        assert!(found == reason && words.iter().all(|word| message.contains(word)), "{found:?}: {message}");
    }
}

#[test]
fn a_known_program_needs_no_windows_node() {
    let done = || Some(BuildState::Succeeded(None));
    let mut world = relayed([done(), done()], Some(succeeded()));
    world.builds[0].finished = Some(at(60));
    let plan = settle(&mut world, Some(&image()));
    report(&mut world, &plan);
    let mut labelled = object(patch(json!({"spec": {"image": {"labels": {"team": "till"}}}, "metadata": {"generation": 2}})));
    labelled.status.clone_from(&world.object.status);
    (world.object, world.nodes) = (Arc::new(labelled), Nodes::Seen(vec![node("10.0.20348.5499", vec![taint("team")])]).into());
    let plan = settle(&mut world, None);
    assert!(started(&plan).is_some_and(|order| order.reused_program.is_some()), "{:?}", plan.verdicts);
}
