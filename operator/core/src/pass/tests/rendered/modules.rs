//! How do private modules reach a build, and what of them is seen?

use super::*;
use gowindows_model::go::credentials::Credentials;
use k8s_openapi::api::core::v1::{Container, PodSpec};

fn modules() -> Value {
    json!({"private": ["git.example.com/team", "*.corp.example.com"], "secretRef": {"name": "modules-auth"}})
}

fn patch(engine: &str, modules: Value) -> Value {
    let mut build = json!({"engine": engine});
    if engine == "BuildKit" {
        build["buildkit"] = json!({"address": "tcp://buildkitd.builds:1234", "tlsSecretRef": {"name": "buildkit-tls"}});
    }
    json!({"spec": {"build": build, "go": {"modules": modules}}})
}

/// Answers every question, that for the Secret of modules as it is given.
fn plan_with(world: &mut World, secret: &Seen<ModulesLogin>) -> Plan {
    loop {
        match decide(world, &settings()) {
            Decision::Do(plan) => return *plan,
            Decision::Ask(questions) => {
                for question in &questions {
                    match question {
                        Question::Modules { .. } => world.answers.modules = secret.clone(),
                        Question::Published { tag, .. } => drop(world.answers.published.insert(tag.clone(), Seen::Fresh(None, world.now))),
                        _ => {}
                    }
                }
                world.answers.asked.extend(questions);
            }
        }
    }
}

fn pod(engine: &str, authority: bool) -> PodSpec {
    let mut world = world(patch(engine, modules()));
    let now = world.now;
    let plan = plan_with(&mut world, &Seen::Fresh(ModulesLogin { credentials: Credentials { authority }, unbound: None }, now));
    job(&plan).and_then(|job| job.spec?.template.spec).expect("a pod")
}

fn containers(pod: &PodSpec) -> impl Iterator<Item = &Container> {
    pod.init_containers.iter().flatten().chain(&pod.containers)
}

fn dockerfile(pod: &PodSpec) -> String {
    let args = containers(pod).next().and_then(|source| source.args.clone()).expect("arguments");
    let step: gowindows_model::wire::source::SourceRequest = serde_json::from_str(&args[3].replace("$$", "$")).expect("a request");
    step.context.expect("a context").text(false).expect("a Dockerfile")
}

fn variables(container: &Container) -> std::collections::BTreeMap<String, String> {
    let all = container.env.iter().flatten();
    let known: Vec<_> = all.map(|variable| (variable.name.clone(), variable.value.clone().unwrap_or_default())).collect();
    let unique: std::collections::BTreeMap<_, _> = known.iter().cloned().collect();
    assert_eq!(unique.len(), known.len(), "a variable is given twice: {known:?}");
    unique
}

fn has_login(container: &Container) -> bool {
    container.volume_mounts.iter().flatten().any(|mount| mount.name == "modules-auth")
}

fn named(pod: &PodSpec, name: &str) -> Container {
    containers(pod).find(|container| container.name == name).cloned().expect("a container of that name")
}

/// The rule: where anything of a committer's is compiled there is no login. `buildctl` compiles nothing.
#[test]
fn only_what_downloads_has_the_secret_and_as_files() {
    for (engine, holder) in [("Go", "modules"), ("BuildKit", "compile"), ("Kaniko", "modules")] {
        let pod = pod(engine, true);
        let with: Vec<_> = containers(&pod).filter(|container| has_login(container)).map(|container| container.name.as_str()).collect();
        assert_eq!(with, [holder], "{engine}");
        let volume = pod.volumes.iter().flatten().find(|volume| volume.name == "modules-auth").and_then(|volume| volume.secret.clone());
        let secret = volume.expect("a Secret");
        let files: Vec<_> = secret.items.iter().flatten().map(|item| (item.key.as_str(), item.path.as_str())).collect();
        assert_eq!((secret.default_mode, files), (Some(0o400), vec![("netrc", ".netrc"), ("ca.crt", "ca.crt")]), "{engine}");
        let text = serde_json::to_string(&pod).expect("JSON");
        assert_eq!(text.matches("secretName\":\"modules-auth").count(), 1, "{engine}: its name is in the volume alone");
        assert!(!text.contains("secretKeyRef") && !text.contains("envFrom"), "{engine}");
    }
}

#[test]
fn what_downloads_finds_it_at_home() {
    let found = variables(&named(&pod("Go", true), "modules"));
    for (name, value) in [
        ("HOME", "/gowindows/modules"),
        ("SSL_CERT_DIR", "/gowindows/modules:/etc/ssl/certs:/etc/pki/tls/certs"),
        ("GIT_SSL_CAINFO", "/gowindows/modules/ca.crt"),
        ("GOPRIVATE", "git.example.com/team,*.corp.example.com"),
        ("GOOS", "windows"),
    ] {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!found.contains_key("GONOPROXY") && found.contains_key("GOTOOLCHAIN"));
    let found = variables(&named(&pod("Go", false), "modules"));
    assert!(!found.contains_key("SSL_CERT_DIR") && !found.contains_key("GIT_SSL_CAINFO"), "{found:?}");
}

