//! Which workloads run the image?

use crate::patterns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How published images reach workloads.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// `Apply`: write the digest into each target by server-side apply. `StatusOnly`: publish the digest in status and
    /// touch no workload. Default: `Apply`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<RolloutMode>,
    /// Workloads in the same namespace. Listing one is the consent to change its image.
    /// A target that does not exist yet is rolled as soon as it appears.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub targets: Vec<TargetSpec>,
    /// How long a target may take to become available with a new image, as a Go duration. Windows pulls are slow.
    /// Default: `20m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = patterns::DURATION))]
    pub progress_deadline: Option<String>,
}

/// Who writes the digest into workloads.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
pub enum RolloutMode {
    /// The operator, by server-side apply of the container's image.
    #[default]
    Apply,
    /// Nobody: the digest stands in status for others to use.
    StatusOnly,
}

/// One container of one workload.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetSpec {
    /// Kind of the workload. Default: `Deployment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<TargetKind>,
    /// Name of the workload, in this object's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = patterns::OBJECT_NAME))]
    pub name: String,
    /// Name of the container that runs the image. Default: the only container of the pod template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = patterns::CONTAINER_NAME))]
    pub container: Option<String>,
}

/// Kinds of workloads that can be rolled.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum TargetKind {
    /// `apps/v1` Deployment.
    #[default]
    Deployment,
}

impl TargetKind {
    /// As `rollout.targets[].kind` and the status spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
        }
    }
}

/// How many finished build Jobs are kept.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistorySpec {
    /// Succeeded build Jobs to keep. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub succeeded: Option<i32>,
    /// Failed build Jobs to keep. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 50))]
    pub failed: Option<i32>,
}
