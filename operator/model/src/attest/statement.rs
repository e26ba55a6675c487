//! What is said of which digest? In-toto statements.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use windows_image::Digest;

/// Media type and artifact type of a statement that nobody signed; `payloadType` of one that somebody did.
pub const STATEMENT: &str = "application/vnd.in-toto+json";

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// What kind of thing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// The image is what its owner publishes: what `cosign sign` says.
    Published,
    /// How it was built.
    Provenance,
}

impl Predicate {
    /// Its URI.
    pub fn uri(self) -> &'static str {
        match self {
            Self::Published => "https://sigstore.dev/cosign/sign/v1",
            Self::Provenance => "https://slsa.dev/provenance/v1",
        }
    }
}

/// Something said of one digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    #[serde(default)]
    predicate: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Subject {
    #[serde(default)]
    digest: BTreeMap<String, String>,
}

impl Statement {
    /// Says this of one digest.
    pub fn new(subject: &Digest, predicate: Predicate, content: Value) -> Self {
        Self {
            kind: STATEMENT_TYPE.into(),
            subject: vec![Subject { digest: BTreeMap::from([("sha256".into(), subject.hex().into())]) }],
            predicate_type: predicate.uri().into(),
            predicate: content,
        }
    }

    /// What is said.
    pub fn predicate(&self) -> &Value {
        &self.predicate
    }

    /// Whether it is this that is said, and of this digest.
    pub fn says(&self, subject: &Digest, predicate: Predicate) -> bool {
        let is_subject = |of: &Subject| of.digest.get("sha256").is_some_and(|hex| hex == subject.hex());
        self.kind == STATEMENT_TYPE && self.predicate_type == predicate.uri() && self.subject.iter().any(is_subject)
    }
}