/// As the tests are: it finds modules where the stage before it has left them, and asks nobody.
#[test]
fn what_compiles_asks_nobody() {
    for engine in ["Go", "Kaniko"] {
        let pod = pod(engine, true);
        let modules = named(&pod, "modules");
        assert_eq!(
            modules.command.as_deref(),
            Some(&["go", "list", "-deps", "-f", "{{\"\"}}", "-tags", "timetzdata", "."].map(String::from)[..])
        );
        let order: Vec<_> = containers(&pod).map(|container| container.name.as_str()).collect();
        assert!(order.starts_with(&["source", "modules"]), "{order:?}");
        let cache = variables(&modules).remove("GOMODCACHE").expect("a cache");
        let cache_of = |container: &Container| {
            container.volume_mounts.iter().flatten().any(|mount| mount.name == "cache" && mount.mount_path == "/cache")
        };
        assert!(cache_of(&modules) && cache_of(&named(&pod, "compile")), "{engine}");
        let own: Vec<String> =
            variables(&named(&pod, "compile")).into_iter().map(|(name, value)| format!("ENV {name}=\"{value}\"")).collect();
        let told = if engine == "Go" { own.join("\n") } else { dockerfile(&pod) };
        for line in ["ENV GOPROXY=\"off\"", &format!("ENV GOMODCACHE=\"{cache}\""), "ENV HOME=\"/tmp\""] {
            assert!(told.contains(line), "{engine}: {line} in {told}");
        }
        assert!(
            !told.contains("GOPRIVATE") && !told.contains("/gowindows/modules") && !told.contains("mod\",\"download"),
            "{engine}: {told}"
        );
    }
}

#[test]
fn buildkit_hands_it_to_the_command_that_downloads_alone() {
    let buildkit = pod("BuildKit", true);
    let text = dockerfile(&buildkit);
    let mounts = "RUN --mount=type=secret,id=netrc,target=/gowindows/modules/.netrc,required=true --mount=type=secret,id=ca.crt,target=/gowindows/modules/ca.crt,required=true [\"go\",\"mod\",\"download\"]";
    let lines: Vec<&str> = text.lines().collect();
    let at = |wanted: &str| lines.iter().position(|line| line.starts_with(wanted)).unwrap_or_else(|| panic!("no {wanted} in {text}"));
    assert_eq!(text.matches("type=secret,id=netrc").count(), 1, "{text}");
    assert!(at("ENV HOME=\"/gowindows/modules\"") < at(mounts) && text.contains("ENV GOPRIVATE="), "{text}");
    // What comes after it has none, and asks nobody.
    for line in ["ENV HOME=\"/tmp\"", "ENV GOPROXY=\"off\"", "COPY [\"src/\"", "RUN --mount=type=cache"] {
        assert!(at(line) > at(mounts), "{line} in {text}");
    }
    let args = named(&buildkit, "compile").args.expect("arguments");
    for secret in ["--secret=id=netrc,src=/gowindows/modules/.netrc", "--secret=id=ca.crt,src=/gowindows/modules/ca.crt"] {
        assert!(args.iter().any(|arg| arg == secret), "{args:?}");
    }
}

#[test]
fn no_job_is_made_while_the_secret_cannot_be_used() {
    for reason in [Reason::SecretUnavailable, Reason::SecretInvalid] {
        let mut world = world(patch("Go", modules()));
        let trouble = Trouble { reason, message: "go.modules.secretRef: it is so.".into(), at: at(1), times: 1 };
        let plan = plan_with(&mut world, &Seen::Unknown(trouble.clone()));
        assert!(started(&plan).is_none() && plan.next.is_some(), "{plan:?}");
        assert!(
            matches!(&plan.verdicts.build.progress, BuildProgress::Blocked(found) if *found == trouble),
            "{:?}",
            plan.verdicts.build.progress
        );
    }
}

#[test]
fn where_modules_come_from_is_no_input() {
    let inputs = |modules: Value| {
        let mut world = world(patch("Go", modules));
        let now = world.now;
        plan_with(&mut world, &Seen::Fresh(ModulesLogin::default(), now)).verdicts.build.inputs.expect("inputs").fingerprint().to_owned()
    };
    let plain = inputs(json!({}));
    for other in [modules(), json!({"proxy": "https://modules.example.com"}), json!({"private": ["a.example"], "privateFrom": "Direct"})] {
        assert_eq!(inputs(other.clone()), plain, "{other}");
    }
}

#[test]
fn a_download_that_failed_is_tried_until_it_works() {
    let mut world = with_job(world(json!({"spec": {"build": {"retries": 0}}})), failed(Reason::ModuleDownloadFailed));
    world.now = at(600);
    let plan = settle(&mut world, None);
    assert_eq!(names_of(&plan), ["CreateJob"], "go.modules may have been mended, which is no input");
}

