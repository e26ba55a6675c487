//! What does engine BuildKit look like on Windows nodes, over TCP and through the node's named pipe?

use super::*;
use gowindows_model::wire::source::SourceRequest;
use k8s_openapi::api::core::v1::Pod;

const PIPE: &str = "npipe:////./pipe/buildkitd";

fn buildkit(address: &str) -> Value {
    let mut buildkit = json!({"address": address});
    if address.starts_with("tcp:") {
        buildkit["tlsSecretRef"] = json!({"name": "buildkit-tls"});
    }
    json!({"spec": {"build": {"engine": "BuildKit", "buildkit": buildkit}}})
}

fn tcp() -> Value {
    buildkit("tcp://buildkitd.builds:1234")
}

fn containerd(version: &str) -> WindowsNode {
    let own = format!("host-of-{}", version.replace('.', "-"));
    WindowsNode { runtime: format!("containerd://{version}"), host: own, ..node("10.0.20348.5499", vec![taint("os")]) }
}

fn three_jobs(more: Value, nodes: Vec<WindowsNode>) -> [Job; 3] {
    let plan = settle(&mut world_with(more, nodes), None);
    let [source, compile, last] = &jobs(&plan)[..] else { panic!("{:?}", plan.verdicts.build.progress) };
    [source, compile, last].map(Clone::clone)
}

fn source_request(job: &Job) -> SourceRequest {
    let arguments = pod(job).containers[0].args.clone().expect("arguments");
    serde_json::from_str(&arguments[3].replace("$$", "$")).expect("a request")
}

