//! What shall happen, and why?
//!
//! A [`Plan`] is data: the effects in the order in which they are performed, and what was concluded on the way, from which
//! [`gowindows_core::report`] writes the status. Nothing here acts.

use crate::attest::Provenance;
use crate::facts::{Attested, Build, Revision, Trouble};
use crate::inputs::Inputs;
use crate::ports::Miss;
use crate::request::Request;
use crate::settings::SlotSettings;
use gowindows_crds::conditions::Reason;
use gowindows_crds::v1alpha1::{Handled, ImageStatus, LearnedMemory, RolloutPhase};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::jiff::Timestamp;
use std::fmt;
use std::time::Duration;

/// The result of a decision.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Something must be known first; the same decision is taken again with the answers.
    Ask(Vec<Question>),
    /// What to do.
    Do(Box<Plan>),
}

/// A question to the outside world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// To which commit does the source's reference point now?
    Source,
    /// Which digest does this reference of a toolchain image have?
    Digest(String),
    /// Which digest and which versions does this base have, and can it be built on?
    Base(String),
    /// Can the claim be used that hands files from one pod of a build to the next?
    Workspace,
    /// Is the claim there that the object has named for its caches?
    CacheClaim,
    /// Can the Secret with the certificates for buildkitd be used?
    Builder,
    /// Can the Secret with the credentials for modules be used?
    Modules,
    /// Which image stands under this `gw-` tag, and is it right?
    Published(String),
}

/// What to do, and what was concluded.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In the order in which they are performed; the first failure ends the pass.
    pub effects: Vec<Effect>,
    /// When to look again at the latest, where no event comes before.
    pub next: Option<Duration>,
    /// What was concluded.
    pub conclusion: Conclusion,
}

/// One write.
#[derive(Clone, Debug)]
pub enum Effect {
    /// End a build: annotate the Job with the reason and let the Job controller end its pods.
    StopJob {
        /// The Job.
        job: String,
        /// Why; becomes the annotation's value.
        why: String,
    },
    /// Let a Job begin that waited for others.
    ResumeJob(String),
    /// Let a Job begin for which there is a slot, whoever's it is.
    StartJob {
        /// Its namespace.
        namespace: String,
        /// The Job.
        job: String,
        /// How many there are: it is counted once more before.
        slots: SlotSettings,
    },
    /// Create the cache's claim where it does not exist.
    EnsureClaim(Box<PersistentVolumeClaim>),
    /// Create a build Job.
    CreateJob(Box<Job>),
    /// Point the tag of tested images at a digest whose tests have passed.
    Promote {
        /// The digest.
        digest: String,
        /// The tag.
        tag: String,
    },
    /// Attach provenance and signatures.
    Attest(Box<Attestation>),
    /// Point tags at a verified digest.
    MoveTags {
        /// The digest.
        digest: String,
        /// The tags.
        tags: Vec<String>,
    },
    /// Write the image into a target's container.
    Roll(Roll),
    /// Delete a finished build Job that is no longer worth keeping.
    DeleteJob(String),
}

impl Plan {
    /// Looks again after this time, or earlier where something earlier is planned.
    pub fn look_again(&mut self, after: Duration) {
        let after = after.max(Duration::from_millis(200));
        self.next = Some(self.next.map_or(after, |next| next.min(after)));
    }

    /// Looks again at a moment.
    pub fn look_again_at(&mut self, now: Timestamp, at: Timestamp) {
        self.look_again(Duration::try_from(at.duration_since(now)).unwrap_or_default());
    }
}

impl Effect {
    /// Its name, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StopJob { .. } => "StopJob",
            Self::ResumeJob(_) => "ResumeJob",
            Self::StartJob { .. } => "StartJob",
            Self::EnsureClaim(_) => "EnsureClaim",
            Self::CreateJob(_) => "CreateJob",
            Self::Promote { .. } => "Promote",
            Self::Attest(_) => "Attest",
            Self::MoveTags { .. } => "MoveTags",
            Self::Roll(_) => "Roll",
            Self::DeleteJob(_) => "DeleteJob",
        }
    }
}

/// What came of a plan.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How many effects were performed.
    pub performed: usize,
    /// What is attached to the image.
    pub attested: Option<Attested>,
    /// The tags that were moved.
    pub tagged: Option<Vec<String>>,
    /// The effect that failed and why; the rest was not tried.
    pub failure: Option<Failed>,
}

/// An effect that failed.
#[derive(Clone, Debug)]
pub struct Failed {
    /// Which one.
    pub effect: Effect,
    /// Why.
    pub miss: Miss,
}

