//! What runs on Windows nodes, in which order, and what if it cannot?

mod buildkit;

use super::*;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::NodeSystem;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PodSpec;

fn patch(more: Value) -> Value {
    let mut patch = json!({"spec": {"build": {"nodes": {"os": "windows"}, "workspace": {"claimName": "shared"}}}});
    merge(&mut patch, &more);
    patch
}

fn taint(key: &str) -> Taint {
    Taint { key: key.into(), value: "windows".into(), effect: "NoSchedule".into() }
}

fn node(os_version: &str, taints: Vec<Taint>) -> WindowsNode {
    WindowsNode { name: "win-1".into(), os_version: os_version.into(), taints, ..WindowsNode::default() }
}

const BUILDCTL: &str = "r.example.com/windows-buildctl:1";

/// A world with these Windows nodes, whose base, toolchain and `buildctl` are for 2022 and whose claim can be shared.
fn world_with(more: Value, nodes: Vec<WindowsNode>) -> World {
    let mut world = world(patch(more));
    world.nodes = Nodes::Seen(nodes);
    world.answers.digests.insert(WINDOWS_GO.into(), Seen::Fresh(DIGEST.into(), at(0)));
    let base = format!("{BASE}@{DIGEST}");
    for image in [base, format!("{WINDOWS_GO}@{DIGEST}"), BUILDCTL.to_owned()] {
        world.answers.bases.insert(image, Seen::Fresh(resolved(DIGEST, "10.0.20348.5499"), at(0)));
    }
    world.answers.workspace = Seen::Fresh((), at(0));
    world
}

fn usual() -> Vec<WindowsNode> {
    vec![node("10.0.20348.5499", vec![taint("os")])]
}

fn pod(job: &Job) -> &PodSpec {
    job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).expect("a pod")
}

fn suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

#[test]
fn a_build_is_three_jobs_of_which_the_last_is_the_build() {
    let mut world = world_with(json!({"spec": {"build": {"cache": {"volume": {}}}}}), usual());
    let plan = settle(&mut world, None);
    assert_eq!((names_of(&plan), claims(&plan).len()), (vec!["CreateJob"], 1));
    let [source, compile, last] = &jobs(&plan)[..] else { panic!("{:?}", writes(&plan)) };
    let name = last.name_any();
    assert_eq!([source.name_any(), compile.name_any()], [format!("{name}-source"), format!("{name}-compile")]);
    assert_eq!([source, compile, last].map(suspended), [false, true, true]);
    assert_eq!(last.annotations()[names::ANNOTATION_AFTER], format!("{name}-source,{name}-compile"));
    assert!([source, compile].iter().all(|job| build(job, &[]).is_none()), "they are no builds");
    let systems = [source, compile, last].map(|job| pod(job).node_selector.as_ref().expect("a selector")["kubernetes.io/os"].clone());
    assert_eq!(systems, ["linux", "windows", "linux"]);
    let folder = format!("0000-1111/{name}");
    assert!(!serde_json::to_string(pod(source)).expect("JSON").contains("--cache"), "the caches are of Windows");
    for job in [source, last] {
        let mount = pod(job).containers[0].volume_mounts.as_ref().expect("mounts")[0].clone();
        assert_eq!((mount.mount_path.as_str(), mount.sub_path.as_deref()), ("/build", Some(folder.as_str())));
    }
    let words = pod(compile).containers[0].command.as_ref().expect("a command").join(" ");
    assert!(words.starts_with("go build ") && words.contains(&format!(r"-o C:\gowindows\0000-1111\{name}\out\ .")), "{words}");
}

