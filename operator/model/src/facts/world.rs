//! What is known at the start of a pass?
//!
//! [`World`] is everything that the decision (`gowindows_core::pass::decide`) may look at. Kubernetes facts are complete when a pass starts (a failure to
//! read them ends the pass); facts of the outside world are answers to [`Question`]s that the decision asks when it needs them,
//! and a failure to get one is an answer too.

use super::{Build, Nodes, Place, Seen, Workload};
use crate::attest::Testimony;
use crate::go::credentials::Credentials;
use crate::question::Question;
use gowindows_crds::GoWindowsImage;
use gowindows_crds::v1alpha1::{GoWindowsImageStatus, ImageStatus};
use k8s_openapi::jiff::Timestamp;
use kube_core::ResourceExt;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
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
    pub orphans: Vec<(String, Timestamp)>,
    /// For each listed target, in order: the workload, or `None` where it does not exist.
    pub workloads: Vec<Option<Workload>>,
    /// For each listed target, in order: the older object that lists the same one, if there is one.
    pub claims: Vec<Option<String>>,
    /// The Windows nodes, as far as they can be seen.
    pub nodes: Arc<Nodes>,
    /// For each of its Jobs that queues for a slot: where it stands.
    pub places: BTreeMap<String, Place>,
    /// What the outside world answered.
    pub answers: Answers,
}

impl World {
    /// Nothing but an object.
    pub fn new(object: GoWindowsImage, now: Timestamp, nodes: Nodes) -> Self {
        let (object, answers) = (Arc::new(object), Answers::default());
        let (nodes, places) = (Arc::new(nodes), BTreeMap::new());
        Self { now, object, builds: vec![], orphans: vec![], workloads: vec![], claims: vec![], nodes, places, answers }
    }

    /// The status as it was last written; empty for an object that was never seen.
    pub fn status(&self) -> &GoWindowsImageStatus {
        static NONE: LazyLock<GoWindowsImageStatus> = LazyLock::new(GoWindowsImageStatus::default);
        self.object.status.as_ref().unwrap_or(&NONE)
    }

    /// Asks, unless this pass asked already.
    ///
    /// # Errors
    /// The questions that are still open.
    pub fn ask(&self, questions: Vec<Question>) -> Result<(), Vec<Question>> {
        let open: Vec<_> = questions.into_iter().filter(|question| !self.answers.asked.contains(question)).collect();
        if open.is_empty() { Ok(()) } else { Err(open) }
    }

    /// The time since a moment; zero for one that lies ahead.
    pub fn since(&self, moment: Timestamp) -> Duration {
        Duration::try_from(self.now.duration_since(moment)).unwrap_or_default()
    }

    /// A fraction in 0..1 that is the object's own: spreads what many objects would do at once.
    pub fn spread(&self) -> f64 {
        let uid = self.object.uid().unwrap_or_default();
        let hash = uid.bytes().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
        f64::from(hash) / f64::from(u32::MAX)
    }

    /// Whether any build has not ended.
    pub fn is_building(&self) -> bool {
        self.builds.iter().any(|build| build.state.is_active())
    }
}

/// What the outside world answered, and which questions this pass has asked already.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Questions that were put to the outside world in this pass: asked once, not again.
    pub asked: Vec<Question>,
    /// The commit that the source's reference names.
    pub source: Seen<Revision>,
    /// Whether the Secret for git can be used.
    pub git_login: Seen<GitLogin>,
    /// Digests of references that have been resolved, bases excepted.
    pub digests: BTreeMap<String, Seen<String>>,
    /// Bases that have been resolved, by reference.
    pub bases: BTreeMap<String, Seen<ResolvedBase>>,
    /// Whether the Secret with the certificates for buildkitd can be used.
    pub builder: Seen<()>,
    /// Whether the Secret with the credentials for modules can be used, and what is in it.
    pub modules: Seen<ModulesLogin>,
    /// Whether the claim of `build.workspace` can be used.
    pub workspace: Seen<()>,
    /// Whether the claim that `build.cache.volume` names can be used.
    pub cache_claim: Seen<()>,
    /// Images found at the registry, by `gw-` tag; `None` where the registry has none.
    pub published: BTreeMap<String, Seen<Option<Published>>>,
    /// What the provenance of digests tells: with a key only what was signed with it.
    pub provenance: BTreeMap<String, Seen<Vec<Testimony>>>,
}

/// A commit and the name under which it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Branch or tag; the commit itself where one is pinned.
    pub name: String,
    /// 40 hex digits.
    pub commit: String,
}

/// A Secret for git that may be used, without its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitLogin {
    /// Its keys that mean something: these alone are mounted.
    pub keys: Vec<String>,
    /// Why it will be refused once `enforcement` is `Enforce`.
    pub unbound: Option<String>,
}

/// A Secret for modules that may be used, without its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModulesLogin {
    /// What is mounted of it.
    pub credentials: Credentials,
    /// Why it will be refused once `enforcement` is `Enforce`.
    pub unbound: Option<String>,
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

/// What is attached to an image: digests of the referrers' manifests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attested {
    /// The bill of its parts.
    pub sbom: Option<String>,
    /// How it was built; none where nobody can say.
    pub provenance: Option<String>,
    /// The signature, where one was asked for.
    pub signature: Option<String>,
}

/// A base, as its reference was resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedBase {
    /// Of its index or only manifest.
    pub digest: String,
    /// The full versions of its windows/amd64 images. Example: `["10.0.20348.5499"]`.
    pub os_versions: Vec<String>,
}
