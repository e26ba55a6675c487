//! What of a specification, of a Secret and of a build's output comes where? Cases of docs/security.md that are read from the objects that are
//! created for a build, and from what is read of it afterwards.

use gowindows_core::build::render;
use gowindows_core::pass::decide;
use gowindows_core::read::builds;
use gowindows_crds::v1alpha1::BuildEngine;
use gowindows_crds::{GoWindowsImage, names};
use gowindows_model::facts::{BuildState, GitLogin, ModulesLogin, Nodes, ResolvedBase, Revision, Seen, World};
use gowindows_model::go::credentials::Credentials;
use gowindows_model::plan::{BuildOrder, Decision, Write};
use gowindows_model::question::Question;
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const ENGINES: [BuildEngine; 3] = [BuildEngine::Go, BuildEngine::BuildKit, BuildEngine::Kaniko];

fn settings() -> Settings {
    serde_json::from_value(json!({
        "toolchains": {"1.26": format!("r.example.com/go@{DIGEST}")}, "stepImage": "r.example.com/gowindows:1",
        "buildctlImage": "r.example.com/buildctl:1", "kanikoImage": "r.example.com/kaniko:1",
        "bases": {"NanoServer": "registry.example.com/nanoserver"},
    }))
    .expect("settings")
}

/// The smallest object with this name and engine, and with a Secret for everything where `secrets` says so.
fn object(name: &str, engine: BuildEngine, secrets: bool) -> Value {
    let secret = |name: &str| json!({"name": name});
    let mut object = json!({
        "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage",
        "metadata": {"name": name, "namespace": "team", "uid": "0000-1111", "generation": 1},
        "spec": {
            "source": {"git": {"url": "https://git.example.com/shop.git"}}, "image": {"repository": "registry.example.com/shop"},
            "go": {"test": {"packages": ["./..."]}}, "build": {"engine": engine},
        },
    });
    let spec = &mut object["spec"];
    if engine == BuildEngine::BuildKit {
        spec["build"]["buildkit"] = json!({"address": "tcp://b.builds:1234", "tlsSecretRef": secret("tls-secret")});
    }
    if secrets {
        spec["source"]["git"]["secretRef"] = secret("git-secret");
        spec["go"]["modules"] = json!({"private": ["git.example.com/team"], "secretRef": secret("modules-secret")});
        spec["image"]["pushSecretRef"] = secret("push-secret");
        spec["image"]["base"] = json!({"pullSecretRef": secret("base-secret")});
        spec["signing"] = json!({"keySecretRef": secret("key-secret")});
    }
    object
}

/// What the first pass over an object orders, where every question is answered well.
fn order(object: &GoWindowsImage) -> BuildOrder {
    let now = Timestamp::from_second(1_000_000).expect("in range");
    let mut world = World::new(object.clone(), now, Nodes::Hidden("they are not looked at".into()));
    let base = ResolvedBase { digest: DIGEST.into(), os_versions: vec!["10.0.20348.5499".into()] };
    let keys = vec!["username".into(), "password".into()];
    let answers = &mut world.answers;
    answers.source = Seen::Fresh(Revision { name: "main".into(), commit: "4f".repeat(20) }, now);
    answers.bases.insert("registry.example.com/nanoserver:ltsc2022".into(), Seen::Fresh(base, now));
    answers.git_login = Seen::Fresh(GitLogin { keys, unbound: None }, now);
    answers.modules = Seen::Fresh(ModulesLogin { credentials: Credentials { authority: true }, unbound: None }, now);
    answers.builder = Seen::Fresh((), now);
    for _ in 0..20 {
        match decide(&world, &settings()) {
            Decision::Ask(questions) => {
                for question in questions {
                    if let Question::Published { tag, .. } = &question {
                        world.answers.published.insert(tag.clone(), Seen::Fresh(None, now));
                    }
                    world.answers.asked.push(question);
                }
            }
            Decision::Do(plan) => {
                let found =
                    plan.steps.into_iter().find_map(|step| if let Write::StartBuild(order) = step.write { Some(*order) } else { None });
                return found.unwrap_or_else(|| panic!("nothing is built: {:?}", plan.verdicts.build.progress));
            }
        }
    }
    panic!("it keeps asking: {:?}", world.answers.asked);
}

/// The Jobs that are created for the first build of an object.
fn jobs(object: &Value) -> Vec<Job> {
    let object: GoWindowsImage = serde_json::from_value(object.clone()).expect("an object");
    render::objects(&object, &settings(), &order(&object)).jobs
}

fn pod(job: &Job) -> Value {
    serde_json::to_value(job).expect("JSON")["spec"]["template"]["spec"].take()
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|list| pod[list].as_array().into_iter().flatten())
}

/// SP6: as the schema says.
#[test]
fn an_address_has_2048_bytes_at_most() {
    for (length, fits) in [(2048, true), (2049, false)] {
        let mut object = object("shop", BuildEngine::Go, false);
        let start = "https://git.example.com/";
        object["spec"]["source"]["git"]["url"] = json!(format!("{start}{}", "a".repeat(length - start.len())));
        let request = Request::new(&serde_json::from_value(object).expect("an object"), &settings());
        assert_eq!(request.is_ok(), fits, "{length}");
        let told = request.err().map(|refusal| refusal.message).unwrap_or_default();
        assert!(fits || (told.starts_with("source.git.url: ") && told.len() < 300), "{told}");
    }
}

