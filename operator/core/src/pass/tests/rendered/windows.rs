//! Which pods run on Windows nodes, and what is in them?

mod buildkit;

use super::*;
use crate::pass::tests::windows::{BUILDCTL, blocked, node, patch, relayed_of, taint, usual, world_with};

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
fn c_code_is_compiled_by_the_toolchains_own_compiler() {
    let plan = settle(&mut world_with(json!({"spec": {"go": {"cgo": true}}}), usual()), None);
    let [_, compile, last] = &jobs(&plan)[..] else { panic!("{:?}", plan.verdicts.build.progress) };
    let variables = pod(compile).containers[0].env.clone().unwrap_or_default();
    assert!(variables.iter().any(|variable| variable.name == "CGO_ENABLED" && variable.value.as_deref() == Some("1")), "{variables:?}");
    let arguments = pod(last).containers[0].args.clone().expect("arguments").join(" ");
    assert!(arguments.contains(r#""cgo":true"#), "the program is held against it: {arguments}");
}
