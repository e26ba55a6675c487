//! What is ordered, as the objects that are created for it. What is decided is read from the order itself, in the tests beside this module.

mod caches;
mod dockerfile;
mod engines;
mod gate;
mod identity;
mod in_pod;
mod modules;
mod windows;

use super::*;
use crate::build::render;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PodSpec};

/// The Jobs with which a plan's attempt is carried out; the last one is the build. All of it is in the order.
fn jobs(plan: &Plan) -> Vec<Job> {
    started(plan).map(|order| render::objects(&object(json!({})), &settings(), order).jobs).unwrap_or_default()
}

/// The claims that are created before them.
fn claims(plan: &Plan) -> Vec<PersistentVolumeClaim> {
    started(plan).map(|order| render::objects(&object(json!({})), &settings(), order).claims).unwrap_or_default()
}

/// The one that is the build.
fn job(plan: &Plan) -> Option<Job> {
    jobs(plan).pop()
}

fn pod_of(job: Job) -> PodSpec {
    job.spec.and_then(|job| job.template.spec).expect("a pod")
}

#[test]
fn a_job_names_the_base_by_digest() {
    let job = job(&settle(&mut world(json!({})), None)).expect("a build");
    let text = serde_json::to_string(&job).expect("JSON");
    assert!(text.contains(&format!("{BASE}@{DIGEST}")) && !text.contains(&format!("{BASE}\\")), "{text}");
}

#[test]
fn a_secret_is_mounted_only_where_it_is_used() {
    let plan = settle(&mut world(bases::private_base()), None);
    let job = serde_json::to_value(job(&plan).expect("with it, a build")).expect("JSON");
    let pod = &job["spec"]["template"]["spec"];
    let mounts = |container: &Value| container["volumeMounts"].as_array().expect("mounts").iter().any(|mount| mount["name"] == "base-auth");
    let stages: Vec<_> =
        pod["initContainers"].as_array().expect("stages").iter().chain(pod["containers"].as_array().expect("a container")).collect();
    let mounted: Vec<_> = stages.iter().filter(|stage| mounts(stage)).map(|stage| stage["name"].clone()).collect();
    assert_eq!(mounted, ["assemble"]);
}

#[test]
fn with_a_known_program_there_is_no_compiler() {
    let stages = |plan: &Plan| -> Vec<String> {
        let pod = pod_of(job(plan).expect("a build"));
        pod.init_containers.into_iter().flatten().chain(pod.containers).map(|container| container.name).collect()
    };
    let plan = settle(&mut program::edited(&json!({"image": {"labels": {"team": "shop"}}})), None);
    assert_eq!(stages(&plan), ["source", "assemble"]);
    let pod = pod_of(job(&plan).expect("a build"));
    assert!(!serde_json::to_string(&pod).expect("JSON").contains("r.example.com/go@"), "the toolchain would be pulled");
    let plan = settle(&mut program::edited(&json!({"go": {"strip": false}})), None);
    assert_eq!(stages(&plan), ["source", "compile", "assemble"]);
}

/// What the decisions are told of a build is what is read of the Jobs that are created for it.
#[test]
fn a_job_that_was_rendered_is_read_as_it_was_ordered() {
    let gated = json!({"spec": {"go": {"test": {"packages": ["./..."]}}}});
    let windows = json!({"spec": {"build": {"nodes": {"os": "windows"}, "workspace": {"claimName": "shared"}}}});
    for patch in [json!({}), gated, windows] {
        let mut world = super::windows::world_with(patch.clone(), super::windows::usual());
        let edited = object(patch.clone());
        world.object = Arc::new(edited);
        let plan = settle(&mut world, None);
        let order = started(&plan).expect("a build");
        let mut job = job(&plan).expect("a build");
        job.metadata.creation_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(world.now));
        let read = build(&job, &[]).expect("a build of ours");
        assert_eq!(read, ordered(order, world.now), "{patch}");
    }
}
