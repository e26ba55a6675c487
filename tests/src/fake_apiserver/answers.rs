//! How does the API server say no? As `metav1.Status`, with the codes, reasons and words that the operator reads.

use super::kinds::Kind;
use serde_json::{Value, json};

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP code.
    pub code: u16,
    /// `NotFound`, `AlreadyExists`, ...
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// Seconds of the `Retry-After` header.
    pub retry_after: Option<u32>,
}

impl Refusal {
    /// One without further details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), retry_after: None }
    }

    /// The `Status` object.
    pub fn body(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        })
    }

    pub(super) fn not_found_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub(super) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", kind.resource()))
    }

    pub(super) fn exists(kind: &Kind, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {name:?} already exists", kind.resource()))
    }

    /// An object that cannot be stored: the field and what is wrong with it.
    pub fn invalid(kind: &Kind, name: &str, why: &str) -> Self {
        Self::new(422, "Invalid", format!("{} {name:?} is invalid: {why}", kind.qualified()))
    }

    pub(super) fn conflicts(conflicts: &[String]) -> Self {
        let count = if conflicts.len() == 1 { "1 conflict".to_owned() } else { format!("{} conflicts", conflicts.len()) };
        Self::new(409, "Conflict", format!("Apply failed with {count}: {}", conflicts.join(", ")))
    }

    pub(super) fn uid_mismatch(kind: &Kind, name: &str, wanted: &str, there: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: Precondition failed: UID in precondition: {wanted}, UID in object meta: {there}",
            kind.resource()
        );
        Self::new(409, "Conflict", message)
    }

    pub(super) fn uid_mismatch_absent(kind: &Kind, name: &str, wanted: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: uid mismatch: the provided object specified uid {wanted}, and no existing object was found",
            kind.resource()
        );
        Self::new(409, "Conflict", message)
    }

    pub(super) fn version_conflict(kind: &Kind, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: the object has been modified; please apply your changes to the latest version and try again",
            kind.resource()
        );
        Self::new(409, "Conflict", message)
    }

    pub(super) fn terminating(kind: &Kind, namespace: &str, name: &str) -> Self {
        let message = format!(
            "{} {name:?} is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
            kind.resource()
        );
        Self::new(403, "Forbidden", message)
    }
}