#[test]
fn a_windows_pod_has_what_windows_takes_and_nothing_else() {
    let more = json!({"spec": {"source": {"subPath": "services/till", "git": {"secretRef": {"name": "git-auth"}}}, "image": {"pushSecretRef": {"name": "push"}}}});
    let mut world = world_with(more, usual());
    let plan = settle(&mut world, None);
    let [_, compile, _] = &jobs(&plan)[..] else { panic!("{:?}", writes(&plan)) };
    let (name, spec) = (compile.name_any(), pod(compile));
    let security = spec.security_context.clone().expect("a context");
    let user = security.windows_options.clone().and_then(|options| options.run_as_user_name);
    assert_eq!((security.run_as_non_root, user.as_deref()), (Some(true), Some("ContainerUser")));
    assert!(security.run_as_user.is_none() && security.fs_group.is_none() && security.seccomp_profile.is_none(), "{security:?}");
    let container = &spec.containers[0];
    assert!(container.security_context.is_none() && spec.init_containers.is_none(), "{container:?}");
    let folder = container.working_dir.as_deref().expect("a folder");
    assert_eq!(folder, format!(r"C:\gowindows\0000-1111\{}\src\services\till", name.trim_end_matches("-compile")));
    let memory = |map: &Option<std::collections::BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>| {
        map.as_ref().map(|map| map["memory"].0.clone())
    };
    let resources = container.resources.clone().expect("resources");
    assert_eq!((memory(&resources.requests), memory(&resources.limits)), (Some("4Gi".into()), Some("4Gi".into())));
    let text = serde_json::to_string(spec).expect("JSON");
    assert!(!text.contains("secret") && !text.contains("/build") && text.contains(r#""values":["10.0.20348"]"#), "{text}");
    assert!(text.contains(r#"{"key":"os","operator":"Equal","value":"windows"}"#), "{text}");
}

/// The world after the three Jobs were created and got so far; `None`: the Job is gone.
fn relayed(states: [Option<BuildState>; 2], own: Option<BuildState>) -> World {
    relayed_of(json!({}), states, own)
}

fn relayed_of(more: Value, states: [Option<BuildState>; 2], own: Option<BuildState>) -> World {
    let mut world = world_with(more, usual());
    let plan = settle(&mut world, None);
    let [source, compile, last] = &jobs(&plan)[..] else { panic!("{:?}", writes(&plan)) };
    let got = |job: &Job, state: Option<BuildState>| {
        let fresh = run(job, &[]);
        let Some(state) = state else { return fresh };
        let current = current(fresh.current, &state, world.now);
        Run { created: world.now, state, current, ..run(job, &[]) }
    };
    let mut whole = build(last, &[]).expect("a build");
    for ((part, job), state) in whole.before.iter_mut().zip([source, compile]).zip(states) {
        part.run = Some(got(job, state));
    }
    let Run { state, current, .. } = got(last, own);
    (whole.created, whole.state, whole.current) = (world.now, state, current);
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
    let last = super::job(&settle(&mut world_with(json!({}), usual()), None)).expect("a build");
    let lost = Build { current: run(&last, &[]).current, ..world.builds[0].clone() };
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

fn blocked(world: &mut World) -> Trouble {
    let plan = settle(world, None);
    assert!(jobs(&plan).is_empty(), "{:?}", writes(&plan));
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
    assert_eq!(jobs(&settle(&mut world_with(tolerated, nodes), None)).len(), 3, "a newer node runs it, and the taint is tolerated");

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
fn tests_run_on_the_system_that_is_asked_for() {
    let on = |compile: &str, test: &str| {
        let more = json!({"spec": {"build": {"nodes": {"os": compile}}, "go": {"test": {"packages": ["./..."], "os": test}}}});
        let plan = settle(&mut world_with(more, usual()), None);
        let tested: Vec<Job> = jobs(&plan).into_iter().filter(|job| job.name_any().contains("-test")).collect();
        let images = tested.iter().map(|job| pod(job).containers[0].image.clone().unwrap_or_default()).collect::<Vec<_>>();
        (jobs(&plan).len(), images, tested)
    };
    let windows = format!("{WINDOWS_GO}@{DIGEST}");
    let linux = format!("r.example.com/go@{DIGEST}");
    let (all, images, tested) = on("linux", "windows");
    assert_eq!((all, images), (3, vec!["r.example.com/gowindows:1".to_owned(), windows.clone()]));
    assert_eq!(tested.iter().map(suspended).collect::<Vec<_>>(), [false, true]);
    let args = pod(&tested[0]).containers[0].args.clone().expect("arguments").join(" ");
    assert!(args.ends_with("--builds /builds"), "no build has ended: {args}");
    let container = &pod(&tested[1]).containers[0];
    let workspace = &container.volume_mounts.as_ref().expect("mounts")[0];
    assert_eq!((workspace.mount_path.as_str(), workspace.read_only), (r"C:\gowindows", Some(true)));
    assert!(container.env.iter().flatten().any(|variable| variable.name == "GOOS" && variable.value.as_deref() == Some("windows")));
    assert_eq!(on("windows", "windows").1[1], windows);
    let (all, images, _) = on("windows", "linux");
    assert_eq!((all, images), (4, vec![linux]));
}

/// A build that is told to end, as its source has moved, may still fetch while the one after it does.
#[test]
fn only_what_ended_builds_have_left_is_removed() {
    let history = json!([
        {"job": "shop-11", "revision": "main@sha1:0", "result": "CompileError"},
        {"job": "shop-22", "revision": "main@sha1:1", "result": "Succeeded"},
    ]);
    let more = json!({"spec": {"build": {"nodes": {"os": "windows"}}}, "status": {"history": history}});
    let mut world = world_with(more, usual());
    let plan = settle(&mut world, None);
    let jobs = render::objects(&world.object, &settings(), started(&plan).expect("an order")).jobs;
    let fetch = jobs.iter().find(|job| job.name_any().ends_with("-source")).expect("a Job that fetches");
    let args = pod(fetch).containers[0].args.clone().expect("arguments").join(" ");
    assert!(args.ends_with("--builds /builds --over shop-11 --over shop-22"), "{args}");
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
fn c_code_is_compiled_by_the_toolchains_own_compiler() {
    let plan = settle(&mut world_with(json!({"spec": {"go": {"cgo": true}}}), usual()), None);
    let [_, compile, last] = &jobs(&plan)[..] else { panic!("{:?}", plan.verdicts.build.progress) };
    let variables = pod(compile).containers[0].env.clone().unwrap_or_default();
    assert!(variables.iter().any(|variable| variable.name == "CGO_ENABLED" && variable.value.as_deref() == Some("1")), "{variables:?}");
    let arguments = pod(last).containers[0].args.clone().expect("arguments").join(" ");
    assert!(arguments.contains(r#""cgo":true"#), "the program is held against it: {arguments}");
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
    (world.object, world.nodes) = (Arc::new(labelled), Nodes::Seen(vec![node("10.0.20348.5499", vec![taint("team")])]));
    let plan = settle(&mut world, None);
    let [job] = &jobs(&plan)[..] else { panic!("{:?}", plan.verdicts) };
    assert!(pod(job).os.is_none() && !suspended(job), "{job:?}");
}
