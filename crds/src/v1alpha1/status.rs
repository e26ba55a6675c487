//! What does the operator report?
//!
//! Everything here can be derived again from Jobs, registry and workloads: the whole status may be deleted and comes
//! back without a build or a rollout. Sizes are bytes as the registry stores them (compressed) unless a field says otherwise.

mod build;

pub use build::*;

use super::BuildEngine;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The state of a `GoWindowsImage`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GoWindowsImageStatus {
    /// The generation that this status describes; -1 until the operator has seen the object.
    #[serde(default = "unseen")]
    pub observed_generation: i64,
    /// Ready, Reconciling, Stalled, SourceResolved, Built, Published, Attested, RolledOut, ImageWarnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// One word for people; the conditions are the truth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What the newest build was decided on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<InputsStatus>,
    /// The last good image; its digest was read back from the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageStatus>,
    /// The good image before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousImage>,
    /// The newest build, while it runs and after it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildStatus>,
    /// What the builds of this object have shown, and the next ones go by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<LearnedStatus>,
    /// Where the targets stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// The newest finished builds, newest first; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// Order tokens that were acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled: Option<Handled>,
    /// Strings for the printed columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<Display>,
}

fn unseen() -> i64 {
    -1
}

/// One word for people.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum Phase {
    /// Not decided yet: the source, base or registry has not answered.
    Pending,
    /// A build waits for a slot, or for a node.
    Queued,
    /// A build runs.
    Building,
    /// The image is being verified and tagged.
    Publishing,
    /// Targets are moving to the new digest.
    RollingOut,
    /// All is as declared.
    Ready,
    /// The newest build or rollout failed, or the specification is refused.
    Failed,
    /// `spec.suspend` is true.
    Suspended,
}

/// The resolved inputs of the newest build.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InputsStatus {
    /// sha256 over the canonical form of every input, in hex.
    pub fingerprint: String,
    /// `<ref>@sha1:<commit>`.
    pub revision: String,
    /// The base references, each pinned by digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<String>,
    /// Why these bases: which version each release is, and how it fits the Windows nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_choice: Option<String>,
    /// The toolchain image, pinned by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toolchain: Option<String>,
    /// That of tests which run on another system than the compiler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_toolchain: Option<String>,
}

/// A published image, as read back from the registry. `gowindows build --json` prints the same.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageStatus {
    /// `<repository>@<digest>`: what a workload should name.
    pub reference: String,
    /// Digest of the index, or of the manifest where there is one release.
    pub digest: String,
    /// Tags that were moved to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// `<ref>@sha1:<commit>` of its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The fingerprint of its inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// When its build finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_at: Option<Time>,
    /// How long its build took, as a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Why it was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What compiled its program; none where its build was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<BuildEngine>,
    /// One entry per Windows release, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<PlatformStatus>,
    /// The program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<BinaryStatus>,
    /// What a node has to pull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_bytes: Option<PullBytes>,
    /// What the registry keeps for all releases together: layers that releases share (ours, and those that their bases have in common)
    /// count once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<i64>,
    /// By how many percent the application's layers grew against the good image before, rounded up; negative where they shrank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta_percent: Option<i32>,
    /// The tests that passed before it was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestsStatus>,
    /// Digest of the SBOM's manifest: an SPDX document, attached to the image as an OCI referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<String>,
    /// Digest of the SLSA provenance's manifest, attached likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<String>,
    /// Digest of the signature's manifest, attached likewise; `cosign verify` finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Name of the Secret whose key made the signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// What in the program may not work in its container, as short codes: `AbsentApi|netapi32.dll|os/user`, `TlsRoots`. They come from the
    /// image itself; the condition `ImageWarnings` says what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The image for one Windows release.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformStatus {
    /// The base's full version, four parts. Example: `10.0.20348.5499`.
    pub os_version: String,
    /// The release's name, where its build number is known. Example: `ltsc2022`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// Digest of this release's manifest.
    pub digest: String,
    /// Bytes of all layers and the configuration.
    pub total_bytes: i64,
    /// Bytes of the base's layers.
    pub base_bytes: i64,
    /// Bytes of our layers: the program's and, where there are files beside it, theirs.
    pub app_bytes: i64,
    /// Bytes of the program and the files beside it once a node has unpacked them, as their build noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_unpacked_bytes: Option<i64>,
    /// Number of layers.
    pub layers: i32,
}

/// The compiled program.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BinaryStatus {
    /// File name. Example: `storefront.exe`.
    pub name: String,
    /// Uncompressed bytes.
    pub bytes: i64,
    /// sha256 in hex.
    pub sha256: String,
    /// sha256, in hex, over what determined it: commit, module folder, toolchain and compiler settings. An image with the same is made
    /// without a compiler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<String>,
}

/// Tests that passed.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestsStatus {
    /// The packages, as `go.test.packages` named them.
    pub packages: Vec<String>,
    /// sha256, in hex, over what determined their outcome: these packages and all that determines the program. An image with the same is
    /// published without testing again.
    pub inputs: String,
}

/// What a node has to pull for the newest release. A node passes over each layer whose chain ID it has unpacked before, whichever registry,
/// repository or compression it came in: those of the base, which lie below ours, and never one of ours, which lie on that base alone.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullBytes {
    /// A node that has exactly this base already: configuration and our layers.
    pub base_cached: i64,
    /// A node that has nothing: each blob once.
    pub cold: i64,
}

/// An earlier good image.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreviousImage {
    /// `<repository>@<digest>`.
    pub reference: String,
    /// Its digest.
    pub digest: String,
    /// `<ref>@sha1:<commit>` of its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// Where the targets stand.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// The digest that is rolled.
    pub digest: String,
    /// The worst of the targets.
    pub phase: RolloutPhase,
    /// One entry per target, in the order of the specification.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetStatus>,
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum RolloutPhase {
    /// The target is not there yet, or nothing is published yet.
    #[default]
    Waiting,
    /// Pods are being replaced.
    Progressing,
    /// All pods run the digest and are available.
    Complete,
    /// It cannot go on by itself.
    Failed,
}

/// Where one target stands.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// `Deployment/storefront`.
    pub target: String,
    /// The container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Where it stands.
    pub phase: RolloutPhase,
    /// Pods that run the new template, of those wanted: `1/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<String>,
    /// When the digest was written to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// What is wrong, or what is being waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What its pod template misses that a Windows program needs, each with the remedy: the selector of its nodes, tolerations, the two
    /// variables that tell Go of its limits, the patience for a large base. The operator writes none of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A finished build.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Name of its Job.
    pub job: String,
    /// `<ref>@sha1:<commit>`.
    pub revision: String,
    /// `Succeeded` or the reason of its failure.
    pub result: String,
    /// The digest that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Why it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How long it took, as a Go duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// How long its stages took, as Go durations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: BTreeMap<String, String>,
}

/// Order tokens that were acted on; each order acts once per value.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Handled {
    /// Value of the last `requested-at` order (ours or Flux's).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<String>,
    /// Value of the last `rebuild` order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<String>,
    /// Value of the last `cancel` order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<String>,
}

/// Strings for the printed columns: a column can neither shorten nor format.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Display {
    /// `main@4f1c2e7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The first 12 hex digits of the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// `2.4 MB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// `Complete 3/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// `ltsc2022, ltsc2025`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releases: Option<String>,
}
