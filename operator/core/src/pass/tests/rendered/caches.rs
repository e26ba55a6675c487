//! Who sees the volume with the caches, and what is told of it?

use super::*;
use gowindows_crds::v1alpha1::{BuildEngine, CacheStatus};
use gowindows_model::facts::SourceFacts;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

fn build_with(build: Value) -> Value {
    let mut patch = json!({"spec": {"build": {"cache": {"volume": {}}}, "go": {"test": {"packages": ["./..."]}}}});
    merge(&mut patch["spec"]["build"], &build);
    patch
}

/// The pods of the Jobs of a plan, that of the tests first.
fn pods(world: &mut World) -> Vec<PodSpec> {
    let plan = settle(world, None);
    jobs(&plan).into_iter().map(pod_of).collect()
}

fn containers(pod: &PodSpec) -> impl Iterator<Item = &Container> {
    pod.init_containers.iter().flatten().chain(&pod.containers)
}

/// Who mounts the volume with the caches, and whether it can write there.
fn seen_by(pod: &PodSpec) -> Vec<(&str, bool)> {
    let of = |container: &Container| container.volume_mounts.iter().flatten().find(|mount| mount.name == "cache").cloned();
    containers(pod).filter_map(|container| Some((container.name.as_str(), of(container)?.read_only != Some(true)))).collect()
}

/// The folder that the first stage looks at.
fn looks_at(pod: &PodSpec) -> Option<String> {
    let args = containers(pod).find(|container| container.name == "source").and_then(|source| source.args.clone()).expect("arguments");
    let place = args.iter().position(|arg| arg == "--cache")?;
    args.get(place + 1).cloned()
}

