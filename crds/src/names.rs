//! Which labels, annotations, managers and tags does gowindows use?
//!
//! Every name that another program can see stands here once.

/// API group of every kind, label and annotation of ours.
pub const GROUP: &str = "gowindows.dev";

/// Field manager of the status writes.
pub const STATUS_MANAGER: &str = "gowindows-status";
/// Field manager of everything else that is applied (a target's image field).
pub const APPLY_MANAGER: &str = "gowindows";

/// Standard label that says who made a generated object.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of [`LABEL_MANAGED_BY`].
pub const MANAGED_BY: &str = "gowindows";

/// On Jobs and pods: the uid of the `GoWindowsImage` (always a legal label value, unlike its name).
pub const LABEL_IMAGE_UID: &str = "gowindows.dev/image-uid";
/// On Jobs and pods: the first 32 hex digits of the input fingerprint.
pub const LABEL_FINGERPRINT: &str = "gowindows.dev/fingerprint";
/// On Jobs: the attempt, from 1.
pub const LABEL_ATTEMPT: &str = "gowindows.dev/attempt";

/// On Jobs and pods: what they are for, a [`Role`].
pub const LABEL_ROLE: &str = "gowindows.dev/role";

/// What a Job is for. Only [`Role::Build`] has [`LABEL_ATTEMPT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It is a build: its last stage pushes the image.
    Build,
    /// Another Job of the same build takes over its results.
    Part,
    /// It runs the tests of a build.
    Test,
}

impl Role {
    /// The value of [`LABEL_ROLE`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Part => "part",
            Self::Test => "test",
        }
    }

    /// The role that a label says; none for one of another version. Earlier versions put none on builds.
    pub fn of_label(label: Option<&str>) -> Option<Self> {
        let Some(label) = label else { return Some(Self::Build) };
        [Self::Build, Self::Part, Self::Test].into_iter().find(|role| role.as_str() == label)
    }
}

/// On Jobs and pods: the name of the `GoWindowsImage` (names may be too long for a label).
pub const ANNOTATION_IMAGE: &str = "gowindows.dev/image";
/// On Jobs: the canonical JSON of the inputs that the fingerprint was made of.
pub const ANNOTATION_INPUTS: &str = "gowindows.dev/inputs";
/// On Jobs: why this build was started, as `Cause: evidence`.
pub const ANNOTATION_CAUSE: &str = "gowindows.dev/cause";
/// On Jobs: the rebuild token that asked for this build, where one did.
pub const ANNOTATION_REBUILD_TOKEN: &str = "gowindows.dev/rebuild-token";
/// On Jobs: the image whose program is taken over, `<repository>@<digest>`, where nothing is compiled.
pub const ANNOTATION_PROGRAM_OF: &str = "gowindows.dev/program-of";
/// On build Jobs: the memory of what compiles and tests, and where it comes from, as JSON.
pub const ANNOTATION_MEMORY: &str = "gowindows.dev/memory";
/// On Jobs: which engine compiles, as `build.engine` spells it.
pub const ANNOTATION_ENGINE: &str = "gowindows.dev/engine";
/// On build Jobs: the name of the Job whose tests must pass before the image counts.
pub const ANNOTATION_TESTS: &str = "gowindows.dev/tests";
/// On Jobs that take over what others leave: the names of those, in order, with commas.
pub const ANNOTATION_AFTER: &str = "gowindows.dev/after";
/// On Jobs that are resumed when they have a slot: `linux` or `windows`, the nodes of which it is one.
pub const ANNOTATION_QUEUED: &str = "gowindows.dev/queued";
/// On Jobs: why the operator stopped it (`Cancelled`, `Superseded`, `Timeout/<stage>`, `Evicted`, `Tests/<reason>`, `Part/<reason>`, `BuildFailed`).
pub const ANNOTATION_STOPPED: &str = "gowindows.dev/stopped";

/// On a Secret for git: the hosts that its login may be sent to, `host` or `host:port`, with commas.
pub const ANNOTATION_HOSTS: &str = "gowindows.dev/hosts";

/// Order on a `GoWindowsImage`: look at the source now.
pub const ORDER_REQUESTED_AT: &str = "gowindows.dev/requested-at";
/// The same order as Flux spells it (`flux reconcile` and `kubectl annotate` recipes set it).
pub const ORDER_FLUX_REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
/// Order: build although nothing changed.
pub const ORDER_REBUILD: &str = "gowindows.dev/rebuild";
/// Order: stop the running build.
pub const ORDER_CANCEL: &str = "gowindows.dev/cancel";

/// The tag under which a build of these inputs is found again: `gw-` and the first 32 hex digits of the fingerprint.
pub fn fingerprint_tag(fingerprint: &str) -> String {
    format!("gw-{}", fingerprint.get(..32).unwrap_or(fingerprint))
}

/// The tag under which such an image waits for its tests: it is neither adopted nor rolled.
pub fn untested_tag(fingerprint: &str) -> String {
    format!("gw-untested-{}", fingerprint.get(..32).unwrap_or(fingerprint))
}
