//! What was concluded about each aspect? From this, and from what came of the steps, the status is written.

use crate::facts::{Build, Revision, Trouble};
use crate::inputs::Inputs;
use crate::request::{Refusal, Request, RunRequest};
use gowindows_crds::conditions::Reason;
use gowindows_crds::v1alpha1::{ImageStatus, LearnedMemory, PreviousImage, RolloutPhase};
use k8s_openapi::jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What was concluded.
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// Of the specification.
    pub spec: SpecVerdict,
    /// Of the source.
    pub source: SourceVerdict,
    /// Of builds.
    pub build: BuildVerdict,
    /// Of what is published.
    pub publish: PublishVerdict,
    /// Of targets.
    pub rollout: RolloutVerdict,
}

/// What the specification is.
#[derive(Clone, Debug, Default)]
pub enum SpecVerdict {
    /// It was not read: the object is being deleted.
    #[default]
    Unread,
    /// It is valid.
    Accepted(Arc<Request>),
    /// It cannot be carried out. What is under way goes on.
    Refused {
        /// Why.
        refusal: Refusal,
        /// What it says of running what is published, where that can be carried out all the same.
        run: Option<Arc<RunRequest>>,
    },
    /// `spec.suspend` is true: nothing is done.
    Suspended(Arc<Request>),
}

impl SpecVerdict {
    /// What a valid specification asks for.
    pub fn request(&self) -> Option<&Arc<Request>> {
        match self {
            Self::Accepted(request) | Self::Suspended(request) => Some(request),
            Self::Unread | Self::Refused { .. } => None,
        }
    }

    /// What it asks for that concerns running what is published.
    pub fn run(&self) -> Option<&RunRequest> {
        match self {
            Self::Accepted(request) | Self::Suspended(request) => Some(&request.run),
            Self::Refused { run, .. } => run.as_deref(),
            Self::Unread => None,
        }
    }
}

/// What is known of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceVerdict {
    /// The commit to build.
    pub revision: Option<Revision>,
    /// Why the source could not be polled.
    pub trouble: Option<Trouble>,
}

/// One image that should be there.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedBuild {
    /// What it is for. Only a release can become what is published.
    pub purpose: Purpose,
    /// What it is made of, or why that cannot be told now.
    pub pinned: Result<Pinned, Trouble>,
}

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be published.
    Release,
}

/// Inputs, and why there is a build of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Pinned {
    /// All that determines the image.
    pub inputs: Inputs,
    /// Why they are other than those of the build before; none where they are the same.
    pub cause: Option<Cause>,
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

/// What is known of builds.
#[derive(Clone, Debug, Default)]
pub struct BuildVerdict {
    /// The newest inputs.
    pub inputs: Option<Inputs>,
    /// Why they are other than those of the build before.
    pub cause: Option<Cause>,
    /// How far they are.
    pub progress: BuildProgress,
    /// The image of a release, where the registry serves one of the newest inputs, or the last good one was recovered.
    pub image: Option<ImageStatus>,
    /// Why the registry could not be asked.
    pub registry: Option<Trouble>,
    /// The place in the queue for a slot, from 1, while it waits for one.
    pub queue_position: Option<usize>,
    /// The memory that builds of this object need, as far as they have shown it.
    pub learned: Option<LearnedMemory>,
}

impl BuildVerdict {
    /// The newest inputs, where the registry serves their image.
    pub fn published(&self) -> Option<&Inputs> {
        self.inputs.as_ref().filter(|_| matches!(self.progress, BuildProgress::Published(_)))
    }
}

/// Where the newest inputs stand on their way to an image.
#[derive(Clone, Debug, Default)]
pub enum BuildProgress {
    /// Nothing can be said yet.
    #[default]
    Undecided,
    /// The inputs cannot be determined, or nothing can be started now.
    Blocked(Trouble),
    /// Jobs are to be created with this plan.
    Starting {
        /// Name of the Job that is the build.
        job: String,
        /// Its attempt.
        attempt: i32,
        /// Why.
        cause: String,
    },
    /// It is queued or running.
    Active(Build),
    /// The Job succeeded and the registry has not confirmed the image yet.
    Unconfirmed(Build),
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

/// What is published.
#[derive(Clone, Debug, Default)]
pub struct PublishVerdict {
    /// The image that targets may run.
    pub good: Option<Good>,
    /// The newest image. It differs from the good one while it waits for its signature.
    pub newest: Option<ImageStatus>,
    /// What is attached to the newest image.
    pub attestation: Attesting,
    /// What is worth knowing about the image, and is no error.
    pub note: Option<String>,
    /// Why tags were not moved to it: the registry does not confirm it.
    pub unconfirmed: Option<Trouble>,
}

/// A published image, and the one before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Good {
    /// The image.
    pub image: ImageStatus,
    /// What was published before.
    pub previous: Option<PreviousImage>,
}

/// What is attached to an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attesting {
    /// All that can be, as far as is recorded, or there is no image. It is looked at again before anything that must not happen unsigned.
    #[default]
    Complete,
    /// It is looked at, and completed, with this plan.
    Planned,
    /// What its build says is not known yet.
    Awaited,
}

/// What a target should run. What is published and what should run are two things: rollback, hold and experiments live in the difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The digest.
    pub digest: String,
    /// Variables of the container, beside those that its owner sets.
    pub env: BTreeMap<String, String>,
    /// Why this one.
    pub why: WantedBecause,
}

/// Why a target should run an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedBecause {
    /// It is what is published.
    Newest,
    /// What is published is held back.
    LastGood {
        /// The digest that is held.
        held: String,
    },
    /// Somebody said so.
    Pinned {
        /// Who.
        by: String,
    },
    /// It is one side of an experiment.
    Arm {
        /// The experiment.
        experiment: String,
    },
}

/// What is known of targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutVerdict {
    /// Where each target stands.
    pub targets: Vec<TargetVerdict>,
    /// Why an image was not written into a target: the registry does not confirm it.
    pub unconfirmed: Option<Trouble>,
}

/// Where one target stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetVerdict {
    /// `Deployment/storefront`.
    pub target: String,
    /// The container.
    pub container: Option<String>,
    /// What it should run; none while nothing is published.
    pub wanted: Option<Wanted>,
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

/// What tuning wants of the pass: knobs in force, arms, candidates. Empty until there is tuning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {}
