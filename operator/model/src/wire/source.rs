//! What is the `source` step asked, and what does it answer?
//!
//! Pure data: the controller renders the request into the build Job and reads the report from the termination message; the
//! step reads the one and writes the other.

use crate::go::dockerfile::Generated;
use crate::settings::RegistrySettings;
use gowindows_crds::v1alpha1::{GitReference, NodeSystem};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a repository is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Reference {
    /// The branch that the remote's `HEAD` names.
    #[default]
    Head,
    /// A branch, without `refs/heads/`.
    Branch(String),
    /// A tag, without `refs/tags/`.
    Tag(String),
    /// A commit: 40 hexadecimal digits in lower case.
    Commit(String),
}

impl From<Option<&GitReference>> for Reference {
    /// Where several are set, which the schema refuses, the most exact one counts.
    fn from(reference: Option<&GitReference>) -> Self {
        let Some(GitReference { branch, tag, commit }) = reference else { return Self::Head };
        match (commit, tag, branch) {
            (Some(commit), _, _) => Self::Commit(commit.clone()),
            (_, Some(tag), _) => Self::Tag(tag.clone()),
            (_, _, Some(branch)) => Self::Branch(branch.clone()),
            (None, None, None) => Self::Head,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("HEAD"),
            Self::Branch(name) => write!(f, "branch {name}"),
            Self::Tag(name) => write!(f, "tag {name}"),
            Self::Commit(id) => write!(f, "commit {id}"),
        }
    }
}

/// What the `source` step shall fetch and check.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceRequest {
    /// The repository: https, without user and password.
    pub url: String,
    /// Under which name the commit was found: where to look for it if the server does not serve commits by id.
    #[serde(default)]
    pub reference: Reference,
    /// The commit: 40 hexadecimal digits in lower case.
    pub commit: String,
    /// Folder of the Go module in the repository, with forward slashes; `.` is the root.
    #[serde(default = "here")]
    pub sub_path: String,
    /// The main package, relative to `sub_path`: `.` or `./cmd/x`.
    #[serde(default = "here")]
    pub package: String,
    /// When to give up, in seconds.
    #[serde(default = "five_minutes")]
    pub timeout_seconds: u64,
    /// Limit of the download, and of the work tree, in bytes.
    #[serde(default = "two_gibibytes")]
    pub max_bytes: u64,
    /// From what the Dockerfile for a container builder is generated; none where the go command compiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Generated>,
    /// Whoever makes the program says which package it is: no main package is looked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_program: bool,
    /// The repository's own Dockerfile, where BuildKit makes the image from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<DockerfileRequest>,
    /// Where a container builder keeps layers at a registry. That is looked at, and not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_cache: Option<RegistryCacheRequest>,
    /// What the settings of a buildkitd are written from that the build starts itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buildkitd: Option<BuildkitdRequest>,
}

/// A buildkitd in the build's own pod, which pulls and pushes itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuildkitdRequest {
    /// How registries are reached, certificates in place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<RegistrySettings>,
}

/// A cache at a registry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistryCacheRequest {
    /// Repository and tag.
    pub reference: String,
    /// How registries are reached, certificates in place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<RegistrySettings>,
}

/// The Dockerfile that is looked at, and handed to BuildKit with its base by digest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DockerfileRequest {
    /// Its path in the repository.
    pub path: String,
    /// The system of the buildkitd that gets it.
    #[serde(default)]
    pub system: NodeSystem,
    /// The base that its last stage must begin with, pinned by digest.
    pub base: String,
    /// The toolchain that its other stages may begin with, pinned by digest.
    pub toolchain: String,
    /// How registries are reached, certificates in place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<RegistrySettings>,
}

fn here() -> String {
    ".".to_owned()
}

fn five_minutes() -> u64 {
    300
}

fn two_gibibytes() -> u64 {
    2 << 30
}

