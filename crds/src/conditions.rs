//! Which conditions exist, which reasons do they carry, and how does a new one replace an old one?
//!
//! `Ready` summarises. `Reconciling` and `Stalled` are present only while true, as kstatus expects
//! (<https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus>). The others each answer one question.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use std::fmt;
use std::str::FromStr;

/// The condition types of a `GoWindowsImage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// The declared image is published and every target that exists runs it.
    Ready,
    /// The declared generation has not been satisfied yet and work is under way.
    Reconciling,
    /// Nothing will happen until a person changes something.
    Stalled,
    /// The source's reference was resolved to a commit.
    SourceResolved,
    /// The newest inputs were built.
    Built,
    /// The registry serves the image with the digest that was built.
    Published,
    /// Provenance and, where `spec.signing` is set, signatures are attached to the image.
    Attested,
    /// The targets run the published digest.
    RolledOut,
    /// Something in the image may not work; present only while there is.
    ImageWarnings,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why a condition is what it is: CamelCase, stable, safe to alert on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => stringify!($name),)*
                })
            }
        }

        impl FromStr for Reason {
            type Err = UnknownReason;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                match name {
                    $(stringify!($name) => Ok(Self::$name),)*
                    _ => Err(UnknownReason(name.to_owned())),
                }
            }
        }
    };
}

/// Not the name of a [`Reason`]; a newer version may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownReason(pub String);

reasons! {
    /// All is as declared.
    Succeeded,
    /// Work is under way.
    Progressing,
    /// `spec.suspend` is true.
    Suspended,
    /// The specification cannot be carried out as it is written.
    InvalidSpec,
    /// The operator is not configured for what the specification asks.
    NotConfigured,
    /// The source could not be reached.
    SourceUnreachable,
    /// The git server refused the credentials, or asked for some.
    SourceAuthFailed,
    /// The remote has no such branch, tag or commit.
    RefNotFound,
    /// A Secret that the specification names is absent or may not be read.
    SecretUnavailable,
    /// A Secret lacks the key or type that is needed.
    SecretInvalid,
    /// A Secret says nothing of the server that its login would be sent to.
    SecretUnbound,
    /// The ServiceAccount of `image.identity` is absent, or the operator may not ask for its tokens.
    IdentityUnavailable,
    /// The cloud does not accept the identity of `image.identity`, or does not let it into the registry.
    IdentityRefused,
    /// The servers that exchange the identity for a password could not be reached, or gave no usable answer.
    IdentityUnreachable,
    /// The base image could not be resolved.
    BaseUnavailable,
    /// The base image has nothing that fits (no windows/amd64, no 4-part `os.version`).
    BaseInvalid,
    /// No Windows node runs a release that is built for, and it would be of no use elsewhere either.
    ReleaseWithoutNode,
    /// The claim of `build.workspace` is absent, or pods of both systems cannot share it.
    WorkspaceUnusable,
    /// The claim that `build.cache.volume` names is absent, or builds of several objects cannot write to it.
    CacheUnusable,
    /// There is no Windows node that can run the Windows pods of a build.
    NodeUnavailable,
    /// The toolchain image could not be resolved.
    ToolchainUnavailable,
    /// The build has not started yet.
    Pending,
    /// The source step failed for a reason in the repository (no module, no main package, a link to outside).
    SourceInvalid,
    /// The Dockerfile of `build.buildkit.dockerfile` has what cannot be in it, or cannot be carried out.
    DockerfileInvalid,
    /// The compiler refused the program, or a command of a Dockerfile failed.
    CompileError,
    /// A test of `go.test.packages` failed.
    TestsFailed,
    /// Modules could not be downloaded.
    ModuleDownloadFailed,
    /// The buildkitd could not be reached, or went away in the middle of a build.
    BuilderUnreachable,
    /// The buildkitd and the client do not trust each other's certificates.
    BuilderAuthFailed,
    /// BuildKit or Kaniko failed for a reason of its own, such as a toolchain image that buildkitd cannot pull.
    BuilderFailed,
    /// The registry refused the credentials, or asked for some.
    RegistryAuthFailed,
    /// The registry could not be reached or answered with a server error.
    RegistryUnreachable,
    /// The registry answered something that cannot be right.
    RegistryInvalid,
    /// The image could not be assembled from the program.
    AssembleFailed,
    /// What the registry serves is not what was built.
    VerificationFailed,
    /// The image is larger than `image.sizeBudget` allows.
    SizeBudgetExceeded,
    /// The program is not the one that was asked for: another package, other modules, another Go release or other flags.
    ProgramMismatch,
    /// The program of an earlier image could not be taken over; it is compiled instead.
    ProgramUnavailable,
    /// The operator has not seen the build of this image, so it neither signs it nor says how it was built.
    NotWitnessed,
    /// A stage took longer than its limit.
    Timeout,
    /// A container of the build used more memory than its limit.
    OutOfMemory,
    /// The build's pod or Job was taken away (eviction, node loss, deletion).
    Lost,
    /// The build was cancelled by order.
    Cancelled,
    /// A newer input made this build pointless.
    Superseded,
    /// Another object has the name that a build Job needs.
    NameCollision,
    /// The cluster refused the build Job (quota, admission).
    JobRefused,
    /// No target is listed.
    NoTargets,
    /// `rollout.mode` is `StatusOnly`: the digest is published, nothing is rolled.
    StatusOnly,
    /// A target does not exist (yet).
    TargetNotFound,
    /// A target has no container of that name, or several and none was named.
    ContainerNotFound,
    /// Another server-side-apply manager owns the image field.
    FieldOwned,
    /// An older object lists the same target.
    TargetClaimed,
    /// The target is paused.
    TargetPaused,
    /// Pods of the new image keep crashing.
    CrashLooping,
    /// The node cannot pull or start the new image.
    ImagePullFailed,
    /// The target did not become available in time.
    ProgressDeadlineExceeded,
    /// The cluster refused the write to a target.
    TargetRefused,
    /// The program needs what its base may lack.
    WarningsFound,
}

