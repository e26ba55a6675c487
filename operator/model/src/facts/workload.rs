//! What is known of a target, whichever kind of workload it is?

use super::Placement;
use gowindows_crds::conditions::Reason;
use gowindows_crds::v1alpha1::TargetKind;
use std::time::Duration;

/// A workload that is a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its kind.
    pub kind: TargetKind,
    /// Its name.
    pub name: String,
    /// Its uid: a write names it, so that a recreated one is not written by mistake.
    pub uid: String,
    /// Its containers.
    pub containers: Vec<WorkloadContainer>,
    /// Where its pods may run.
    pub placement: Placement,
    /// How long its own controller waits for it to progress; none where nothing is said.
    pub progress_deadline: Option<Duration>,
    /// `spec.paused`.
    pub paused: bool,
    /// Its controller has seen the newest template.
    pub observed: bool,
    /// Pods wanted.
    pub replicas: i32,
    /// Pods of the newest template.
    pub updated: i32,
    /// Available pods, of any template.
    pub available: i32,
    /// Pods in all.
    pub total: i32,
    /// Its own verdict that it does not progress, with its message.
    pub stuck: Option<String>,
    /// What is wrong with its newest pods; read only while a rollout is not complete.
    pub pod_troubles: Vec<PodTrouble>,
}

/// A container of a workload's pod template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadContainer {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The other manager that owns the image field through server-side apply.
    pub applied_by: Option<String>,
    /// It has a limit of processors, and nothing tells Go of it (`GOMAXPROCS`).
    pub processors_untold: bool,
    /// It has a limit of memory, and nothing tells Go of it (`GOMEMLIMIT`).
    pub memory_untold: bool,
}

/// A pod of a target that does not come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodTrouble {
    /// The pod.
    pub pod: String,
    /// The image that its container names.
    pub image: String,
    /// [`Reason::CrashLooping`] or [`Reason::ImagePullFailed`].
    pub reason: Reason,
    /// Exit code, restarts, the kubelet's message.
    pub message: String,
}
