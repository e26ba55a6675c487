//! What does provenance tell of an image, as far as decisions rest on it? Read back at the registry, for a status or a tag proves nothing.

use super::provenance::{BUILD_TYPE, BUILDER};
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Provenance of one image. What a version before has not written is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Testimony {
    /// The fingerprint of its inputs.
    pub fingerprint: String,
    /// Where it was published, without tag and digest.
    pub image: Option<String>,
    /// The object that asked for it: `namespace/name`.
    pub object: Option<String>,
    /// The program in it.
    pub program: Option<Program>,
    /// `inputs` of the tests that it has passed.
    pub tests: Option<String>,
    /// When its build began.
    pub started: Option<Timestamp>,
}

/// A program, and what determined it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The fingerprint of all that determines the program alone.
    pub inputs: String,
    /// sha256 in hex.
    pub sha256: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: Definition,
    run_details: Details,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    build_type: String,
    internal_parameters: Parameters,
}

#[derive(Deserialize)]
struct Parameters {
    fingerprint: String,
    image: Option<String>,
    object: Option<String>,
    program: Option<Program>,
    tests: Option<Tests>,
}

#[derive(Deserialize)]
struct Tests {
    inputs: String,
}

#[derive(Deserialize)]
struct Details {
    builder: Builder,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Builder {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    started_on: Option<Timestamp>,
}

impl Testimony {
    /// What a predicate tells; nothing where another builder wrote it, for others may sign with the same key.
    pub fn of(predicate: &Value) -> Option<Self> {
        let Predicate { build_definition: Definition { build_type, internal_parameters }, run_details: Details { builder, metadata } } =
            Predicate::deserialize(predicate).ok()?;
        let Parameters { fingerprint, image, object, program, tests } = internal_parameters;
        let ours = build_type == BUILD_TYPE && builder.id == BUILDER;
        let started = metadata.started_on;
        ours.then_some(Self { fingerprint, image, object, program, tests: tests.map(|tests| tests.inputs), started })
    }

    /// Whether it names this repository and this object, or none: a version before named neither.
    pub fn may_be_of(&self, image: &str, object: &str) -> bool {
        self.image.as_ref().is_none_or(|named| named == image) && self.object.as_ref().is_none_or(|named| named == object)
    }

    /// Whether both tell the same of an image, whenever it was built.
    pub fn agrees(&self, other: &Self) -> bool {
        *self == Self { started: self.started, ..other.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_another_builder_says_is_no_testimony() {
        let ours = json!({
            "buildDefinition": {"buildType": BUILD_TYPE, "internalParameters": {"fingerprint": "f00"}},
            "runDetails": {"builder": {"id": BUILDER}, "metadata": {"startedOn": "2026-01-02T03:04:05Z"}},
        });
        let told = Testimony::of(&ours).expect("as a version before wrote it");
        assert_eq!((told.fingerprint.as_str(), &told.image, told.started.is_some()), ("f00", &None, true));
        assert!(told.may_be_of("r/shop", "team/shop"));
        let named = Testimony { image: Some("r/shop".into()), object: Some("team/shop".into()), ..told.clone() };
        assert!(named.may_be_of("r/shop", "team/shop"));
        assert!(!named.may_be_of("r/shop", "team/other") && !named.may_be_of("r/other", "team/shop"));
        let later = Testimony { started: None, ..told.clone() };
        assert!(told.agrees(&later) && !told.agrees(&Testimony { object: Some("team/shop".into()), ..told.clone() }));
        for (path, value) in [
            ("/buildDefinition/buildType", json!("https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1")),
            ("/runDetails/builder/id", json!("https://github.com/actions/runner")),
            ("/buildDefinition/internalParameters", json!({})),
        ] {
            let mut theirs = ours.clone();
            *theirs.pointer_mut(path).expect("there") = value;
            assert_eq!(Testimony::of(&theirs), None, "{path}");
        }
    }
}