#[test]
fn the_first_stage_looks_where_the_engine_has_its_caches_and_cannot_write_there() {
    let table: [(&str, &str, &[&str]); 2] = [("Go", "/cache", &[]), ("Kaniko", "/cache/by-root", &["compile"])];
    for (engine, folder, above) in table {
        let [tests, pod] = &pods(&mut world(build_with(json!({"engine": engine}))))[..] else { panic!("two Jobs") };
        assert_eq!(seen_by(pod), [("source", false), ("compile", true)], "{engine}");
        assert_eq!(looks_at(pod).as_deref(), Some(folder));
        assert_eq!(engines::above_restricted(pod), above, "{engine}");
        assert_eq!((seen_by(tests), looks_at(tests)), (vec![("test", true)], None), "what tests have is no build's");
        let text = serde_json::to_string(pod).expect("JSON");
        let (compiled, modules) = (format!("{folder}/build"), format!("{folder}/mod"));
        match engine {
            "Go" => assert!(text.contains(&format!(r#""GOCACHE","value":"{compiled}""#)), "{text}"),
            _ => {
                let source = containers(pod).next().and_then(|source| source.args.clone()).expect("arguments");
                let step: gowindows_model::wire::source::SourceRequest =
                    serde_json::from_str(&source[3].replace("$$", "$")).expect("a request");
                let text = step.context.expect("a context").text(false).expect("a Dockerfile");
                assert!(text.contains(&format!("GOCACHE=\"{compiled}\"")) && text.contains(&format!("GOMODCACHE=\"{modules}\"")), "{text}");
            }
        }
    }
}

#[test]
fn where_no_volume_is_left_from_build_to_build_nothing_is_looked_at() {
    let buildkit = json!({"engine": "BuildKit", "cache": null, "buildkit": {"address": "tcp://b:1234", "tlsSecretRef": {"name": "tls"}}});
    for build in [json!({"cache": null}), json!({"engine": "Kaniko", "cache": null}), buildkit] {
        let [_, pod] = &pods(&mut world(build_with(build.clone())))[..] else { panic!("two Jobs") };
        assert!(looks_at(pod).is_none() && !seen_by(pod).iter().any(|(container, _)| *container == "source"), "{build}");
    }
    // Nothing is compiled where the program is known.
    let mut labelled = settled_world();
    let status = labelled.object.status.clone();
    let spec = json!({"image": {"labels": {"team": "shop"}}, "build": {"cache": {"volume": {}}}});
    let mut edited = object(json!({"metadata": {"generation": 2}, "spec": spec}));
    edited.status = status;
    labelled.object = Arc::new(edited);
    let [pod] = &pods(&mut labelled)[..] else { panic!("one Job") };
    assert_eq!((containers(pod).count(), seen_by(pod), looks_at(pod)), (2, vec![], None));
}

const SHARED: &str = "go-cache";

fn shared(engine: &str) -> World {
    world(build_with(json!({"engine": engine, "cache": {"volume": {"claimName": SHARED}}})))
}

#[test]
fn a_claim_that_objects_share_is_used_as_it_is_and_by_no_test() {
    for engine in ["Go", "Kaniko"] {
        let mut world = shared(engine);
        world.answers.cache_claim = Seen::Fresh((), at(0));
        assert_eq!(claims(&settle(&mut world, None)).len(), 0, "it is not the operator's to make");
        let [tests, pod] = &pods(&mut world)[..] else { panic!("two Jobs") };
        let volume = |pod: &PodSpec| pod.volumes.iter().flatten().find(|volume| volume.name == "cache").cloned().expect("a volume");
        let claim = volume(pod).persistent_volume_claim.expect("a claim");
        assert_eq!((claim.claim_name.as_str(), claim.read_only), (SHARED, None), "{engine}");
        assert!(volume(tests).empty_dir.is_some(), "what tests write no compiler reads");
        assert_eq!(seen_by(pod), [("source", false), ("compile", true)], "{engine}");
    }
}

#[test]
fn with_buildkit_the_volume_is_for_tests_alone() {
    let build =
        json!({"engine": "BuildKit", "buildkit": {"address": "tcp://b:1234", "tlsSecretRef": {"name": "tls"}}, "cache": {"volume": {}}});
    let mut world = world(build_with(build.clone()));
    assert_eq!(claims(&settle(&mut world, None)).len(), 1);
    let [tests, pod] = &pods(&mut world)[..] else { panic!("two Jobs") };
    let claim = |pod: &PodSpec| pod.volumes.iter().flatten().find_map(|volume| volume.persistent_volume_claim.clone());
    assert!(claim(tests).is_some() && claim(pod).is_none() && looks_at(pod).is_none());
    let mut shared = build;
    shared["cache"] = json!({"volume": {"claimName": SHARED}});
    let refusal = Request::new(&object(build_with(shared)), &settings()).expect_err("a claim that nobody would mount");
    assert!(refusal.message.contains("build.cache.volume.claimName"), "{refusal:?}");
}

#[test]
fn no_pod_waits_for_a_claim_that_is_not_there() {
    let mut world = shared("Go");
    let trouble = Trouble { reason: Reason::CacheUnusable, message: "there is no claim go-cache".into(), at: at(1), times: 1 };
    world.answers.cache_claim = Seen::Unknown(trouble.clone());
    let plan = settle(&mut world, None);
    assert_eq!(names_of(&plan), Vec::<&str>::new());
    assert!(
        matches!(&plan.verdicts.build.progress, BuildProgress::Blocked(found) if *found == trouble),
        "{:?}",
        plan.verdicts.build.progress
    );
    // Nothing is compiled where the program is known.
    let mut labelled = settled_world();
    let status = labelled.object.status.clone();
    let spec = json!({"image": {"labels": {"team": "shop"}}, "build": {"cache": {"volume": {"claimName": SHARED}}}});
    let mut edited = object(json!({"metadata": {"generation": 2}, "spec": spec}));
    edited.status = status;
    labelled.object = Arc::new(edited);
    assert_eq!(names_of(&settle(&mut labelled, None)), ["CreateJob"]);
    assert!(!labelled.answers.asked.iter().any(|asked| matches!(asked, Question::CacheClaim { .. })));
}

fn facts() -> SourceFacts {
    let cache = CacheStatus { hit: true, bytes: 150_000_000, since: Some(Time(at(-86_400))), at_least: false };
    SourceFacts { context_bytes: Some(40_000), cache: Some(cache) }
}

fn told(world: &World) -> SourceFacts {
    let build = world.status().build.clone().unwrap_or_default();
    SourceFacts { context_bytes: build.context_bytes, cache: build.cache }
}

#[test]
fn what_was_told_stays_when_the_pod_is_gone_and_goes_with_its_build() {
    for state in [BuildState::Running, succeeded(), failed(Reason::CompileError)] {
        let mut world = with_job(world(json!({})), state.clone());
        let plan = settle(&mut world, Some(&image()));
        report(&mut world, &plan);
        assert_eq!(told(&world), SourceFacts::default(), "nothing is known yet");
        world.builds[0].facts = facts();
        let plan = settle(&mut world, Some(&image()));
        report(&mut world, &plan);
        assert_eq!(told(&world), facts(), "{state:?}");
        let before = world.status().build.clone();
        world.builds[0].facts = SourceFacts::default();
        let plan = settle(&mut world, Some(&image()));
        report(&mut world, &plan);
        assert_eq!(world.status().build, before, "{state:?}: nothing is written because a pod is gone");
        world.builds[0].facts = SourceFacts { context_bytes: Some(1), cache: None };
        let plan = settle(&mut world, Some(&image()));
        report(&mut world, &plan);
        assert_eq!(told(&world), SourceFacts { context_bytes: Some(1), ..facts() }, "a pod that took its place knows better");
    }
    let mut world = with_job(world(json!({})), BuildState::Running);
    world.builds[0].facts = facts();
    let plan = settle(&mut world, None);
    report(&mut world, &plan);
    world.answers.source = Seen::Fresh(Revision { name: "main".into(), commit: NEXT.into() }, world.now);
    let plan = settle(&mut world, None);
    report(&mut world, &plan);
    assert_eq!(told(&world), SourceFacts::default(), "another build");
}

#[test]
fn each_build_is_counted_once() {
    let mut world = with_job(world(json!({})), BuildState::Running);
    let started = world.builds[0].created;
    let count = |world: &mut World| {
        let plan = settle(world, None);
        let status = crate::pass::report(world, &plan, &performed(&plan));
        let found = crate::status::cache_found(world, &status);
        report(world, &plan);
        found
    };
    assert_eq!(count(&mut world), None, "nothing is known yet");
    world.builds[0].facts = facts();
    let found = count(&mut world).expect("it is told");
    let age = started.duration_since(at(-86_400)).unsigned_abs();
    assert_eq!((found.engine, Some(found.cache), found.age), (BuildEngine::Go, facts().cache, Some(age)));
    assert_eq!(count(&mut world), None);
    world.builds[0].facts = SourceFacts::default();
    assert_eq!(count(&mut world), None);
}
