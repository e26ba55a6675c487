//! Which events tell what changed between two statuses? Derived from the difference, so that a pass that is repeated
//! tells nothing twice.

use crate::wording::{short_digest, short_revision};
use gowindows_crds::conditions::{ConditionType, Reason, find};
use gowindows_crds::v1alpha1::{BuildPhase, GoWindowsImageStatus, RolloutPhase};

/// An event before it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// A warning, not a normal event.
    pub warning: bool,
    /// CamelCase, stable.
    pub reason: String,
    /// What was being done: `Build`, `Publish`, `Rollout`, `Resolve`, `Validate`.
    pub action: &'static str,
    /// For people.
    pub message: String,
}

/// What changed, in the order in which it happened.
pub fn notices(before: &GoWindowsImageStatus, after: &GoWindowsImageStatus) -> Vec<Notice> {
    let mut notices = Vec::new();
    notices.extend(build_started(before, after));
    notices.extend(trouble(before, after, ConditionType::Stalled, "Validate", "True"));
    notices.extend(trouble(before, after, ConditionType::SourceResolved, "Resolve", "False"));
    notices.extend(trouble(before, after, ConditionType::Built, "Build", "False"));
    notices.extend(published(before, after));
    notices.extend(trouble(before, after, ConditionType::Published, "Publish", "False"));
    notices.extend(trouble(before, after, ConditionType::Attested, "Attest", "False"));
    notices.extend(rolled_out(before, after));
    notices.extend(trouble(before, after, ConditionType::RolledOut, "Rollout", "False"));
    notices
}

fn normal(reason: &str, action: &'static str, message: String) -> Notice {
    Notice { warning: false, reason: reason.to_owned(), action, message }
}

fn build_started(before: &GoWindowsImageStatus, after: &GoWindowsImageStatus) -> Option<Notice> {
    let build = after.build.as_ref().filter(|build| matches!(build.phase, BuildPhase::Queued | BuildPhase::Running))?;
    let known = before.build.as_ref().is_some_and(|old| old.job == build.job);
    let cause = build.cause.clone().unwrap_or_default();
    (!known).then(|| normal("BuildStarted", "Build", format!("Job {} (attempt {}) was created. {cause}", build.job, build.attempt)))
}

fn published(before: &GoWindowsImageStatus, after: &GoWindowsImageStatus) -> Option<Notice> {
    let image = after.image.as_ref()?;
    let same = before.image.as_ref().is_some_and(|old| old.digest == image.digest);
    let revision = image.revision.as_deref().map(short_revision).unwrap_or_default();
    (!same).then(|| normal("Published", "Publish", format!("{revision} is published as {}", image.reference)))
}

fn rolled_out(before: &GoWindowsImageStatus, after: &GoWindowsImageStatus) -> Option<Notice> {
    let rollout = after.rollout.as_ref()?;
    let old = before.rollout.as_ref().filter(|old| old.digest == rollout.digest).map(|old| old.phase);
    let digest = short_digest(&rollout.digest);
    match (old, rollout.phase) {
        (Some(old), new) if old == new => None,
        (_, RolloutPhase::Progressing) => Some(normal("RolloutStarted", "Rollout", format!("Targets are moving to {digest}"))),
        (_, RolloutPhase::Complete) => Some(normal("RolloutComplete", "Rollout", format!("Every target runs {digest}"))),
        _ => None,
    }
}

/// A condition that turned bad, or that is bad for another reason than before.
fn trouble(
    before: &GoWindowsImageStatus,
    after: &GoWindowsImageStatus,
    kind: ConditionType,
    action: &'static str,
    bad: &str,
) -> Option<Notice> {
    let now = find(&after.conditions, kind).filter(|condition| condition.status == bad)?;
    let known = find(&before.conditions, kind).is_some_and(|old| old.status == now.status && old.reason == now.reason);
    // A stalled object tells through the condition that stalls it, except where that is the specification.
    let told = kind == ConditionType::Stalled
        && ![Reason::InvalidSpec, Reason::NotConfigured].iter().any(|reason| reason.to_string() == now.reason);
    (!known && !told).then(|| Notice { warning: true, reason: now.reason.clone(), action, message: now.message.clone() })
}