#[test]
fn over_tcp_the_same_dockerfile_is_sent_from_a_windows_pod() {
    let [source, compile, last] = three_jobs(tcp(), usual());
    let name = last.name_any();
    let container = &pod(&compile).containers[0];
    assert_eq!(container.image.as_deref(), Some(BUILDCTL));
    let expected = [
        "buildctl.exe",
        "--addr",
        "tcp://buildkitd.builds:1234",
        "--tlsdir",
        r"C:\var\run\gowindows\buildkit",
        "build",
        "--progress=plain",
        "--frontend=dockerfile.v0",
        &format!(r"--local=context=C:\gowindows\0000-1111\{name}"),
        &format!(r"--local=dockerfile=C:\gowindows\0000-1111\{name}\dockerfile"),
        &format!(r"--output=type=local,dest=C:\gowindows\0000-1111\{name}\out"),
    ];
    assert_eq!(container.command.clone().expect("a command"), expected);
    let text = serde_json::to_string(pod(&compile)).expect("JSON");
    assert!(text.contains(r#""secretName":"buildkit-tls""#) && !text.contains("defaultMode") && !text.contains("hostPath"), "{text}");
    assert!(text.contains(r#""values":["10.0.20348"]"#) && !text.contains("kubernetes.io/hostname"), "{text}");
    let arguments = pod(&last).containers[0].args.clone().expect("arguments").join(" ");
    assert!(arguments.contains("--program-dir /build/out"), "{arguments}");

    // But for where it runs, it is the build of a Linux node: same Dockerfile, same inputs, hence nothing is built when the nodes change.
    let linux = json!({"spec": {"build": {"nodes": {"os": "linux"}}}});
    let mut on_linux = tcp();
    merge(&mut on_linux, &linux);
    let plan = settle(&mut world_with(on_linux, vec![]), None);
    let [whole] = &jobs(&plan)[..] else { panic!("{:?}", plan.verdicts.build.progress) };
    assert_eq!(whole.name_any(), name);
    let first = pod(whole).init_containers.as_ref().expect("stages")[0].args.clone().expect("arguments");
    let request: SourceRequest = serde_json::from_str(&first[3].replace("$$", "$")).expect("a request");
    assert_eq!(source_request(&source).context, request.context);
}

/// Not demonstrated on Windows: this is what is rendered.
#[test]
fn the_whole_pod_with_the_nodes_named_pipe() {
    let [source, compile, last] = three_jobs(buildkit(PIPE), vec![containerd("1.6.35"), containerd("1.7.7")]);
    let folder = format!(r"C:\gowindows\0000-1111\{}", last.name_any());
    let equal = |value: &str| json!({"key": "os", "operator": "Equal", "value": value});
    let only = |key: &str, value: &str| json!({"key": key, "operator": "In", "values": [value]});
    let terms = [only("node.kubernetes.io/windows-build", "10.0.20348"), only("kubernetes.io/hostname", "host-of-1-7-7")];
    let variables = ["TMP", "TEMP", "USERPROFILE"].map(|name| json!({"name": name, "value": r"C:\tmp"}));
    let expected = json!({
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": terms}]}}},
        "automountServiceAccountToken": false,
        "containers": [{
            "name": "compile",
            "image": BUILDCTL,
            "command": [
                "buildctl.exe", "--addr", PIPE, "build", "--progress=plain", "--frontend=dockerfile.v0", format!("--local=context={folder}"),
                format!(r"--local=dockerfile={folder}\dockerfile"), format!(r"--output=type=local,dest={folder}\out"),
            ],
            "env": variables,
            "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "1Gi"}},
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [
                {"name": "workspace", "mountPath": r"C:\gowindows"},
                {"name": "tmp", "mountPath": r"C:\tmp"},
                {"name": "buildkitd", "mountPath": r"\\.\pipe\buildkitd"},
            ],
        }],
        "enableServiceLinks": false,
        "nodeSelector": {"kubernetes.io/os": "windows", "kubernetes.io/arch": "amd64"},
        "os": {"name": "windows"},
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": true, "windowsOptions": {"runAsUserName": "ContainerUser"}},
        "terminationGracePeriodSeconds": 10,
        "tolerations": [equal("windows"), equal("Windows"), {"key": "node.kubernetes.io/os", "operator": "Equal", "value": "windows"}],
        "volumes": [
            {"name": "workspace", "persistentVolumeClaim": {"claimName": "shared"}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "buildkitd", "hostPath": {"path": r"\\.\pipe\buildkitd"}},
        ],
    });
    assert_eq!(serde_json::to_value(pod(&compile)).expect("JSON"), expected);
    let generated = source_request(&source).context.expect("a context");
    assert_eq!((generated.system, generated.toolchain), (NodeSystem::Windows, format!("{WINDOWS_GO}@{DIGEST}")));
}

#[test]
fn a_named_pipe_needs_a_containerd_with_which_buildkit_works() {
    for (version, works) in
        [("1.6.35", false), ("1.7.6", false), ("1.7.7", true), ("1.7.27+azure", true), ("2.0.0-rc.1", true), ("unknown", false)]
    {
        let mut world = world_with(buildkit(PIPE), vec![containerd(version)]);
        if works {
            assert_eq!(jobs(&settle(&mut world, None)).len(), 3, "{version}");
            continue;
        }
        let trouble = blocked(&mut world);
        let words = ["build.buildkit.address", "1.7.7 or later", "node win-1", version, "Update containerd", "tcp://"];
        assert!(trouble.reason == Reason::NodeUnavailable && words.iter().all(|word| trouble.message.contains(word)), "{trouble:?}");
    }
    // Over TCP the node's containerd plays no part; and what cannot be seen is taken on trust.
    assert_eq!(jobs(&settle(&mut world_with(tcp(), vec![containerd("1.6.35")]), None)).len(), 3);
    let mut hidden = world_with(buildkit(PIPE), vec![]);
    hidden.nodes = Nodes::Hidden("no right".into()).into();
    let plan = settle(&mut hidden, None);
    let text = serde_json::to_string(pod(&jobs(&plan)[1])).expect("JSON");
    assert!(text.contains(r#""values":["10.0.20348"]"#) && !text.contains("kubernetes.io/hostname"), "{text}");
}

#[test]
fn each_image_that_the_node_must_run_is_named_where_none_does() {
    let of_2025 = || Seen::Fresh(resolved(DIGEST, "10.0.26100.1"), at(0));
    let mut world = world_with(tcp(), usual());
    world.answers.bases.insert(BUILDCTL.into(), of_2025());
    let trouble = blocked(&mut world);
    let words = ["image of buildctl", "made for Windows 10.0.26100.1", "windowsBuildctlImage"];
    assert!(trouble.reason == Reason::NodeUnavailable && words.iter().all(|word| trouble.message.contains(word)), "{trouble:?}");
    let mut world = world_with(buildkit(PIPE), vec![containerd("2.0.4")]);
    world.answers.bases.insert(format!("{WINDOWS_GO}@{DIGEST}"), of_2025());
    assert!(blocked(&mut world).message.contains("toolchain image"));
    let mut world = world_with(tcp(), usual());
    let absent = Trouble { reason: Reason::BaseUnavailable, message: "it is not there".into(), at: at(1), times: 1 };
    world.answers.bases.insert(BUILDCTL.into(), Seen::Unknown(absent));
    let trouble = blocked(&mut world);
    assert_eq!((trouble.reason, trouble.message.contains("image of buildctl")), (Reason::ToolchainUnavailable, true), "{trouble:?}");
}

/// Neither wants more of a node than it needs: `buildctl` runs on 2025 alone, and the tests on 2022.
#[test]
fn tests_are_kept_on_nodes_of_their_own() {
    let more = json!({"spec": {"go": {"test": {"packages": ["./..."], "os": "windows"}}}});
    let mut both = tcp();
    merge(&mut both, &more);
    let mut world = world_with(both, vec![node("10.0.20348.5499", vec![]), node("10.0.26100.1", vec![])]);
    world.answers.bases.insert(BUILDCTL.into(), Seen::Fresh(resolved(DIGEST, "10.0.26100.1"), at(0)));
    let plan = settle(&mut world, None);
    let values = |end: &str| {
        let job = jobs(&plan).into_iter().find(|job| job.name_any().ends_with(end)).expect("a Job");
        let text = serde_json::to_string(&pod(&job).affinity).expect("JSON");
        ["10.0.20348", "10.0.26100"].map(|version| text.contains(version))
    };
    assert_eq!((values("-compile"), values("-test")), ([false, true], [true, true]));
}

#[test]
fn a_dockerfile_of_ones_own_is_built_from_a_windows_pod_over_tcp() {
    let more = json!({"spec": {
        "build": {"buildkit": {"dockerfile": "build/Dockerfile"}}, "image": {"pushSecretRef": {"name": "push"}},
    }});
    let mut own = tcp();
    merge(&mut own, &more);
    let [source, compile, last] = three_jobs(own, usual());
    let folder = format!(r"C:\gowindows\0000-1111\{}", last.name_any());
    let words = pod(&compile).containers[0].command.clone().expect("a command");
    for word in [
        format!(r"--local=context={folder}\src"),
        format!(r"--local=dockerfile={folder}\dockerfile"),
        format!(r"--metadata-file={folder}\out\metadata.json"),
        "--opt=platform=windows/amd64".to_owned(),
    ] {
        assert!(words.contains(&word), "{word}: {words:?}");
    }
    let text = serde_json::to_string(pod(&compile)).expect("JSON");
    assert!(text.contains(r#""DOCKER_CONFIG","value":"C:\\var\\run\\gowindows\\registry""#) && !text.contains("base-auth"), "{text}");
    // What is mounted is there, in each of the three.
    for job in [&source, &compile, &last] {
        let volumes: Vec<_> = pod(job).volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
        let mounts = pod(job).containers[0].volume_mounts.iter().flatten().map(|mount| mount.name.as_str());
        let absent: Vec<_> = mounts.filter(|name| !volumes.contains(name)).collect();
        assert!(absent.is_empty() && volumes.contains(&"registry-auth"), "{absent:?} of {volumes:?}");
    }
    let arguments = pod(&last).containers[0].args.clone().expect("arguments").join(" ");
    assert!(arguments.contains("--pushed /build/out/metadata.json"), "{arguments}");
}

/// Not demonstrated on Windows: this is what is rendered.
#[test]
fn a_dockerfile_of_ones_own_is_built_by_the_nodes_own_buildkitd() {
    let more = json!({"spec": {
        "build": {"buildkit": {"dockerfile": "build/Dockerfile"}}, "image": {"pushSecretRef": {"name": "push"}},
    }});
    let mut own = buildkit(PIPE);
    merge(&mut own, &more);
    let [source, compile, last] = three_jobs(own, vec![containerd("2.0.4")]);
    let folder = format!(r"C:\gowindows\0000-1111\{}", last.name_any());
    let expected = [
        "buildctl.exe".to_owned(),
        "--addr".into(),
        PIPE.into(),
        "build".into(),
        "--progress=plain".into(),
        "--frontend=dockerfile.v0".into(),
        format!(r"--local=context={folder}\src"),
        format!(r"--local=dockerfile={folder}\dockerfile"),
        "--opt=platform=windows/amd64".into(),
        "--output=type=image,name=registry.example.com/shop,push=true,push-by-digest=true,oci-mediatypes=true,compression=gzip,compression-level=6".into(),
        format!(r"--metadata-file={folder}\out\metadata.json"),
    ];
    let words = pod(&compile).containers[0].command.clone().expect("a command");
    assert_eq!(words[..expected.len()], expected);
    let dockerfile = source_request(&source).dockerfile.expect("a Dockerfile");
    assert_eq!(dockerfile.system, NodeSystem::Windows);
    let arguments = pod(&last).containers[0].args.clone().expect("arguments").join(" ");
    assert!(arguments.contains("--pushed /build/out/metadata.json --made-on-windows"), "{arguments}");
}

/// Commands run in the base, so the node has to run it too.
#[test]
fn the_base_of_a_dockerfile_has_to_run_on_the_node() {
    let mut own = buildkit(PIPE);
    merge(&mut own, &json!({"spec": {"build": {"buildkit": {"dockerfile": "Dockerfile"}}}}));
    let plan = settle(&mut world_with(own.clone(), vec![containerd("2.0.4")]), None);
    let base = plan.verdicts.build.inputs.expect("inputs").assembly.bases[0].clone();
    let mut world = world_with(own, vec![containerd("2.0.4")]);
    world.answers.bases.insert(base.clone(), Seen::Fresh(resolved(DIGEST, "10.0.26100.1"), at(0)));
    let trouble = blocked(&mut world);
    let words = [format!("runs the base {base}"), "image.base.releases".into()];
    assert!(trouble.reason == Reason::NodeUnavailable && words.iter().all(|word| trouble.message.contains(word)), "{trouble:?}");
}

#[test]
fn what_cannot_be_said_of_a_named_pipe_is_refused() {
    let refused = |more: Value| Request::new(&object(patch(more)), &settings()).expect_err("refused");
    let with = |more: Value| {
        let mut all = buildkit(PIPE);
        merge(&mut all, &more);
        all
    };
    for (more, reason, words) in [
        (
            with(json!({"spec": {"build": {"nodes": {"os": "linux"}}}})),
            Reason::InvalidSpec,
            vec!["build.buildkit.address", PIPE, "build.nodes.os", "tcp://"],
        ),
        (
            with(json!({"spec": {"build": {"buildkit": {"tlsSecretRef": {"name": "tls"}}}}})),
            Reason::InvalidSpec,
            vec!["build.buildkit.tlsSecretRef", "takes no certificates"],
        ),
        (
            with(json!({"spec": {"go": {"modules": {"secretRef": {"name": "modules-auth"}}}}})),
            Reason::InvalidSpec,
            vec!["go.modules.secretRef", "go.modules.proxy"],
        ),
        (buildkit("npipe:////server/pipe/buildkitd"), Reason::InvalidSpec, vec!["build.buildkit.address"]),
        (
            json!({"spec": {"build": {"engine": "BuildKit", "buildkit": {"address": "tcp://b:1234"}}}}),
            Reason::InvalidSpec,
            vec!["build.buildkit.tlsSecretRef", "without certificates"],
        ),
    ] {
        let Refusal { reason: found, message } = refused(more);
        assert!(found == reason && words.iter().all(|word| message.contains(word)), "{found:?}: {message}");
    }
    let bare = Settings { windows_buildctl_image: None, ..settings() };
    let refusal = Request::new(&object(patch(tcp())), &bare).expect_err("refused");
    assert!(refusal.reason == Reason::NotConfigured && refusal.message.contains("windowsBuildctlImage"), "{refusal:?}");
}

/// What a Job says whose pod has ended with this container status and pod status.
fn ended(job: &Job, message: &str, status: Value) -> (Reason, String) {
    let mut job = job.clone();
    job.metadata.uid = Some("u".into());
    job.status = serde_json::from_value(json!({"conditions": [{"type": "Failed", "status": "True"}]})).expect("a status");
    let container = json!([{
        "name": "compile", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 1, "message": message}},
    }]);
    let mut status = status;
    status[if pod(&job).os.is_some() { "containerStatuses" } else { "initContainerStatuses" }] = container;
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "status": status})).expect("a pod");
    match run(&job, &[Arc::new(pod)]).state {
        BuildState::Failed(failure) => (failure.reason, failure.message),
        state => panic!("{state:?}"),
    }
}

#[test]
fn failures_read_as_on_linux_nodes_and_are_tried_again_as_there() {
    let dialing = |what: &str| format!("error: failed to list workers: Unavailable: connection error: desc = \"transport: {what}\"");
    let down = "Error while dialing: dial tcp 10.0.0.1:1234: connectex: No connection could be made because the target machine actively refused it.";
    let untrusted = "authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority";
    let (absent, denied) = (
        r"Error while dialing: open \\\\.\\pipe\\buildkitd: The system cannot find the file specified.",
        r"Error while dialing: open \\\\.\\pipe\\buildkitd: Access is denied.",
    );
    let table = [
        (dialing(down), json!({}), Reason::BuilderUnreachable, "build.buildkit.address"),
        (dialing(untrusted), json!({}), Reason::BuilderAuthFailed, "tlsSecretRef"),
        (dialing(absent), json!({}), Reason::BuilderUnreachable, "cannot find the file"),
        (dialing(denied), json!({}), Reason::BuilderUnreachable, "--group"),
        (String::new(), json!({"reason": "NodeLost"}), Reason::Lost, "NodeLost"),
    ];
    let [_, compile, _] = three_jobs(tcp(), usual());
    let mut on_linux = tcp();
    merge(&mut on_linux, &json!({"spec": {"build": {"nodes": {"os": "linux"}}}}));
    let plan = settle(&mut world_with(on_linux, vec![]), None);
    let whole = job(&plan).expect("a Job");
    for (message, status, reason, words) in table {
        let (found, said) = ended(&compile, &message, status.clone());
        assert!(found == reason && said.contains(words), "{found}: {said}");
        assert_eq!((found, said), ended(&whole, &message, status));

        let of_part = relayed_of(tcp(), [Some(BuildState::Succeeded(None)), Some(failed(reason))], None);
        let retry = |mut world: World| match settle(&mut world, None).verdicts.build.progress {
            BuildProgress::Failed { reason, retry_at, .. } => (reason, retry_at.map(|at| at.duration_since(world.now).as_secs())),
            verdict => panic!("{verdict:?}"),
        };
        let (found, again) = retry(of_part);
        assert!(found == reason && again.is_some(), "{found}: {again:?}");
    }
}
