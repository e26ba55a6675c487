//! A buildkitd in the build's own pod: what the pod is, what it may have, and what is refused.

use super::*;
use gowindows_model::wire::source::SourceRequest;
use k8s_openapi::api::core::v1::{Container, PodSpec};

fn build(more: &Value) -> Value {
    let mut build = json!({"engine": "BuildKit", "buildkit": {"inPod": true}});
    for (field, value) in more.as_object().into_iter().flatten() {
        build[field] = value.clone();
    }
    build
}

fn spec(more: &Value) -> Value {
    json!({"spec": {"build": build(more)}})
}

fn pod(more: &Value, settings: &Settings) -> PodSpec {
    let plan = settle_under(settings, &mut world(spec(more)), None);
    let order = started(&plan).expect("an order");
    pod_of(render::objects(&object(json!({})), settings, order).jobs.remove(0))
}

fn stage(pod: &PodSpec, name: &str) -> Container {
    let all = pod.init_containers.iter().flatten().chain(&pod.containers);
    all.into_iter().find(|container| container.name == name).cloned().expect("a stage")
}

#[test]
fn one_container_starts_a_buildkitd_and_no_other_has_more_rights_than_ever() {
    let pod = pod(&json!({"cache": {"volume": {"size": "5Gi"}}, "resources": {"limits": {"memory": "6Gi"}}}), &settings());
    let compile = stage(&pod, "compile");
    assert_eq!(compile.command, Some(vec!["buildctl-daemonless.sh".to_owned()]));
    let words = compile.args.clone().expect("arguments").join(" ");
    assert!(words.starts_with("build --progress=plain --frontend=dockerfile.v0 ") && !words.contains("--addr"), "{words}");
    let flags = compile.env.iter().flatten().find(|variable| variable.name == "BUILDKITD_FLAGS").and_then(|flags| flags.value.clone());
    assert_eq!(
        flags.as_deref(),
        Some("--config=/gowindows/context/buildkitd/buildkitd.toml --root=/cache/buildkit --oci-worker-no-process-sandbox")
    );
    let context = compile.security_context.clone().expect("a context");
    assert_eq!((context.run_as_user, context.privileged, context.run_as_non_root), (Some(1000), None, Some(true)));
    assert_eq!(context.seccomp_profile.map(|profile| profile.type_).as_deref(), Some("Unconfined"));
    let limit = compile.resources.and_then(|resources| resources.limits).and_then(|limits| limits.get("memory").cloned());
    assert_eq!(limit.map(|limit| limit.0).as_deref(), Some("6Gi"));
    let cache = pod.volumes.iter().flatten().find(|volume| volume.name == "cache").expect("a volume");
    assert!(cache.persistent_volume_claim.is_some(), "{cache:?}");
    assert!(!pod.volumes.iter().flatten().any(|volume| volume.name == "buildkit-tls" || volume.host_path.is_some()));
    // One complaint for its profiles, one for its capabilities.
    assert_eq!(super::engines::above_restricted(&pod), ["compile has a profile of its own", "compile"]);
}

#[test]
fn its_buildkitd_reaches_registries_as_the_operator_does() {
    let registry = |host: &str| gowindows_model::settings::RegistrySettings {
        host: host.into(),
        ..gowindows_model::settings::RegistrySettings::default()
    };
    let mine = gowindows_model::settings::RegistrySettings { ca_pem: Some("PEM".into()), ..registry("toolchains.example.com") };
    let settings = Settings { registries: vec![mine.clone(), registry("elsewhere.example.com")], ..settings() };
    let arguments = stage(&pod(&json!({}), &settings), "source").args.expect("arguments");
    let step: SourceRequest = serde_json::from_str(&arguments[3].replace("$$", "$")).expect("a request");
    assert_eq!(step.buildkitd.map(|buildkitd| buildkitd.registries), Some(settings.registries));
    let pod = pod(&json!({"buildkit": {"inPod": true, "dockerfile": "build/Dockerfile"}}), &super::settings());
    let arguments = stage(&pod, "source").args.expect("arguments");
    let step: SourceRequest = serde_json::from_str(&arguments[3].replace("$$", "$")).expect("a request");
    assert!(step.buildkitd.is_some() && step.dockerfile.is_some() && arguments.contains(&"--context".to_owned()), "{arguments:?}");
}

#[test]
fn the_memory_of_its_compiler_is_learned() {
    let request = Request::new(&object(spec(&json!({}))), &settings()).expect("valid");
    assert!(!request.build.engine.is_elsewhere());
    let mut world = world(spec(&json!({})));
    let plan = settle(&mut world, None);
    assert!(started(&plan).is_some_and(|order| order.memory.is_some()), "{plan:?}");
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_field() {
    let tls = json!({"name": "buildkit-tls"});
    for (build, field, remedy) in [
        (build(&json!({"buildkit": {"inPod": true, "address": "tcp://b:1234"}})), "build.buildkit", "one of both"),
        (build(&json!({"buildkit": {"inPod": false}})), "build.buildkit", "one of both"),
        (build(&json!({"buildkit": {"inPod": true, "tlsSecretRef": tls}})), "build.buildkit.tlsSecretRef", "leave it out"),
        (build(&json!({"nodes": {"os": "windows"}})), "build.buildkit.inPod", "set build.nodes.os to linux"),
        (build(&json!({"cache": {"volume": {"claimName": "shared"}}})), "build.cache.volume.claimName", "leave it out"),
    ] {
        let Refusal { reason, message } = Request::new(&object(json!({"spec": {"build": build}})), &settings()).expect_err("refused");
        assert_eq!(reason, Reason::InvalidSpec);
        assert!(message.contains(field) && message.contains(remedy), "{message}");
    }
}
