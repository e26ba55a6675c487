//! An upgrade of the operator builds nothing and rolls nothing: what the version before has left in the cluster is taken over. The objects in
//! `recorded` were written by it, as it creates them; here they get what an API server and a kubelet add.

use gowindows_core::pass::{decide, report};
use gowindows_core::read::builds;
use gowindows_crds::GoWindowsImage;
use gowindows_crds::v1alpha1::{BuildEngine, BuildPhase, ImageStatus, TargetKind};
use gowindows_model::facts::{Nodes, Placement, Published, ResolvedBase, Revision, Seen, Workload, WorkloadContainer, World};
use gowindows_model::plan::{Decision, Done, Outcome, Plan};
use gowindows_model::question::Question;
use gowindows_model::settings::Settings;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

const COMMIT: &str = "4f1c2e7aa8b0c9d1e2f3a4b5c6d7e8f901234567";
const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const BASE: &str = "registry.example.com/nanoserver:ltsc2022";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).expect("in range")
}

fn settings() -> Settings {
    serde_json::from_value(json!({
        "toolchains": {"1.9": "r.example.com/go:1.9", "1.26": format!("r.example.com/go@{DIGEST}")},
        "stepImage": "r.example.com/gowindows:2", "bases": {"NanoServer": "registry.example.com/nanoserver"},
    }))
    .expect("settings")
}

/// An object and its Jobs, as the version before has written them; Jobs with what the API server and `then` add.
fn recorded(text: &str, then: impl Fn(&mut Value)) -> (GoWindowsImage, Vec<Arc<Job>>) {
    let recorded: Value = serde_json::from_str(text).expect("what was recorded");
    let job = |(number, job): (usize, &Value)| {
        let mut job = job.clone();
        job["metadata"]["uid"] = json!(format!("job-{number}"));
        job["metadata"]["creationTimestamp"] = json!(at(1).to_string());
        then(&mut job);
        Arc::new(serde_json::from_value(job).expect("a Job"))
    };
    let jobs = recorded["jobs"].as_array().expect("Jobs").iter().enumerate().map(job).collect();
    (serde_json::from_value(recorded["object"].clone()).unwrap_or_default(), jobs)
}

fn world(object: GoWindowsImage, jobs: &[Arc<Job>], pods: &[Arc<Pod>], image: &str) -> World {
    let of = |job: &Job| pods.iter().filter(|pod| pod.metadata.name == job.metadata.name).cloned().collect();
    let (builds, orphans) = builds(jobs, of);
    let mut world = World { builds, orphans, ..World::new(object, at(61), Nodes::Hidden("they are not looked at".into())) };
    let base = ResolvedBase { digest: DIGEST.into(), os_versions: vec!["10.0.20348.5499".into()] };
    world.answers.source = Seen::Fresh(Revision { name: "main".into(), commit: COMMIT.into() }, at(0));
    world.answers.bases.insert(BASE.into(), Seen::Fresh(base, at(0)));
    let app =
        WorkloadContainer { name: "app".into(), image: image.into(), applied_by: None, processors_untold: false, memory_untold: false };
    let pod = json!({"containers": [], "nodeSelector": {"kubernetes.io/os": "windows"}});
    world.workloads = vec![Some(Workload {
        kind: TargetKind::Deployment,
        name: "shop".into(),
        uid: "d".into(),
        containers: vec![app],
        placement: Placement::of(&serde_json::from_value(pod).expect("a pod")),
        progress_deadline: None,
        paused: false,
        observed: true,
        replicas: 1,
        updated: 1,
        available: 1,
        total: 1,
        stuck: None,
        pod_troubles: vec![],
    })];
    world
}

/// Decides, with a registry that serves this image under every tag, or none.
fn plan(world: &mut World, served: Option<&ImageStatus>) -> Plan {
    loop {
        match decide(world, &settings()) {
            Decision::Do(plan) => return *plan,
            Decision::Ask(questions) => {
                for question in questions {
                    assert!(!world.answers.asked.contains(&question), "asked twice: {question:?}");
                    if let Question::Published { tag, .. } = &question {
                        let found = served.map(|image| Published { image: image.clone(), violations: vec![] });
                        world.answers.published.insert(tag.clone(), Seen::Fresh(found, world.now));
                    }
                    world.answers.asked.push(question);
                }
            }
        }
    }
}

fn writes(plan: &Plan) -> Vec<&'static str> {
    plan.steps.iter().map(|step| step.write.name()).collect()
}