/// SE9.
#[test]
fn secrets_are_files_and_stand_in_no_variable_and_no_argument() {
    for engine in ENGINES {
        let mut mounted = Vec::new();
        for job in jobs(&object("shop", engine, true)) {
            let pod = pod(&job);
            let text = pod.to_string();
            for way in ["valueFrom", "envFrom", "secretKeyRef", "configMapKeyRef"] {
                assert!(!text.contains(way), "{engine:?}: {way} in {text}");
            }
            for volume in pod["volumes"].as_array().expect("volumes").iter().filter(|volume| !volume["secret"].is_null()) {
                let secret = volume["secret"]["secretName"].as_str().expect("a name");
                assert_eq!(volume["secret"]["defaultMode"], 0o400, "{engine:?} {secret}");
                assert_eq!(text.matches(secret).count(), 1, "{engine:?}: {secret} is named by its volume alone: {text}");
                mounted.push(secret.to_owned());
            }
        }
        mounted.sort();
        mounted.dedup();
        let tls = if engine == BuildEngine::BuildKit { vec!["tls-secret"] } else { vec![] };
        let expected = [vec!["base-secret", "git-secret", "modules-secret", "push-secret"], tls].concat();
        assert_eq!(mounted, expected, "{engine:?}: the signing key is in no pod");
    }
}

/// SP9. Kubernetes expands `$(NAME)` in commands and variables, and makes one dollar of two.
#[test]
fn linker_flags_reach_the_go_command_as_they_were_written() {
    let value = r#"$(HOSTNAME) ${HOME} $HOME `id`; rm -rf / && "quoted" | x > y \ %PATH% $$"#;
    let mut object = object("shop", BuildEngine::Go, false);
    object["spec"]["go"]["ldflags"] = json!([format!("-X main.text={value}")]);
    let pod = pod(jobs(&object).last().expect("a build"));
    let compile = containers(&pod).find(|container| container["name"] == "compile").expect("a compile stage");
    let command: Vec<&str> = compile["command"].as_array().expect("a command").iter().filter_map(Value::as_str).collect();
    assert_eq!(command[..2], ["go", "build"], "no shell");
    let flags = command[1 + command.iter().position(|word| *word == "-ldflags").expect("flags")];
    assert_eq!(flags.replace("$$", "").matches('$').count(), 0, "each dollar is doubled: {flags}");
    assert_eq!(flags.replace("$$", "$"), format!("-s -w -buildid= -X 'main.text={value}'"));
}

/// SP18, SP19.
#[test]
fn labels_and_names_are_legal_whatever_an_object_is_called() {
    let legal = |text: &str| {
        let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
        let harmless = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        text.len() <= 63 && harmless && ends(text.chars().next()) && ends(text.chars().last())
    };
    for name in ["a".repeat(253), format!("{}.b", "a-".repeat(60) + "a"), "9".into(), "a.b.c".into(), format!("x.{}", "y".repeat(251))] {
        for job in jobs(&object(&name, BuildEngine::Go, false)) {
            let job = serde_json::to_value(job).expect("JSON");
            for metadata in [&job["metadata"], &job["spec"]["template"]["metadata"]] {
                let labels = metadata["labels"].as_object().expect("labels");
                for (label, value) in labels {
                    assert!(value.as_str().is_some_and(legal), "{label}: {value}");
                }
                assert!(!labels.values().any(|value| value == name.as_str()) || name.len() < 63, "the name is no label");
                assert_eq!(metadata["annotations"][names::ANNOTATION_IMAGE], name.as_str(), "an annotation has it whole");
            }
            assert!(job["metadata"]["name"].as_str().is_some_and(|name| legal(name) && name.len() <= 63), "{}", job["metadata"]["name"]);
        }
    }
}

/// SE3. Nothing of ours compiles: whatever is printed comes from the source and from what it runs.
#[test]
fn what_a_build_has_printed_is_masked_and_cut() {
    let mut job = jobs(&object("shop", BuildEngine::Go, false)).pop().expect("a build");
    let failed = json!({"conditions": [{"type": "Failed", "status": "True", "lastTransitionTime": "2026-01-01T00:00:09Z"}]});
    job.status = serde_json::from_value(failed).expect("a status");
    let secrets =
        ["Authorization: Bearer canary.canary", "https://git:canary@git.example.com/a", "PASSWORD=canary", "{\"token\":\"canary\"}"];
    let said = format!("{}main.go:3:1: {}\n", "a line that is not kept\n".repeat(4000), secrets.join("\n"));
    let state = json!({"terminated": {"exitCode": 1, "message": said}});
    let compile = json!({"name": "compile", "state": state, "image": "", "imageID": "", "ready": false, "restartCount": 0});
    let pod = json!({"metadata": {"name": "shop-1-x"}, "status": {"phase": "Failed", "initContainerStatuses": [compile]}});
    let pod = Arc::new(serde_json::from_value(pod).expect("a pod"));
    let (builds, _) = builds(&[Arc::new(job)], |_| vec![Arc::clone(&pod)]);
    let BuildState::Failed(failure) = &builds[0].state else { panic!("{:?}", builds[0].state) };
    let tail = failure.log_tail.as_deref().expect("a tail");
    assert!(tail.len() <= 2048 && tail.contains("a line that is not kept"), "{} bytes", tail.len());
    assert!(tail.contains("main.go:3:1") && tail.contains("PASSWORD=***"), "{tail}");
    assert!(!tail.contains("canary") && !failure.message.contains("canary") && failure.message.len() < 1024, "{failure:?}");
}
