//! Where do the stages of a build hand files on?
//!
//! In a volume of their pod; or, where they are not in one pod, in a claim that pods of both systems mount:
//!
//! ```text
//! <claim>/<uid of the object>/<build Job>/src, out, source.json; for a container builder dockerfile, modules
//! ```
//!
//! Linux pods see their build's folder alone, as if it were a volume of their own. Windows cannot mount a part of a volume
//! (kubernetes.io/docs/concepts/storage/windows-storage), so a pod there sees all of the claim.

use super::job::scratch;
use super::stages::{mount, read_only};
use gowindows_crds::GoWindowsImage;
use gowindows_crds::v1alpha1::HistoryEntry;
use k8s_openapi::api::core::v1::{PersistentVolumeClaimVolumeSource, Volume, VolumeMount};

/// Its volume.
const VOLUME: &str = "workspace";
/// Where our own containers see it.
const LINUX: &str = "/build";
/// Where our own containers see what builds of one object leave.
pub(super) const BUILDS: &str = "/builds";
/// Where Windows containers see the whole claim.
const WINDOWS: &str = r"C:\gowindows";

/// The builds of an object that have ended, as its status has them.
pub(super) fn history(object: &GoWindowsImage) -> &[HistoryEntry] {
    object.status.as_ref().map_or(&[], |status| &status.history)
}

/// What a build has for its files.
#[derive(Clone, Copy, Debug)]
pub(super) enum Workspace<'a> {
    /// A volume that ends with the pod.
    OfPod,
    /// A folder in a claim.
    Shared {
        /// The claim.
        claim: &'a str,
        /// The object's uid.
        object: &'a str,
        /// The build Job, with whose name those of its parts and tests begin.
        build: &'a str,
        /// The object's builds that have ended.
        history: &'a [HistoryEntry],
        /// The Job for whose files it is: the build's, or that of its tests.
        job: &'a str,
    },
}

impl Workspace<'_> {
    /// The pod's volume.
    pub(super) fn volume(self) -> Volume {
        let Self::Shared { claim, .. } = self else { return scratch(VOLUME) };
        let claim = PersistentVolumeClaimVolumeSource { claim_name: claim.to_owned(), read_only: None };
        Volume { persistent_volume_claim: Some(claim), name: VOLUME.into(), ..Volume::default() }
    }

    /// What a Linux container of ours mounts.
    pub(super) fn mount(self) -> VolumeMount {
        let sub_path = match self {
            Self::OfPod => None,
            Self::Shared { object, job, .. } => Some(format!("{object}/{job}")),
        };
        VolumeMount { sub_path, ..mount(VOLUME, LINUX) }
    }

    /// The folder with all that builds of this object leave, where that outlives their pods.
    pub(super) fn mount_of_object(self) -> Option<VolumeMount> {
        let Self::Shared { object, .. } = self else { return None };
        Some(VolumeMount { sub_path: Some(object.to_owned()), ..mount(VOLUME, BUILDS) })
    }

    /// The builds that need nothing any more of what they have left there.
    pub(super) fn ended(&self) -> impl Iterator<Item = &str> {
        let (history, build) = match self {
            Self::OfPod => (&[][..], ""),
            Self::Shared { history, build, .. } => (*history, *build),
        };
        history.iter().map(|entry| entry.job.as_str()).filter(move |job| *job != build)
    }

    /// What a Windows container mounts that leaves something in it.
    pub(super) fn mount_on_windows(self) -> VolumeMount {
        mount(VOLUME, WINDOWS)
    }

    /// What a Windows container mounts that does not.
    pub(super) fn read_on_windows(self) -> VolumeMount {
        read_only(VOLUME, WINDOWS)
    }

    /// A folder of this build, as a Windows container sees it. `folder` is below it, with slashes; none is the folder of all of them.
    pub(super) fn on_windows(self, folder: &str) -> String {
        let parts = match self {
            Self::OfPod => vec![WINDOWS, folder],
            Self::Shared { object, job, .. } => vec![WINDOWS, object, job, folder],
        };
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(r"\").replace('/', r"\")
    }
}
