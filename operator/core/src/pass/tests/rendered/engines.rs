//! What does each engine make of the same inputs, and what is refused?

use super::*;
use gowindows_crds::v1alpha1::BuildEngine;
use gowindows_model::request::Engine;
use k8s_openapi::api::core::v1::{Container, PodSpec};

fn build(engine: BuildEngine) -> Value {
    match engine {
        BuildEngine::Go => json!({}),
        BuildEngine::Kaniko => json!({"engine": "Kaniko"}),
        BuildEngine::BuildKit => {
            json!({"engine": "BuildKit", "buildkit": {"address": "tcp://buildkitd.builds:1234", "tlsSecretRef": {"name": "buildkit-tls"}}})
        }
    }
}

const ENGINES: [BuildEngine; 3] = [BuildEngine::Go, BuildEngine::BuildKit, BuildEngine::Kaniko];

fn request(build: Value) -> Result<Request, Refusal> {
    Request::new(&object(json!({"spec": {"build": build}})), &settings())
}

/// The first pass that creates a Job, with an answer to every question.
fn plan_of(engine: BuildEngine) -> Plan {
    settle(&mut world(json!({"spec": {"build": build(engine)}})), None)
}

fn pod(engine: BuildEngine) -> PodSpec {
    let plan = plan_of(engine);
    let job = job(&plan).expect("a Job");
    let annotation = job.metadata.annotations.as_ref().and_then(|all| all.get(names::ANNOTATION_ENGINE).cloned());
    assert_eq!(annotation, Some(format!("{engine:?}")));
    job.spec.clone().and_then(|job| job.template.spec).expect("a pod")
}

fn containers(pod: &PodSpec) -> Vec<Container> {
    pod.init_containers.iter().flatten().chain(&pod.containers).cloned().collect()
}

fn compile(pod: &PodSpec) -> Container {
    containers(pod).into_iter().find(|container| container.name == "compile").expect("a compile stage")
}

/// What of Pod Security *baseline* such pods could break (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>).
fn above_baseline(pod: &PodSpec) -> Vec<String> {
    let mut found = Vec::new();
    found.extend((pod.host_network.is_some() || pod.host_pid.is_some() || pod.host_ipc.is_some()).then(|| "host namespaces".to_owned()));
    found
        .extend(pod.volumes.iter().flatten().filter(|volume| volume.host_path.is_some()).map(|volume| format!("hostPath {}", volume.name)));
    let granted = [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];
    for container in containers(pod) {
        let context = container.security_context.unwrap_or_default();
        found.extend((context.privileged == Some(true)).then(|| format!("{} is privileged", container.name)));
        let added = context.capabilities.and_then(|capabilities| capabilities.add).unwrap_or_default();
        found.extend(added.iter().filter(|name| !granted.contains(&name.as_str())).map(|name| format!("{} has {name}", container.name)));
        let odd = context.seccomp_profile.is_some() || context.app_armor_profile.is_some() || context.proc_mount.is_some();
        found.extend(odd.then(|| format!("{} has a profile of its own", container.name)));
    }
    found
}

/// What of *restricted* they break beside that.
pub(super) fn above_restricted(pod: &PodSpec) -> Vec<String> {
    let mut found = above_baseline(pod);
    let context = pod.security_context.clone().unwrap_or_default();
    found.extend((context.seccomp_profile.is_none_or(|profile| profile.type_ != "RuntimeDefault")).then(|| "seccomp".to_owned()));
    for container in containers(pod) {
        let own = container.security_context.unwrap_or_default();
        let capabilities = own.capabilities.unwrap_or_default();
        let drops_all = capabilities.drop.is_some_and(|drop| drop == ["ALL"]) && capabilities.add.is_none();
        let fine = drops_all
            && own.allow_privilege_escalation == Some(false)
            && own.run_as_non_root.or(context.run_as_non_root) == Some(true)
            && own.run_as_user.or(context.run_as_user) != Some(0);
        found.extend((!fine).then(|| container.name.clone()));
    }
    found
}

