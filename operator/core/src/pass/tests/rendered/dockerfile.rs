//! What becomes of a Dockerfile of the user's own, which makes the image itself?

use super::*;
use gowindows_model::wire::assemble::AssembleRequest;
use gowindows_model::wire::source::SourceRequest;
use k8s_openapi::api::core::v1::{Container, PodSpec};

fn build() -> Value {
    let buildkit =
        json!({"address": "tcp://buildkitd.builds:1234", "tlsSecretRef": {"name": "buildkit-tls"}, "dockerfile": "build/Dockerfile"});
    json!({"engine": "BuildKit", "buildkit": buildkit})
}

/// An object of a Dockerfile, with more.
fn own(more: Value) -> GoWindowsImage {
    let mut patch = json!({"spec": {"build": build(), "image": {"pushSecretRef": {"name": "push"}}}});
    merge(&mut patch, &more);
    object(patch)
}

fn inputs(object: &GoWindowsImage) -> Inputs {
    let request = Request::new(object, &settings()).expect("valid");
    let pins = Pins {
        bases: vec![format!("{BASE}@{DIGEST}")],
        toolchain: format!("r.example.com/go@{DIGEST}"),
        test_toolchain: None,
        base_choice: None,
    };
    Inputs::new(&request, "main", SourceId::Commit(COMMIT.into()), pins).expect("canonical")
}

/// The pods of its build and of its tests.
fn pods(object: &GoWindowsImage) -> (PodSpec, PodSpec) {
    let order = order_of(object, &settings(), inputs(object));
    let order = BuildOrder { gated: true, ..order };
    let jobs = render::objects(object, &settings(), &order).jobs;
    let [tests, build] = &jobs[..] else { panic!("two Jobs: {jobs:?}") };
    (pod_of(build.clone()), pod_of(tests.clone()))
}

fn container(pod: &PodSpec, name: &str) -> Container {
    let all = pod.init_containers.iter().flatten().chain(&pod.containers);
    all.into_iter().find(|container| container.name == name).cloned().expect("a container of that name")
}

fn arguments(container: &Container) -> Vec<String> {
    container.args.iter().flatten().map(|word| word.replace("$$", "$")).collect()
}

fn mounts(container: &Container) -> Vec<&str> {
    container.volume_mounts.iter().flatten().map(|mount| mount.mount_path.as_str()).collect()
}

#[test]
fn the_level_of_buildkits_gzip_is_its_own_unless_one_is_asked_for() {
    for (compression, level) in [(json!(null), 6), (json!({"algorithm": "gzip"}), 6), (json!({"level": 1}), 1)] {
        let (pod, _) = pods(&own(json!({"spec": {"image": {"compression": compression}}})));
        let told = arguments(&container(&pod, "compile")).join(" ");
        assert!(told.contains(&format!("compression=gzip,compression-level={level},")), "{told}");
    }
}

#[test]
fn buildkit_is_told_all_of_it_in_words_of_their_own() {
    let (pod, _) = pods(&own(
        json!({"spec": {"image": {"labels": {"team": "a, b=c"}, "compression": {"level": 9}}, "go": {"modules": {"proxy": "https://modules.example.com|direct"}}}}),
    ));
    let compile = container(&pod, "compile");
    let expected = [
        "--addr",
        "tcp://buildkitd.builds:1234",
        "--tlsdir",
        "/var/run/gowindows/buildkit",
        "build",
        "--progress=plain",
        "--frontend=dockerfile.v0",
        "--local=context=/gowindows/context/src",
        "--local=dockerfile=/gowindows/context/dockerfile",
        "--opt=platform=windows/amd64",
        "--output=type=image,name=registry.example.com/shop,push=true,push-by-digest=true,oci-mediatypes=true,compression=gzip,compression-level=9,rewrite-timestamp=true",
        "--metadata-file=/gowindows/built/metadata.json",
        &format!("--opt=build-arg:REVISION={COMMIT}"),
        "--opt=build-arg:BUILDKIT_CACHE_MOUNT_NS=gowindows-0000-1111",
        "--opt=build-arg:GOPROXY=https://modules.example.com|direct",
        &format!("--opt=label:org.opencontainers.image.revision={COMMIT}"),
        "--opt=label:org.opencontainers.image.source=https://git.example.com/shop.git",
        &format!("--opt=label:org.opencontainers.image.base.name={BASE}"),
        &format!("--opt=label:org.opencontainers.image.base.digest={DIGEST}"),
        "--opt=label:team=a, b=c",
    ];
    assert_eq!(arguments(&compile), expected);
    let folders = [
        "/gowindows/context/src",
        "/gowindows/context/dockerfile",
        "/gowindows/built",
        "/var/run/gowindows/buildkit",
        "/var/run/gowindows/registry",
    ];
    assert_eq!(mounts(&compile), folders);
    let writable = compile.volume_mounts.iter().flatten().filter(|mount| mount.read_only != Some(true));
    assert_eq!(writable.map(|mount| mount.mount_path.as_str()).collect::<Vec<_>>(), ["/gowindows/built"]);
    assert!(compile.env.iter().flatten().any(|variable| variable.name == "DOCKER_CONFIG"));
    assert_eq!(engines::above_restricted(&pod), Vec::<String>::new());
}

