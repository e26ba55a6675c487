//! Which writes does a plan consist of? Each step carries all that it takes to perform it.

use super::BuildOrder;
use crate::access::Repository;
use crate::attest::Provenance;
use crate::facts::Order;
use crate::wire::stopped::Stopped;
use gowindows_crds::v1alpha1::TargetKind;

/// What a step is about. A failure is reported there, and ends the steps of this aspect alone. In the order in which they are performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aspect {
    /// Jobs that build and test.
    Build,
    /// What is attached to an image. Performed last where nothing waits for it.
    Attest,
    /// Tags of images.
    Publish,
    /// Workloads.
    Rollout,
    /// Finished Jobs that are no longer worth keeping.
    Retention,
}

/// One write, to whom it belongs, and what it depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it is about.
    pub aspect: Aspect,
    /// The write.
    pub write: Write,
    /// The order that is carried out with it.
    pub acknowledges: Option<Order>,
    /// What must have happened before.
    pub after: Option<Guard>,
}

/// What must have happened before a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The image is signed: no tag and no workload gets one that is not, however a status was edited.
    Signed,
}

/// One write. It can be repeated: names are deterministic, and a create that meets its own object is a success.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// End a Job, and leave it as a record of why.
    Stop {
        /// The Job.
        job: String,
        /// Why.
        why: Stopped,
    },
    /// Let a Job begin that waited for others.
    Resume {
        /// The Job.
        job: String,
    },
    /// Create the Jobs of a build and of its tests, after the claims of their caches.
    StartBuild(Box<BuildOrder>),
    /// Point the tag of tested images at a digest whose tests have passed.
    Promote {
        /// Where.
        repository: Repository,
        /// The digest.
        digest: String,
        /// The tag.
        tag: String,
    },
    /// Attach provenance and signatures.
    Attest {
        /// Where.
        repository: Repository,
        /// What.
        attestation: Box<Attestation>,
        /// Name of the Secret with the key; none where nothing is signed.
        key: Option<String>,
    },
    /// Point tags at a verified digest.
    MoveTags {
        /// Where.
        repository: Repository,
        /// The digest.
        digest: String,
        /// The tags.
        tags: Vec<String>,
    },
    /// Write the image into a target's container.
    Roll(Roll),
    /// Delete a finished Job.
    Delete {
        /// The Job.
        job: String,
    },
}

impl Write {
    /// Its name, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stop { .. } => "StopJob",
            Self::Resume { .. } => "ResumeJob",
            Self::StartBuild(_) => "CreateJob",
            Self::Promote { .. } => "Promote",
            Self::Attest { .. } => "Attest",
            Self::MoveTags { .. } => "MoveTags",
            Self::Roll(_) => "Roll",
            Self::Delete { .. } => "DeleteJob",
        }
    }

    /// Whether it must not be made from the past: in one that a store still shows, a Job that is gone looks new, and what runs looks like what
    /// is still to be rolled.
    pub fn needs_the_present(&self) -> bool {
        matches!(self, Self::StartBuild(_) | Self::Roll(_))
    }
}

/// What is to be said of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Attestation {
    /// Its own digest, then those of its manifests where it is an index: something is said of each.
    pub digests: Vec<String>,
    /// The fingerprint of its inputs: what is signed already and is of others does not count.
    pub fingerprint: String,
    /// The object whose image it is, `namespace/name`: what names another one does not count.
    pub object: String,
    /// The bill that the build has attached, as it reported.
    pub sbom: Option<String>,
    /// How it was built; none where there is no Job to tell.
    pub provenance: Option<Provenance>,
}

/// A write to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roll {
    /// Position in `rollout.targets`.
    pub index: usize,
    /// Kind of the workload.
    pub kind: TargetKind,
    /// Name of the workload.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The container.
    pub container: String,
    /// `repository@digest`.
    pub image: String,
}
