//! What is known at the start of a pass?
//!
//! [`World`] is everything that [`crate::decide`] may look at. Kubernetes facts are complete when a pass starts (a failure to
//! read them ends the pass); facts of the outside world are answers to [`Question`]s that `decide` asks when it needs them,
//! and a failure to get one is an answer too.

use super::{Line, Nodes, Placement, ResolvedBase, SourceFacts};
use crate::decide::{Inputs, Question};
use crate::render::Credentials;
use gowindows_crds::GoWindowsImage;
use gowindows_crds::conditions::Reason;
use gowindows_crds::v1alpha1::{BinaryStatus, BuildEngine, ImageStatus, MemoryStatus, StageStatus, TargetKind};
use k8s_openapi::jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Everything that a decision may depend on, the time included.
#[derive(Clone, Debug)]
pub struct World {
    /// The time of this pass.
    pub now: Timestamp,
    /// The object.
    pub object: Arc<GoWindowsImage>,
    /// Its build Jobs, proven by the owner's uid, oldest first, each with its parts and its tests.
    pub builds: Vec<Build>,
    /// Jobs of a build Job which is not there: name and creation.
    pub strays: Vec<(String, Timestamp)>,
    /// For each listed target, in order: the workload, or `None` where it does not exist.
    pub workloads: Vec<Option<Workload>>,
    /// For each listed target, in order: the older object that lists the same one, if there is one.
    pub claims: Vec<Option<String>>,
    /// The Windows nodes, as far as they can be seen.
    pub nodes: Nodes,
    /// The Jobs of all objects that run, or queue for a slot.
    pub line: Line,
    /// What the outside world answered.
    pub answers: Answers,
}

#[cfg(test)]
impl World {
    /// Nothing but an object.
    pub fn new(object: GoWindowsImage, now: Timestamp, nodes: Nodes) -> Self {
        let (object, answers) = (Arc::new(object), Answers::default());
        let line = Line::default();
        Self { now, object, builds: vec![], strays: vec![], workloads: vec![], claims: vec![], nodes, line, answers }
    }
}

/// What the outside world answered, and which questions this pass has asked already.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Questions that were put to the outside world in this pass: asked once, not again.
    pub asked: Vec<Question>,
    /// The commit that the source's reference names.
    pub source: Seen<Revision>,
    /// Digests of references that have been resolved, bases excepted.
    pub digests: BTreeMap<String, Seen<String>>,
    /// Bases that have been resolved, by reference.
    pub bases: BTreeMap<String, Seen<ResolvedBase>>,
    /// Whether the Secret with the certificates for buildkitd can be used.
    pub builder: Seen<()>,
    /// Whether the Secret with the credentials for modules can be used, and what is in it.
    pub modules: Seen<Credentials>,
    /// Whether the claim of `build.workspace` can be used.
    pub workspace: Seen<()>,
    /// Whether the claim that `build.cache.volume` names can be used.
    pub cache_claim: Seen<()>,
    /// Images found at the registry, by `gw-` tag; `None` where the registry has none.
    pub published: BTreeMap<String, Seen<Option<Published>>>,
}

/// A fact of the outside world. That it could not be learned is data, not an error.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Seen<T> {
    /// Nobody asked yet.
    #[default]
    NotAsked,
    /// As of this moment.
    Fresh(T, Timestamp),
    /// It was so before; the newest attempt to look failed.
    Stale(T, Trouble),
    /// It was never seen; the newest attempt to look failed.
    Unknown(Trouble),
}

/// Why something of the outside world could not be learned or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// For machines.
    pub reason: Reason,
    /// For people: what happened and what to do.
    pub message: String,
    /// When it was met.
    pub at: Timestamp,
    /// How often in a row.
    pub times: u32,
}

/// A commit and the name under which it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Branch or tag; the commit itself where one is pinned.
    pub name: String,
    /// 40 hex digits.
    pub commit: String,
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@sha1:{}", self.name, self.commit)
    }
}

/// An image at the registry, read back and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Reference, digest, platforms and sizes; nothing about its build.
    pub image: ImageStatus,
    /// Rules that it breaks, as sentences; empty for a good image.
    pub violations: Vec<String>,
}