#[test]
fn the_first_step_looks_at_it_and_the_last_at_what_was_pushed() {
    let (pod, tests) = pods(&own(json!({"spec": {"go": {"test": {"packages": ["./..."]}}}})));
    let source = container(&pod, "source");
    let words = arguments(&source);
    let request: SourceRequest = serde_json::from_str(&words[3]).expect("a request");
    let dockerfile = request.dockerfile.expect("a Dockerfile");
    assert_eq!((dockerfile.path.as_str(), request.any_program, request.context), ("build/Dockerfile", true, None));
    assert_eq!((dockerfile.base, dockerfile.toolchain), (format!("{BASE}@{DIGEST}"), format!("r.example.com/go@{DIGEST}")));
    let line = words[4..].join(" ");
    assert!(line.contains("--context /build ") && line.contains("--registry-config /var/run/gowindows/registry/config.json"), "{line}");
    let words = arguments(&container(&pod, "assemble"));
    let request: AssembleRequest = serde_json::from_str(&words[3]).expect("a request");
    assert!(request.expected.is_none() && request.tag.starts_with("gw-untested-"), "{request:?}");
    let line = words[4..].join(" ");
    assert!(line.contains("--pushed /build/out/metadata.json") && !line.contains("--program"), "{line}");
    // Tests are the go command's, whoever makes the program; they see no Dockerfile and no registry.
    let source = container(&tests, "source");
    let request: SourceRequest = serde_json::from_str(&arguments(&source)[3]).expect("a request");
    assert!(request.any_program && request.dockerfile.is_none() && !mounts(&source).contains(&"/var/run/gowindows/registry"));
}

/// A command of the Dockerfile could keep what it is given.
#[test]
fn its_commands_are_given_no_secret() {
    let refused = own(json!({"spec": {"go": {"modules": {"secretRef": {"name": "modules-auth"}}}}}));
    let refusal = Request::new(&refused, &settings()).expect_err("refused");
    assert!(refusal.reason == Reason::InvalidSpec && refusal.message.contains("go.modules.secretRef"), "{refusal:?}");
    let (pod, _) = pods(&own(json!({})));
    let given = arguments(&container(&pod, "compile"));
    assert!(!given.iter().any(|word| ["--secret", "--allow", "--ssh"].iter().any(|flag| word.starts_with(flag))), "{given:?}");
}

#[test]
fn the_dockerfile_is_an_input_and_its_absence_is_none() {
    let mut without = own(json!({}));
    if let Some(buildkit) = without.spec.build.as_mut().and_then(|build| build.buildkit.as_mut()) {
        buildkit.dockerfile = None;
    }
    let (without, with) = (inputs(&without), inputs(&own(json!({}))));
    let text = serde_json::to_string(&without).expect("JSON");
    assert!(!text.to_lowercase().contains("dockerfile"), "older fingerprints stay: {text}");
    assert_ne!(with.fingerprint(), without.fingerprint());
    assert_ne!(with.program_fingerprint(), without.program_fingerprint(), "neither program is taken for the other");
    assert_eq!(with.differing_fields(&without), ["build.buildkit.dockerfile"]);
    assert_eq!(serde_json::from_str::<Inputs>(&serde_json::to_string(&with).expect("JSON")).expect("inputs"), with);
}