/// What the step found out about the source it fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceInfo {
    /// The commit.
    pub commit: String,
    /// Its committer date, in seconds since 1970: the time of everything in the image.
    pub commit_time: i64,
    /// Path of the Go module.
    pub module: String,
    /// The `go` directive of `go.mod`, where it has one. Example: `1.26.1`.
    pub go_directive: Option<String>,
    /// Id of the commit's tree.
    pub tree_hash: String,
    /// Bytes of all files in the work tree.
    pub bytes: u64,
    /// Number of files and links in it.
    pub files: u64,
    /// Bytes of all that is put in place for what compiles: the work tree, and what a container builder needs beside it.
    pub context_bytes: u64,
    /// What earlier builds have left in the cache; none where there is none, or nothing can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheFacts>,
}

/// What earlier builds have left in a cache. A field that is not known is no reason not to believe the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheFacts {
    /// There are compiled packages, or layers.
    pub hit: bool,
    /// Bytes of compiled packages and modules, or of layers as they are at the registry.
    pub bytes: u64,
    /// When the oldest of it was written, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// There is more: counting ended early.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

impl fmt::Display for CacheFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.at_least { "at least " } else { "" };
        let nothing = if self.hit { "" } else { ", nothing that is compiled" };
        write!(f, "{more}{} bytes{nothing}", self.bytes)
    }
}

/// The step's termination message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum SourceReport {
    /// It did not succeed.
    Failed {
        /// Why.
        failure: SourceFailure,
    },
    /// The source is there.
    Done(SourceInfo),
}

/// Why the step did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceFailure {
    /// A `gowindows_crds::conditions::Reason`, by name.
    pub reason: String,
    /// What happened and what to do; holds no secret, at most 2 KiB.
    pub message: String,
    /// The same request may succeed later.
    pub transient: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_defaults_and_refuse_what_they_do_not_know() {
        let commit = "3f786850e387550fdaab836ed7e6dc881de23001";
        let text = format!(r#"{{"url":"https://git.example.com/a.git","reference":{{"branch":"main"}},"commit":"{commit}"}}"#);
        let request: SourceRequest = serde_json::from_str(&text).expect("a request");
        assert_eq!(request.reference, Reference::Branch("main".into()));
        assert_eq!((request.sub_path.as_str(), request.package.as_str()), (".", "."));
        assert_eq!((request.timeout_seconds, request.max_bytes), (300, 2_147_483_648));
        let again: SourceRequest = serde_json::from_str(&serde_json::to_string(&request).expect("JSON")).expect("a request");
        assert_eq!(again, request);
        assert!(serde_json::from_str::<SourceRequest>(r#"{"url":"u","commit":"c","submodules":true}"#).is_err());
    }

    #[test]
    fn reports_are_told_apart() {
        let done = SourceReport::Done(SourceInfo { commit: "c".into(), commit_time: 1, ..SourceInfo::default() });
        let cache = CacheFacts { hit: true, bytes: 7, since: Some(-1), at_least: true };
        let cached = SourceReport::Done(SourceInfo { commit: "c".into(), cache: Some(cache), ..SourceInfo::default() });
        let failed = SourceReport::Failed {
            failure: SourceFailure { reason: "RefNotFound".into(), message: "no such branch".into(), transient: false },
        };
        for report in [done, cached, failed] {
            let text = serde_json::to_string(&report).expect("JSON");
            assert_eq!(serde_json::from_str::<SourceReport>(&text).expect("a report"), report, "{text}");
        }
    }

    #[test]
    fn the_most_exact_reference_counts() {
        let branch = GitReference { branch: Some("main".into()), ..GitReference::default() };
        let both = GitReference { commit: Some("c".into()), ..branch.clone() };
        assert_eq!(Reference::from(None), Reference::Head);
        assert_eq!(Reference::from(Some(&GitReference::default())), Reference::Head);
        assert_eq!(Reference::from(Some(&branch)), Reference::Branch("main".into()));
        assert_eq!(Reference::from(Some(&both)), Reference::Commit("c".into()));
    }
}