#[test]
fn go_is_told_of_proxies_and_private_modules() {
    let sources = |modules: Value, settings: &Settings| {
        let request = Request::new(&object(json!({"spec": {"go": {"modules": modules}}})), settings).expect("valid");
        let all = request.modules.sources(settings);
        all.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    let plain = settings();
    let own = Settings { goproxy: Some("https://go.example.com".into()), gosumdb: Some("off".into()), ..settings() };
    assert_eq!(sources(json!({}), &plain), Vec::<String>::new());
    assert_eq!(sources(json!({}), &own), ["GOPROXY=https://go.example.com", "GOSUMDB=off"]);
    let all = json!({"proxy": "https://a.example.com:8443/go|direct", "private": ["x.example", "y.example/z"], "privateFrom": "Proxy"});
    let expected = ["GOPROXY=https://a.example.com:8443/go|direct", "GOSUMDB=off", "GOPRIVATE=x.example,y.example/z", "GONOPROXY=none"];
    assert_eq!(sources(all, &own), expected);
    let private = json!({"private": ["x.example"], "privateFrom": "Proxy"});
    assert_eq!(sources(private.clone(), &own).len(), 4);
    let refusal = Request::new(&object(json!({"spec": {"go": {"modules": private}}})), &plain).expect_err("no proxy");
    assert!(refusal.reason == Reason::NotConfigured && refusal.message.contains("go.modules.proxy"), "{refusal:?}");
}

#[test]
fn a_program_that_is_taken_over_needs_no_modules() {
    let object = object(patch("Go", modules()));
    let mut world = world(json!({}));
    let inputs = settle(&mut world, None).verdicts.build.inputs.expect("inputs");
    let known = gowindows_model::wire::assemble::ReusedProgram { image: image().reference, sha256: "ab".into() };
    let order = order_of(&object, &settings(), inputs);
    let order = BuildOrder { credentials: Some(Credentials::default()), reused_program: Some(known), ..order };
    let text = serde_json::to_string(&render::objects(&object, &settings(), &order).jobs).expect("JSON");
    assert!(!text.contains("modules-auth"), "{text}");
}

#[test]
fn tests_have_private_modules_and_no_secret() {
    let mut patch = patch("Go", modules());
    patch["spec"]["go"]["test"] = json!({"packages": ["./..."]});
    let (mut there, mut gone) = (world(patch.clone()), world(patch));
    let plan = plan_with(&mut there, &Seen::Fresh(ModulesLogin { credentials: Credentials { authority: true }, unbound: None }, at(1)));
    let pod = pod_of(jobs(&plan).remove(0));
    let [source, modules, test] = &containers(&pod).collect::<Vec<_>>()[..] else { panic!("{pod:?}") };
    assert_eq!([source, modules, test].map(|container| container.name.as_str()), ["source", "modules", "test"]);
    assert_eq!([source, modules, test].map(|container| has_login(container)), [false, true, false]);
    let (command, cached) = (modules.command.clone().expect("a command"), variables(test));
    assert_eq!(command, ["go", "list", "-deps", "-test", "-f", "{{\"\"}}", "-tags", "timetzdata", "./..."]);
    assert_eq!(variables(modules).get("GOPRIVATE").map(String::as_str), Some("git.example.com/team,*.corp.example.com"));
    assert_eq!((cached.get("GOPROXY").map(String::as_str), cached.get("GOPRIVATE")), (Some("off"), None));
    assert_eq!(variables(modules).get("GOMODCACHE"), cached.get("GOMODCACHE"));

    let trouble = Trouble { reason: Reason::SecretUnavailable, message: "It is gone.".into(), at: at(1), times: 1 };
    let plan = plan_with(&mut gone, &Seen::Unknown(trouble));
    assert!(started(&plan).is_none(), "{:?}", writes(&plan));
}

/// Of a Secret for git its known keys are mounted, where the source is fetched, and nowhere else.
#[test]
fn of_a_secret_for_git_the_keys_that_are_read_are_mounted() {
    let object = object(json!({"spec": {"source": {"git": {"secretRef": {"name": "db-app"}}}, "go": {"test": {"packages": ["."]}}}}));
    let inputs = settle(&mut world(json!({})), None).verdicts.build.inputs.expect("inputs");
    let git_keys = vec!["username".to_owned(), "password".to_owned()];
    let order = BuildOrder { git_keys, gated: true, ..order_of(&object, &settings(), inputs) };
    for job in render::objects(&object, &settings(), &order).jobs {
        let pod = pod_of(job);
        let volume = pod.volumes.iter().flatten().find(|volume| volume.name == "git-auth").and_then(|volume| volume.secret.clone());
        let secret = volume.expect("a Secret");
        assert_eq!(secret.secret_name.as_deref(), Some("db-app"));
        let keys: Vec<_> = secret.items.iter().flatten().map(|item| (item.key.as_str(), item.path.as_str())).collect();
        assert_eq!(keys, [("username", "username"), ("password", "password")]);
        let with = containers(&pod).filter(|container| container.volume_mounts.iter().flatten().any(|mount| mount.name == "git-auth"));
        assert_eq!(with.map(|container| container.name.as_str()).collect::<Vec<_>>(), ["source"]);
    }
}
