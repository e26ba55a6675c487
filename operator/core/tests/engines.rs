//! Does a program that does not compile read the same, whichever engine compiled it? Each prints in its own way. What is read here was left by the
//! real engines in a cluster; `tests/tests/lab/engines/recordings.rs` records it.

use gowindows_core::read::builds;
use gowindows_crds::conditions::Reason;
use gowindows_crds::v1alpha1::BuildEngine;
use gowindows_model::facts::{Build, BuildState, Failure};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use std::sync::Arc;

const RECORDED: [(BuildEngine, &str); 3] = [
    (BuildEngine::Go, include_str!("recorded/engines/go.json")),
    (BuildEngine::BuildKit, include_str!("recorded/engines/buildkit.json")),
    (BuildEngine::Kaniko, include_str!("recorded/engines/kaniko.json")),
];

/// The one build of a recording.
fn build(text: &str) -> Build {
    let recorded: Value = serde_json::from_str(text).expect("what was recorded");
    let jobs: Vec<Job> = serde_json::from_value(recorded["jobs"].clone()).expect("Jobs");
    let pods: Vec<Pod> = serde_json::from_value(recorded["pods"].clone()).expect("pods");
    let (jobs, pods): (Vec<_>, Vec<_>) = (jobs.into_iter().map(Arc::new).collect(), pods.into_iter().map(Arc::new).collect());
    let (builds, orphans) = builds(&jobs, |_| pods.clone());
    assert_eq!((builds.len(), orphans.len()), (1, 0), "{builds:?}");
    builds.into_iter().next().expect("a build")
}

fn failure(build: &Build) -> &Failure {
    let BuildState::Failed(failure) = &build.state else { panic!("{:?} did not fail: {:?}", build.engine, build.state) };
    failure
}

#[test]
fn a_program_that_does_not_compile_reads_the_same() {
    let all: Vec<Build> = RECORDED.iter().map(|(_, text)| build(text)).collect();
    let first = failure(&all[0]);
    assert_eq!((first.reason, first.stage.as_deref(), first.exit_code), (Reason::CompileError, Some("compile"), Some(1)));
    assert!(first.message.contains("cmd/storefront/main.go:") && first.message.contains("Push a commit"), "{}", first.message);
    for (build, (engine, _)) in all.iter().zip(RECORDED) {
        let failure = failure(build);
        assert_eq!(build.engine, engine);
        assert_eq!((failure.reason, &failure.stage, &failure.message), (first.reason, &first.stage, &first.message), "{engine:?}");
        let tail = failure.log_tail.as_deref().unwrap_or_default();
        assert!(tail.contains("main.go:"), "{engine:?}: {tail}");
    }
}

#[test]
fn what_the_source_stage_has_told_is_read_whichever_engine_compiles() {
    for (engine, text) in RECORDED {
        let facts = build(text).facts;
        assert!(facts.context_bytes.is_some_and(|bytes| bytes > 0), "{engine:?}: {facts:?}");
        // The volumes that were recorded began warm, what Kaniko has there is root's, and BuildKit has its cache elsewhere.
        let hit = (engine != BuildEngine::BuildKit).then_some(true);
        assert_eq!(facts.cache.as_ref().map(|cache| cache.hit && cache.bytes > 0 && cache.since.is_some()), hit, "{engine:?}: {facts:?}");
    }
}
