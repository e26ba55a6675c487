//! What determines an image, beside the bytes of the program?

use crate::compression::Compression;
use crate::warnings::Learned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that determines an image beside the program's bytes and the bases' manifests and configurations.
///
/// Travels as JSON from the controller to the `assemble` step. Same assembly, same program, same bases: same digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Assembly {
    /// Base references; pinned by digest where reproducibility matters (the controller always pins them).
    pub bases: Vec<String>,
    /// Only these releases of the bases, by name (`ltsc2022`) or build (`10.0.20348`); empty: all windows/amd64 entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<String>,
    /// The image's `Cmd`: arguments of the program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The image's environment, beside the base's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// TCP ports for `ExposedPorts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// Labels of the configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of manifests and index.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The commit, where the source is one: `org.opencontainers.image.revision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The address of the repository, where it is known: `org.opencontainers.image.source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Files of the repository that go into the image, in a layer of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileMapping>,
    /// How the application layer is compressed.
    #[serde(default)]
    pub compression: Compression,
    /// Seconds since 1970 for every time in the image: the commit's, or 0 outside a clean git tree.
    pub epoch: i64,
    /// What the program says of itself: read from it before the image is assembled, never sent.
    #[serde(skip)]
    pub learned: Learned,
}

/// A variable of the image's environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What of the source's repository goes where in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct FileMapping {
    /// A file or folder, relative to the repository's root, with forward slashes. Example: `web/dist`.
    pub from: String,
    /// The same file or folder in the image. Example: `C:\app\web`.
    pub to: String,
    /// What of the folder is left out, in gitignore's syntax, relative to `from`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
}

impl Assembly {
    /// Leaves out facts of the source that the user has replaced, so that they do not change the fingerprint either.
    pub fn drop_what_is_not_used(&mut self) {
        let given = |key: &str| self.labels.contains_key(key) || self.annotations.contains_key(key);
        let (revision, source) = (given("org.opencontainers.image.revision"), given("org.opencontainers.image.source"));
        if revision {
            self.revision = None;
        }
        if source {
            self.source = None;
        }
    }
}
