//! Equal inputs never build twice, whichever version computes their fingerprint. `recorded_inputs.json` was written by the version before
//! sources had more kinds than commits: one entry for each engine, with files, variables, tests, and a Dockerfile of the repository's own.

use gowindows_crds::GoWindowsImage;
use gowindows_crds::v1alpha1::TestsStatus;
use gowindows_model::inputs::{Inputs, Pins, SourceId};
use gowindows_model::names::job_name;
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use serde::Deserialize;
use serde_json::{Value, json};

const COMMIT: &str = "4f1c2e7aa8b0c9d1e2f3a4b5c6d7e8f901234567";
const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

#[derive(Deserialize)]
struct Recorded {
    name: String,
    object: GoWindowsImage,
    canonical: String,
    fingerprint: String,
    program: String,
    tests: Option<TestsStatus>,
    tags: [String; 2],
    job: String,
}

fn recorded() -> Vec<Recorded> {
    serde_json::from_str(include_str!("recorded_inputs.json")).expect("what was recorded")
}

fn settings() -> Settings {
    serde_json::from_value(json!({
        "toolchains": {"1.9": "r.example.com/go:1.9", "1.26": format!("r.example.com/go@{DIGEST}")},
        "windowsToolchains": {"1.26": "r.example.com/windows-go:1.26"},
        "stepImage": "r.example.com/gowindows:1", "buildctlImage": "r.example.com/buildctl:1",
        "windowsBuildctlImage": "r.example.com/windows-buildctl:1", "kanikoImage": "r.example.com/kaniko:1",
        "bases": {"NanoServer": "registry.example.com/nanoserver"},
    }))
    .expect("settings")
}

fn inputs(object: &GoWindowsImage, source: SourceId) -> Inputs {
    let request = Request::new(object, &settings()).expect("valid");
    let pins = Pins {
        bases: vec![format!("registry.example.com/nanoserver:ltsc2022@{DIGEST}")],
        toolchain: format!("r.example.com/go@{DIGEST}"),
        test_toolchain: request.test.toolchain.as_ref().map(|image| format!("{image}@{DIGEST}")),
        base_choice: Some("because".into()),
    };
    Inputs::new(&request, "main", source, pins).expect("canonical")
}

#[test]
fn fingerprints_tags_and_job_names_are_those_of_the_version_before() {
    let all = recorded();
    assert_eq!(all.len(), 7);
    for Recorded { name, object, canonical, fingerprint, program, tests, tags, job } in all {
        let inputs = inputs(&object, SourceId::Commit(COMMIT.into()));
        assert_eq!(serde_json::to_string(&inputs).expect("JSON"), canonical, "{name}");
        assert_eq!((inputs.fingerprint(), inputs.program_fingerprint()), (fingerprint.as_str(), program.as_str()), "{name}");
        assert_eq!(inputs.passed_tests(), tests.as_ref(), "{name}");
        assert_eq!([inputs.tag(), inputs.untested_tag()], tags, "{name}");
        assert_eq!(job_name("shop", "0000-1111", inputs.fingerprint(), 2, Some("t1")), job, "{name}");
        assert_eq!(serde_json::from_str::<Inputs>(&canonical).expect("what running builds carry"), inputs, "{name}");
    }
}

#[test]
fn other_sources_add_keys_and_are_told_apart_by_them_alone() {
    let object = &recorded()[0].object;
    let keys = |inputs: &Inputs| match serde_json::to_value(inputs).expect("JSON") {
        Value::Object(map) => [map.contains_key("tree"), map.contains_key("artifact")],
        other => panic!("{other}"),
    };
    let tree = |commit: &str, tree: &str| inputs(object, SourceId::Tree { commit: commit.into(), tree: tree.into() });
    let artifact = |revision: &str, digest: &str| inputs(object, SourceId::Artifact { revision: revision.into(), digest: digest.into() });
    let commit = inputs(object, SourceId::Commit(COMMIT.into()));
    assert_eq!([keys(&commit), keys(&tree(COMMIT, "t")), keys(&artifact(COMMIT, "d"))], [[false, false], [true, false], [false, true]]);
    for other in [tree(COMMIT, COMMIT), artifact(COMMIT, COMMIT), tree(COMMIT, "t"), artifact(COMMIT, "t")] {
        assert_ne!(other.fingerprint(), commit.fingerprint());
        assert_ne!(other.program_fingerprint(), commit.program_fingerprint());
        let text = serde_json::to_string(&other).expect("JSON");
        assert_eq!(serde_json::from_str::<Inputs>(&text).expect("the same"), other);
    }
    assert_ne!(tree(COMMIT, "t").fingerprint(), artifact(COMMIT, "t").fingerprint());
    assert_eq!(tree(COMMIT, "t").program_fingerprint(), tree("another", "t").program_fingerprint(), "the commit is not hashed");
    assert_eq!(artifact("v1", "d").program_fingerprint(), artifact("v2", "d").program_fingerprint());
}

#[test]
fn what_another_version_has_written_is_not_guessed_at() {
    let text = recorded()[0].canonical.replace(r#""commit":"#, r#""changeset":1,"commit":"#);
    assert!(serde_json::from_str::<Inputs>(&text).is_err());
}
