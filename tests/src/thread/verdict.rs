//! What does a status say, in one word?

use gowindows_crds::conditions::{ConditionType, Reason, find};
use gowindows_crds::v1alpha1::{BuildPhase, GoWindowsImageStatus, RolloutPhase};

/// The newest image runs in every target.
pub fn is_rolled_out(status: &GoWindowsImageStatus) -> bool {
    let rollout = status.rollout.as_ref().filter(|rollout| rollout.phase == RolloutPhase::Complete);
    status.image.as_ref().zip(rollout).is_some_and(|(image, rollout)| image.digest == rollout.digest)
}

/// `Ready` is true, and the newest image runs in every target.
pub fn is_ready(status: &GoWindowsImageStatus) -> bool {
    is_true(status, ConditionType::Ready) && is_rolled_out(status)
}

/// The object is ready on an image of this commit.
pub fn is_ready_on(status: &GoWindowsImageStatus, commit: &str) -> bool {
    let revision = status.image.as_ref().and_then(|image| image.revision.as_ref());
    is_ready(status) && revision.is_some_and(|revision| revision.ends_with(commit))
}

/// A condition is true.
pub fn is_true(status: &GoWindowsImageStatus, kind: ConditionType) -> bool {
    find(&status.conditions, kind).is_some_and(|condition| condition.status == "True")
}

/// A condition is false, or unknown, for this reason.
pub fn is_for(status: &GoWindowsImageStatus, kind: ConditionType, reason: Reason) -> bool {
    find(&status.conditions, kind).is_some_and(|condition| condition.status != "True" && condition.reason == reason.to_string())
}

/// What a condition says; empty where there is none.
pub fn message(status: &GoWindowsImageStatus, kind: ConditionType) -> String {
    find(&status.conditions, kind).map(|condition| condition.message.clone()).unwrap_or_default()
}

/// Its compiler runs at this moment.
pub fn compiles(status: &GoWindowsImageStatus) -> bool {
    let build = status.build.as_ref().filter(|build| build.phase == BuildPhase::Running);
    let mut stages = build.into_iter().flat_map(|build| &build.stages);
    stages.any(|stage| stage.name == "compile" && stage.started_at.is_some() && stage.finished_at.is_none())
}