/// One build Job and what its pod says.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    /// Name of the Job.
    pub job: String,
    /// Uid of the Job.
    pub uid: String,
    /// The first 32 hex digits of the fingerprint, from the Job's label.
    pub fingerprint: String,
    /// The inputs, where the annotation can be read and hashes to the label.
    pub inputs: Option<Inputs>,
    /// Which attempt at these inputs, from 1.
    pub attempt: i32,
    /// What compiles.
    pub engine: BuildEngine,
    /// That it does so in a buildkitd elsewhere, with the memory there.
    pub elsewhere: bool,
    /// Why it was started.
    pub cause: String,
    /// The rebuild token that asked for it.
    pub rebuild_token: Option<String>,
    /// The image whose program was taken over, where nothing was compiled.
    pub program_of: Option<String>,
    /// The memory of what compiles and tests.
    pub memory: Option<MemoryStatus>,
    /// When the Job was created.
    pub created: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Its stages, in order; those of its tests are theirs.
    pub stages: Vec<StageStatus>,
    /// What the first of them has told.
    pub facts: SourceFacts,
    /// Where it stands, together with its tests.
    pub state: BuildState,
    /// Whether its own Job has not ended, whatever its tests say.
    pub running: bool,
    /// Its pod has succeeded, and its Job does not say so yet.
    pub uncounted: bool,
    /// Why the operator stopped it, from the annotation.
    pub stopped: Option<String>,
    /// The Jobs before its own, where it is made in several.
    pub before: Vec<Leg>,
    /// The one of its Jobs whose turn it is.
    pub turn: Option<Turn>,
    /// Those of its Jobs that wait for one that has failed.
    pub idle: Vec<String>,
    /// The tests that its image waits for.
    pub tests: Option<Tests>,
}

/// Tests that run beside a build.
#[derive(Clone, Debug, PartialEq)]
pub struct Tests {
    /// Their Job.
    pub job: String,
    /// The Jobs before it.
    pub before: Vec<Leg>,
    /// How they get on; none where their Job is gone.
    pub run: Option<Run>,
}

/// A Job of several in a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Leg {
    /// Its name.
    pub job: String,
    /// How it gets on; none where it is gone.
    pub run: Option<Run>,
}

/// The Job of several in a row that has to end before anything else can happen, and was not told to.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// The Job.
    pub job: String,
    /// Its uid.
    pub uid: String,
    /// Since when it may have a pod; none while it is suspended until those before it have succeeded.
    pub since: Option<Timestamp>,
    /// It has one.
    pub has_pod: bool,
    /// One was evicted because its node was short of memory.
    pub evicted: bool,
    /// It begins when it has a slot.
    pub queued: bool,
}

/// How a Job, or several in a row, get on.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Uid of the Job.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Its stages, in order.
    pub stages: Vec<StageStatus>,
    /// What the one that fetches has told.
    pub facts: SourceFacts,
    /// Where it stands.
    pub state: BuildState,
    /// Its pod has succeeded, and its Job does not say so yet.
    pub uncounted: bool,
    /// Why the operator stopped it, from the annotation.
    pub stopped: Option<String>,
    /// The Job whose turn it is.
    pub turn: Option<Turn>,
    /// The Jobs that wait for one that has failed.
    pub idle: Vec<String>,
}

/// Where a build stands.
#[derive(Clone, Debug, PartialEq)]
pub enum BuildState {
    /// No container has run yet; what the cluster says about why.
    Queued(Option<String>),
    /// A container runs.
    Running,
    /// Its pod or the Job itself says so; what its last stage reported, where its pod is still there.
    Succeeded(Option<BuildResult>),
    /// The Job failed.
    Failed(Failure),
}

/// What `assemble` reported: a hint until the registry confirms it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildResult {
    /// Digest that was pushed.
    pub digest: String,
    /// The program in it.
    pub binary: Option<BinaryStatus>,
    /// Digest of the bill of its parts.
    pub sbom: Option<String>,
    /// What of it may not work, as codes, where the image itself does not say it.
    pub warnings: Vec<String>,
}

/// Why a build failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For machines.
    pub reason: Reason,
    /// The stage, where one had started.
    pub stage: Option<String>,
    /// Its exit code.
    pub exit_code: Option<i32>,
    /// For people.
    pub message: String,
    /// The redacted end of its output.
    pub log_tail: Option<String>,
}

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

impl<T> Seen<T> {
    /// The value, fresh or stale.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Fresh(value, _) | Self::Stale(value, _) => Some(value),
            Self::NotAsked | Self::Unknown(_) => None,
        }
    }

    /// The newest trouble.
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Stale(_, trouble) | Self::Unknown(trouble) => Some(trouble),
            Self::NotAsked | Self::Fresh(..) => None,
        }
    }

    /// When the newest attempt to look was made.
    pub fn looked_at(&self) -> Option<Timestamp> {
        match self {
            Self::NotAsked => None,
            Self::Fresh(_, at) => Some(*at),
            Self::Stale(_, trouble) | Self::Unknown(trouble) => Some(trouble.at),
        }
    }
}

impl BuildState {
    /// The Job has not ended.
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Queued(_) | Self::Running)
    }
}