#[test]
fn pods_ask_for_no_more_than_their_engine_needs() {
    for engine in ENGINES {
        let pod = pod(engine);
        assert_eq!(above_baseline(&pod), Vec::<String>::new(), "{engine:?}");
        let expected: &[&str] = if engine == BuildEngine::Kaniko { &["compile"] } else { &[] };
        assert_eq!(above_restricted(&pod), expected, "{engine:?}");
        assert_eq!(pod.automount_service_account_token, Some(false));
        for container in containers(&pod) {
            let limits = container.resources.and_then(|resources| resources.limits).unwrap_or_default();
            assert!(limits.contains_key("memory"), "{engine:?} {}", container.name);
        }
    }
}

#[test]
fn every_engine_compiles_the_same_inputs_with_the_same_words() {
    let inputs = |engine| plan_of(engine).verdicts.build.inputs.expect("inputs");
    for engine in ENGINES {
        assert_eq!(inputs(engine).fingerprint(), inputs(BuildEngine::Go).fingerprint(), "the engine is no input");
    }
    let argv = inputs(BuildEngine::Go).compile.argv("/build/out/");
    assert_eq!(compile(&pod(BuildEngine::Go)).command, Some(argv.clone()));
    for engine in [BuildEngine::BuildKit, BuildEngine::Kaniko] {
        let pod = pod(engine);
        let source = containers(&pod)[0].args.clone().expect("arguments");
        let step: gowindows_model::wire::source::SourceRequest = serde_json::from_str(&source[3].replace("$$", "$")).expect("a request");
        let text = step.context.expect("a context").text(false).expect("a Dockerfile");
        assert!(text.contains(&serde_json::to_string(&argv).expect("JSON")), "{text}");
        let (toolchain, image) = (inputs(engine).toolchain.clone(), compile(&pod).image);
        let begins = match engine {
            BuildEngine::Kaniko => "FROM scratch AS compile".to_owned(),
            _ => format!("FROM --platform=linux/amd64 {toolchain} AS compile"),
        };
        assert!(text.contains(&begins) && (image == Some(toolchain)) == (engine == BuildEngine::Kaniko), "{text}");
        assert!(source.join(" ").contains("--context /build "), "{source:?}");
    }
}

#[test]
fn kaniko_pushes_nothing_and_leaves_an_image_that_is_taken_apart() {
    let pod = pod(BuildEngine::Kaniko);
    let compile = compile(&pod);
    let names: Vec<_> = containers(&pod).into_iter().map(|container| (container.name, container.image.unwrap_or_default())).collect();
    assert_eq!(names[1], ("executor".to_owned(), "r.example.com/kaniko:1".to_owned()), "{names:?}");
    let args = compile.args.clone().expect("arguments");
    for word in ["--no-push", "--tar-path=/gowindows/built/image.tar", "--context=dir:///gowindows/context"] {
        assert!(args.iter().any(|arg| arg == word), "{word}: {args:?}");
    }
    assert!(!args.iter().any(|arg| arg.starts_with("--destination") || arg.starts_with("--insecure")), "{args:?}");
    let assemble = pod.containers[0].args.clone().expect("arguments").join(" ");
    assert!(assemble.contains("--program-image /build/out/image.tar") && !assemble.contains("--program-dir"), "{assemble}");
    let writable: Vec<_> = compile.volume_mounts.iter().flatten().filter(|mount| mount.read_only != Some(true)).collect();
    assert_eq!(writable.iter().map(|mount| mount.mount_path.as_str()).collect::<Vec<_>>(), ["/gowindows/built", "/cache", "/kaniko"]);
}