/// The newest program is in an image of the same Dockerfile; but what is copied beside it nobody knows.
#[test]
fn no_program_is_taken_over() {
    let mut world = with_job(world(json!({"spec": {"build": build()}})), succeeded());
    world.workloads = vec![Some(deployment(&image().reference))];
    let plan = settle(&mut world, Some(&image()));
    report(&mut world, &plan);
    let status = world.object.status.clone();
    let mut edited = object(json!({"metadata": {"generation": 2}, "spec": {"build": build(), "image": {"labels": {"team": "shop"}}}}));
    edited.status = status;
    world.object = Arc::new(edited);
    let plan = settle(&mut world, None);
    let pod = job(&plan).and_then(|job| job.spec?.template.spec).expect("a build");
    let names: Vec<_> = pod.init_containers.into_iter().flatten().chain(pod.containers).map(|container| container.name).collect();
    assert_eq!(names, ["source", "compile", "assemble"]);
}

#[test]
fn warnings_of_a_program_come_from_the_step_that_read_it() {
    let mut world = world(json!({"spec": {"build": build()}}));
    let result = BuildResult { digest: DIGEST.into(), binary: None, sbom: None, warnings: vec!["TlsRoots".into()] };
    world = with_job(world, BuildState::Succeeded(Some(result)));
    let plan = settle(&mut world, Some(&image()));
    assert_eq!(plan.verdicts.publish.newest.map(|image| image.warnings), Some(vec!["TlsRoots".to_owned()]));
}

#[test]
fn what_the_dockerfile_says_cannot_be_said_elsewhere() {
    let cases = [
        ("image.args", json!({"image": {"args": ["-v"]}})),
        ("image.env", json!({"image": {"env": [{"name": "A", "value": "b"}]}})),
        ("image.ports", json!({"image": {"ports": [80]}})),
        ("image.files", json!({"image": {"files": [{"from": "web", "to": "C:\\app\\web"}]}})),
        ("image.annotations", json!({"image": {"annotations": {"a": "b"}}})),
        ("image.compression", json!({"image": {"compression": {"algorithm": "zstd"}}})),
        ("image.base.releases", json!({"image": {"base": {"releases": ["ltsc2022", "ltsc2025"]}}})),
        ("image.base.pullSecretRef", json!({"image": {"base": {"pullSecretRef": {"name": "pull"}}}})),
        ("go.package", json!({"go": {"package": "./cmd/shop"}})),
        ("go.ldflags", json!({"go": {"ldflags": ["-X main.version=1"]}})),
        ("go.strip", json!({"go": {"strip": false}})),
        ("go.tags", json!({"go": {"tags": ["netgo"]}})),
        ("go.env", json!({"go": {"env": [{"name": "GOAMD64", "value": "v2"}]}})),
        ("go.timezoneData", json!({"go": {"timezoneData": false}})),
    ];
    for (field, spec) in cases {
        let refusal = Request::new(&own(json!({"spec": spec})), &settings()).expect_err("refused");
        assert_eq!(refusal.reason, Reason::InvalidSpec);
        assert!(refusal.message.starts_with(&format!("{field}: ")) && refusal.message.contains("ockerfile"), "{}", refusal.message);
    }
    for spec in [
        json!({"image": {"labels": {"a": "b"}, "compression": {"algorithm": "gzip", "level": 9}, "base": {"releases": ["ltsc2025"]}}}),
        json!({"go": {"tags": ["netgo"], "timezoneData": false, "test": {"packages": ["./..."]}}}),
        json!({"go": {"version": "1.26", "modules": {"private": ["git.example.com/team"]}}}),
    ] {
        assert!(Request::new(&own(json!({"spec": spec.clone()})), &settings()).is_ok(), "{spec}");
    }
    let refusal =
        Request::new(&own(json!({"spec": {"build": {"buildkit": {"dockerfile": "../Dockerfile"}}}})), &settings()).expect_err("refused");
    assert!(refusal.message.contains("build.buildkit.dockerfile"), "{}", refusal.message);
}