macro_rules! display {
    ($type:ident: $($name:ident),*) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => stringify!($name),)*
                })
            }
        }
    };
}
display!(ConditionType: Ready, Reconciling, Stalled, SourceResolved, Built, Published, Attested, RolledOut, ImageWarnings);

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// `True`
    True,
    /// `False`
    False,
    /// `Unknown`
    Unknown,
}
display!(Truth: True, False, Unknown);

/// A condition before it gets its generation and its transition time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Which condition.
    pub kind: ConditionType,
    /// Its status.
    pub truth: Truth,
    /// Why, for machines.
    pub reason: Reason,
    /// Why, for people: one or two sentences that say what to do.
    pub message: String,
}

impl Verdict {
    /// A verdict from its parts.
    pub fn new(kind: ConditionType, truth: Truth, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, truth, reason, message: message.into() }
    }
}

/// Kubernetes refuses a longer condition message.
const MESSAGE_LIMIT: usize = 32_768;

/// Turns verdicts into conditions: `lastTransitionTime` moves only where the status does
/// (a fresh one on each pass would be an endless loop), and conditions without a verdict go.
pub fn merge(old: &[Condition], verdicts: &[Verdict], generation: i64, now: &Time) -> Vec<Condition> {
    let mut merged: Vec<Condition> = verdicts
        .iter()
        .map(|verdict| {
            let status = verdict.truth.to_string();
            let type_ = verdict.kind.to_string();
            let since = find(old, verdict.kind).filter(|was| was.status == status).map(|was| was.last_transition_time.clone());
            Condition {
                last_transition_time: since.unwrap_or_else(|| now.clone()),
                message: verdict.message.chars().take(MESSAGE_LIMIT / 4).collect(),
                observed_generation: Some(generation),
                reason: verdict.reason.to_string(),
                status,
                type_,
            }
        })
        .collect();
    sort(&mut merged);
    merged
}

/// Puts conditions into the order in which people read them: `Ready` first.
pub fn sort(conditions: &mut [Condition]) {
    conditions.sort_by(|a, b| rank(&a.type_).cmp(&rank(&b.type_)).then_with(|| a.type_.cmp(&b.type_)));
}

/// The condition of this type, if present.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    let name = kind.to_string();
    conditions.iter().find(|condition| condition.type_ == name)
}

fn rank(type_: &str) -> usize {
    use ConditionType::*;
    let order = [Ready, Reconciling, Stalled, SourceResolved, Built, Published, Attested, RolledOut, ImageWarnings];
    order.iter().position(|kind| kind.to_string() == type_).unwrap_or(order.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::jiff::Timestamp;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).expect("a valid second"))
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let first = merge(&[], &[Verdict::new(ConditionType::Built, Truth::False, Reason::CompileError, "a")], 1, &at(1));
        let same = merge(&first, &[Verdict::new(ConditionType::Built, Truth::False, Reason::Timeout, "b")], 2, &at(2));
        assert_eq!(same[0].last_transition_time, at(1));
        assert_eq!((same[0].reason.as_str(), same[0].observed_generation), ("Timeout", Some(2)));
        let moved = merge(&same, &[Verdict::new(ConditionType::Built, Truth::True, Reason::Succeeded, "c")], 2, &at(3));
        assert_eq!(moved[0].last_transition_time, at(3));
    }

    #[test]
    fn ready_comes_first_and_absent_verdicts_go() {
        let old = merge(&[], &[Verdict::new(ConditionType::Stalled, Truth::True, Reason::InvalidSpec, "")], 1, &at(1));
        let verdicts = [
            Verdict::new(ConditionType::RolledOut, Truth::True, Reason::Succeeded, ""),
            Verdict::new(ConditionType::Ready, Truth::True, Reason::Succeeded, ""),
        ];
        let types: Vec<_> = merge(&old, &verdicts, 1, &at(2)).into_iter().map(|c| c.type_).collect();
        assert_eq!(types, ["Ready", "RolledOut"]);
    }
}