#[test]
fn buildctl_gets_certificates_as_files_and_nothing_else() {
    let pod = pod(BuildEngine::BuildKit);
    let compile = compile(&pod);
    let line = compile.args.clone().expect("arguments").join(" ");
    assert!(line.starts_with("--addr tcp://buildkitd.builds:1234 --tlsdir /var/run/gowindows/buildkit build "), "{line}");
    assert!(line.contains("--output=type=local,dest=/gowindows/built") && line.contains("--frontend=dockerfile.v0"), "{line}");
    let mounted = |container: &Container| container.volume_mounts.iter().flatten().any(|mount| mount.name == "buildkit-tls");
    let with: Vec<_> = containers(&pod).iter().filter(|container| mounted(container)).map(|container| container.name.clone()).collect();
    assert_eq!(with, ["compile"]);
}

#[test]
fn layers_at_a_registry_are_of_one_object() {
    let mut build = build(BuildEngine::BuildKit);
    build["cache"] = json!({"registry": {"repository": "registry.example.com/cache/shop"}});
    let object = object(json!({"spec": {"build": build, "image": {"pushSecretRef": {"name": "push"}}}}));
    let inputs = plan_of(BuildEngine::BuildKit).verdicts.build.inputs.expect("inputs");
    let order = order_of(&object, &settings(), inputs);
    let pod = pod_of(render::objects(&object, &settings(), &order).jobs.remove(0));
    let compile = compile(&pod);
    let args = compile.args.expect("arguments").join(" ");
    let place = "type=registry,ref=registry.example.com/cache/shop:gowindows-0000-1111";
    assert!(args.contains(&format!("--import-cache={place}")) && args.contains(&format!("--export-cache={place},mode=max,")), "{args}");
    assert!(compile.env.iter().flatten().any(|variable| variable.name == "DOCKER_CONFIG"));
    let source = containers(&pod).into_iter().find(|container| container.name == "source").expect("a stage that fetches");
    let args = source.args.clone().expect("arguments").join(" ");
    assert!(args.contains(r#""registryCache":{"reference":"registry.example.com/cache/shop:gowindows-0000-1111""#), "{args}");
    assert!(args.contains("--registry-config /var/run/gowindows/registry/config.json"), "{args}");
    assert_eq!(above_restricted(&pod), Vec::<String>::new());
}

#[test]
fn kaniko_keeps_layers_at_a_registry_without_a_login() {
    let mut build = build(BuildEngine::Kaniko);
    build["cache"] = json!({"registry": {"repository": "registry.example.com:5000/cache/shop"}});
    let with_login = object(json!({"spec": {"build": build.clone(), "image": {"pushSecretRef": {"name": "push"}}}}));
    let refusal = Request::new(&with_login, &settings()).expect_err("a login beside the compiler");
    assert!(refusal.message.contains("build.cache.registry") && refusal.message.contains("image.pushSecretRef"), "{refusal:?}");
    let object = object(json!({"spec": {"build": build}}));
    let registry = |ca: Option<&str>| gowindows_model::settings::RegistrySettings {
        host: "registry.example.com:5000".into(),
        plain_http: ca.is_none(),
        ca_pem: ca.map(str::to_owned),
        ..gowindows_model::settings::RegistrySettings::default()
    };
    let with = |ca: Option<&str>| Settings { registries: vec![registry(ca)], ..settings() };
    let inputs = plan_of(BuildEngine::Kaniko).verdicts.build.inputs.expect("inputs");
    let order = order_of(&object, &with(None), inputs);
    let pod = pod_of(render::objects(&object, &with(None), &order).jobs.remove(0));
    let compile = compile(&pod);
    let args = compile.args.expect("arguments").join(" ");
    let words =
        ["--no-push ", "--cache=true --cache-repo=registry.example.com:5000/cache/shop ", "--insecure-registry=registry.example.com:5000"];
    assert!(words.iter().all(|word| args.contains(word)), "{args}");
    assert!(compile.env.is_none() && !compile.volume_mounts.iter().flatten().any(|mount| mount.name.ends_with("-auth")));
    let source = containers(&pod)[0].args.clone().expect("arguments").join(" ");
    assert!(source.contains(r#""builder":{"kaniko":"gowindows-0000-1111"}"#) && !source.contains("registryCache"), "{source}");
    assert_eq!((above_baseline(&pod), above_restricted(&pod)), (vec![], vec!["compile".to_owned()]));
    let refusal = Request::new(&object, &with(Some("PEM"))).expect_err("an authority of its own");
    assert!(
        refusal.message.contains("build.cache.registry.repository") && refusal.message.contains("certificate authority"),
        "{refusal:?}"
    );
}

#[test]
fn combinations_that_are_not_built_say_what_is() {
    let mut kaniko = build(BuildEngine::Kaniko);
    kaniko["nodes"] = json!({"os": "windows"});
    let Refusal { reason, message } = request(kaniko).expect_err("refused");
    assert_eq!(reason, Reason::InvalidSpec);
    assert!(message.contains("build.nodes.os") && message.contains("use linux"), "{message}");
    assert_eq!(request(json!({"nodes": {"os": "linux"}})).expect("valid").build.engine, Engine::Go);
    let kept = request(json!({"cache": {"registry": {"repository": "registry.example.com/cache"}}})).expect_err("refused");
    assert!(kept.message.contains("build.cache.registry") && kept.message.contains("build.cache.volume"), "{}", kept.message);
}

#[test]
fn an_engine_without_an_image_names_the_setting() {
    for (engine, setting) in [(BuildEngine::Kaniko, "kanikoImage"), (BuildEngine::BuildKit, "buildctlImage")] {
        let bare = Settings { buildctl_image: None, kaniko_image: None, ..settings() };
        let refusal = Request::new(&object(json!({"spec": {"build": build(engine)}})), &bare).expect_err("refused");
        assert!(refusal.reason == Reason::NotConfigured && refusal.message.contains(setting), "{refusal:?}");
    }
}

#[test]
fn what_has_no_place_in_a_dockerfile_is_refused_before_a_job_exists() {
    let flags = vec![format!("-X main.text={}", "x".repeat(1000)); 64];
    let refused = |build: Value| Request::new(&object(json!({"spec": {"build": build, "go": {"ldflags": flags}}})), &settings());
    assert!(refused(json!({})).is_ok());
    let refusal = refused(build(BuildEngine::Kaniko)).expect_err("too long");
    assert!(refusal.message.contains("go.ldflags") && refusal.message.contains("Engine Go"), "{}", refusal.message);
}

#[test]
fn no_job_waits_in_silence_for_absent_certificates() {
    let mut world = world(json!({"spec": {"build": build(BuildEngine::BuildKit)}}));
    let trouble = Trouble { reason: Reason::SecretUnavailable, message: "absent".into(), at: at(1), times: 1 };
    world.answers.builder = Seen::Unknown(trouble.clone());
    let plan = loop {
        match decide(&world, &settings()) {
            Decision::Do(plan) => break plan,
            Decision::Ask(questions) => world.answers.asked.extend(questions),
        }
    };
    assert!(started(&plan).is_none() && plan.next.is_some(), "{plan:?}");
    assert!(
        matches!(&plan.verdicts.build.progress, BuildProgress::Blocked(found) if *found == trouble),
        "{:?}",
        plan.verdicts.build.progress
    );
}

#[test]
fn another_engine_alone_builds_nothing() {
    let mut world = settled_world();
    let mut object = (*world.object).clone();
    object.spec.build = serde_json::from_value(json!({"engine": "Kaniko"})).expect("a build");
    object.metadata.generation = Some(2);
    world.object = Arc::new(object);
    match decide(&world, &settings()) {
        Decision::Do(plan) => assert_eq!(names_of(&plan), Vec::<&str>::new()),
        Decision::Ask(questions) => panic!("{questions:?}"),
    }
}

#[test]
fn the_engine_of_an_image_is_that_of_its_job() {
    let mut world = with_job(world(json!({})), succeeded());
    world.builds[0].engine = BuildEngine::Kaniko;
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(plan.verdicts.publish.newest.and_then(|image| image.engine), Some(BuildEngine::Kaniko));
}