/// What is to be said of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Attestation {
    /// Its own digest, then those of its manifests where it is an index: something is said of each.
    pub digests: Vec<String>,
    /// The bill that the build has attached, as it reported.
    pub sbom: Option<String>,
    /// How it was built; none where there is no Job to tell.
    pub provenance: Option<Provenance>,
    /// With the key of `signing.keySecretRef`.
    pub sign: bool,
}

/// A write to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roll {
    /// Position in `rollout.targets`.
    pub index: usize,
    /// Name of the workload.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The container.
    pub container: String,
    /// `repository@digest`.
    pub image: String,
}

/// Why there is a build. No cause, no build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing was built for this object before.
    First(Revision),
    /// The reference points to another commit.
    SourceMoved {
        /// The commit before.
        from: String,
        /// The commit now.
        to: Revision,
    },
    /// The specification changed in these fields.
    SpecChanged(Vec<&'static str>),
    /// Somebody asked, with this token.
    Manual(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First(revision) => write!(f, "First: {revision}"),
            Self::SourceMoved { from, to } => write!(f, "SourceMoved: {}..{to}", from.get(..7).unwrap_or(from)),
            Self::SpecChanged(fields) => write!(f, "SpecChanged: {}", fields.join(", ")),
            Self::Manual(token) => write!(f, "Manual: {token}"),
        }
    }
}

/// A verdict on the specification that ends the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// [`Reason::InvalidSpec`] or [`Reason::NotConfigured`].
    pub reason: Reason,
    /// Names the field, the value and the remedy.
    pub message: String,
}

/// What was concluded about each aspect.
#[derive(Clone, Debug, Default)]
pub struct Conclusion {
    /// The specification is refused.
    pub refusal: Option<Refusal>,
    /// `spec.suspend` is true.
    pub suspended: bool,
    /// The valid specification.
    pub request: Option<Request>,
    /// The commit to build.
    pub revision: Option<Revision>,
    /// Why the source could not be looked at.
    pub source_trouble: Option<Trouble>,
    /// What the newest build is of.
    pub inputs: Option<Inputs>,
    /// Why they are other than those of the build before; `None` where they are the same.
    pub cause: Option<Cause>,
    /// Where the newest build stands.
    pub build: BuildVerdict,
    /// Its place in the queue for a slot, where it waits for one.
    pub queue_position: Option<usize>,
    /// The memory that builds of this object need, as far as they have shown it.
    pub learned: Option<LearnedMemory>,
    /// The last good image, whichever inputs it is of.
    pub image: Option<ImageStatus>,
    /// What is worth knowing about the image that is published, and is no error.
    pub note: Option<String>,
    /// Why the registry could not be asked.
    pub registry_trouble: Option<Trouble>,
    /// Where each target stands.
    pub targets: Vec<TargetVerdict>,
    /// Order tokens that are acted on with this plan.
    pub handled: Handled,
}

/// Where the newest inputs stand on their way to an image.
#[derive(Clone, Debug, Default)]
pub enum BuildVerdict {
    /// Nothing can be said yet.
    #[default]
    Undecided,
    /// The inputs could not be determined.
    Blocked(Trouble),
    /// A Job is to be created with this plan.
    Starting {
        /// Its name.
        job: String,
        /// Its attempt.
        attempt: i32,
        /// Why.
        cause: String,
    },
    /// It is queued or running.
    Active(Build),
    /// The Job succeeded and the registry has not confirmed the image yet.
    Unconfirmed(Build, Option<Trouble>),
    /// It failed, and is tried again at the given time, if one is given.
    Failed {
        /// The attempt.
        build: Option<Build>,
        /// Why.
        reason: Reason,
        /// For people.
        message: String,
        /// When it is tried again.
        retry_at: Option<Timestamp>,
    },
    /// The registry serves the image of these inputs.
    Published(Option<Build>),
}

/// Where one target stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetVerdict {
    /// `Deployment/storefront`.
    pub target: String,
    /// The container.
    pub container: Option<String>,
    /// Where it stands.
    pub phase: RolloutPhase,
    /// [`Reason::Succeeded`], [`Reason::Progressing`] or what is wrong.
    pub reason: Reason,
    /// `1/3`.
    pub updated: Option<String>,
    /// When the digest was written to it; none while another image is there.
    pub started_at: Option<Timestamp>,
    /// What is wrong, or what is being waited for.
    pub message: Option<String>,
    /// What its pod template misses.
    pub warnings: Vec<String>,
}
