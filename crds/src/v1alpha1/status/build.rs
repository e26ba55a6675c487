//! What does the operator report of builds: of the newest one, and of what all of them have shown?

use super::super::BuildEngine;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The newest build.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildStatus {
    /// Name of its Job.
    pub job: String,
    /// Fingerprint of its inputs.
    pub fingerprint: String,
    /// Where it stands.
    pub phase: BuildPhase,
    /// Which attempt at these inputs, from 1.
    pub attempt: i32,
    /// Why it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Its place in the queue for a slot, from 1; none where it does not queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<i32>,
    /// When its Job was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When its Job ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The Job that runs its tests beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_job: Option<String>,
    /// The memory of the containers that compile and test; none where it does neither in a pod of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStatus>,
    /// `source`, `compile`, `assemble`, in order, and `test`, which runs beside them, after `modules` where these are private.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageStatus>,
    /// Bytes of the files that the `source` stage has put in place for what compiles; for a container builder that is the context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_bytes: Option<i64>,
    /// What its cache held when it began; none where it has none, of a volume on Windows nodes, and where that could not be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheStatus>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<BuildFailure>,
    /// When the next attempt starts, where there will be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,
}

/// What earlier builds with the same engine have left in the object's cache: its volume, or its repository at a registry.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheStatus {
    /// There were compiled packages, or layers. How many of them the compiler could use is not known: those of another toolchain, of other
    /// settings and of source that has changed since are of no use to it. Modules alone in a volume are no hit.
    pub hit: bool,
    /// Bytes of compiled packages and modules; at a registry those of layers, compressed as they are there.
    pub bytes: i64,
    /// When the oldest file or layer was written: since when there has been something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// There was more: counting ended at 200000 files and folders, or after five seconds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

/// Memory of a container.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemoryStatus {
    /// What the scheduler sets aside.
    pub request: String,
    /// What the container may use at most.
    pub limit: String,
    /// Where these come from.
    pub source: MemorySource,
    /// Which build showed that it has to be so much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// Where an amount of memory comes from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum MemorySource {
    /// The operator's settings.
    #[default]
    Default,
    /// `build.resources.limits.memory`.
    Declared,
    /// An earlier build for which it sufficed.
    Learned,
    /// The attempt before ran out of its limit.
    OutOfMemory,
    /// The attempt before was evicted, because its node was short of memory.
    Evicted,
}

/// What the builds of an object have shown.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LearnedStatus {
    /// The memory that the newest good build had, where the default did not suffice. The next builds start with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<LearnedMemory>,
    /// How long the stages of the good builds in `history` took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageTimes>,
}

/// Memory that sufficed.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LearnedMemory {
    /// What the scheduler sets aside.
    pub request: String,
    /// What the container may use at most.
    pub limit: String,
    /// The engine for which it sufficed, and alone counts.
    pub engine: BuildEngine,
    /// The newest build that it sufficed for.
    pub job: String,
    /// Which build showed that it has to be so much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// How long a stage took.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageTimes {
    /// Its name.
    pub name: String,
    /// Of how many builds.
    pub builds: i32,
    /// Half of them took no longer, as a Go duration.
    pub median: String,
    /// Nine of ten took no longer.
    pub p90: String,
}

/// Where a build stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum BuildPhase {
    /// Its pod does not run yet.
    #[default]
    Queued,
    /// Its pod runs.
    Running,
    /// Its Job completed.
    Succeeded,
    /// Its Job failed.
    Failed,
}

/// One stage of a build.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// `source`, `compile`, `assemble`, `modules` or `test`.
    pub name: String,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// Its exit code, once it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// Why a build failed.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildFailure {
    /// The condition reason.
    pub reason: String,
    /// The stage that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// One or two sentences that say what to do.
    pub message: String,
    /// The end of its output, redacted, at most 2 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_tail: Option<String>,
}