fn performed(plan: &Plan) -> Outcome {
    Outcome { steps: vec![Done::Performed; plan.steps.len()], ..Outcome::default() }
}

fn image() -> ImageStatus {
    ImageStatus { reference: format!("registry.example.com/shop@{DIGEST}"), digest: DIGEST.into(), ..ImageStatus::default() }
}

/// The pod of a build that has ended well, with what the last stage has told.
fn ended_well(job: &Job) -> Arc<Pod> {
    let told = json!({
        "digest": DIGEST, "mediaType": "application/vnd.oci.image.manifest.v1+json", "reference": image().reference,
        "binary": {"name": "shop.exe", "bytes": 5_900_000, "sha256": "ab"}, "platforms": [],
    });
    let state = json!({"terminated": {"exitCode": 0, "finishedAt": at(61).to_string(), "message": told.to_string()}});
    let status = json!({"name": "assemble", "state": state, "image": "", "imageID": "", "ready": false, "restartCount": 0});
    let pod = json!({"metadata": {"name": job.metadata.name}, "status": {"phase": "Succeeded", "containerStatuses": [status]}});
    Arc::new(serde_json::from_value(pod).expect("a pod"))
}

fn complete(job: &mut Value) {
    let condition = json!({"type": "Complete", "status": "True", "lastTransitionTime": at(61).to_string()});
    job["status"] = json!({"conditions": [condition], "completionTime": at(61).to_string()});
}

#[test]
fn a_running_build_with_its_tests_goes_on() {
    let (object, jobs) = recorded(include_str!("recorded/running.json"), |_| {});
    let before = object.status.clone().expect("a status");
    let mut world = world(object, &jobs, &[], "old:1");
    let [build] = &world.builds[..] else { panic!("one build: {:?}", world.builds) };
    let recorded = before.build.expect("a build");
    assert_eq!((&build.job, build.engine, build.attempt), (&recorded.job, BuildEngine::Go, 1));
    assert!(build.test_run().is_some() && world.orphans.is_empty(), "{:?}", world.builds);
    assert_eq!(build.inputs.as_ref().map(|inputs| inputs.fingerprint()), Some(recorded.fingerprint.as_str()));
    let plan = plan(&mut world, None);
    assert_eq!(writes(&plan), Vec::<&str>::new());
    let told = report(&world, &plan, &performed(&plan)).build.expect("a build");
    assert_eq!((told.phase, told.job, told.cause), (BuildPhase::Queued, recorded.job, recorded.cause));
}

#[test]
fn a_build_in_several_jobs_is_one_build_still() {
    let (_, jobs) = recorded(include_str!("recorded/windows.json"), |_| {});
    let (builds, orphans) = builds(&jobs, |_| Vec::new());
    let [build] = &builds[..] else { panic!("one build: {builds:?}") };
    let parts: Vec<&str> = build.all_jobs().map(|job| job.rsplit_once("dad291f213").map_or(job, |(_, end)| end)).collect();
    assert_eq!((parts, orphans.len()), (vec!["-source", "-compile", "-test-source", "-test", ""], 0));
    assert_eq!((build.attempt, build.rebuild_token.as_deref()), (2, Some("t1")));
}

#[test]
fn what_is_published_and_runs_stays_as_it_is_told() {
    let (object, jobs) = recorded(include_str!("recorded/finished.json"), complete);
    let before = object.status.clone().expect("a status");
    let mut world = world(object, &jobs, &[ended_well(&jobs[0])], &image().reference);
    let plan = plan(&mut world, None);
    assert_eq!(writes(&plan), Vec::<&str>::new());
    assert_eq!(world.answers.asked, [], "nobody is asked either");
    assert_eq!(report(&world, &plan, &performed(&plan)), before);
}

#[test]
fn a_lost_status_comes_back_from_jobs_of_the_version_before() {
    let (mut object, jobs) = recorded(include_str!("recorded/finished.json"), complete);
    let before = object.status.take().and_then(|status| status.image).expect("an image");
    let mut world = world(object, &jobs, &[ended_well(&jobs[0])], &image().reference);
    let plan = plan(&mut world, Some(&image()));
    assert_eq!(writes(&plan), ["MoveTags", "Attest"], "tags are moved again, which changes nothing");
    let told = report(&world, &plan, &performed(&plan)).image.expect("an image");
    assert_eq!((told.fingerprint, told.binary, told.built_at), (before.fingerprint, before.binary, before.built_at));
}
