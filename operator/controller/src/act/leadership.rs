//! May this process write? Asked before each write.

use tokio::sync::watch;
use tokio::time::Instant;

/// The right to write. By the clock of this process alone: it ends by itself where the Lease cannot be renewed.
#[derive(Clone, Debug)]
pub struct Leadership(Option<watch::Receiver<Instant>>);

/// Leadership that ended before a write. No failure: whoever leads now does what is left.
#[derive(Debug, thiserror::Error)]
#[error("this replica does not lead any more")]
pub struct NotLeading;

impl Leadership {
    /// For a process that is alone.
    pub fn always() -> Self {
        Self(None)
    }

    /// Until a time that the renewals of a Lease move.
    pub fn until(end: watch::Receiver<Instant>) -> Self {
        Self(Some(end))
    }

    /// Whether it is held now.
    pub fn holds(&self) -> bool {
        self.0.as_ref().is_none_or(|end| Instant::now() < *end.borrow())
    }

    /// The same, for `?`.
    pub(super) fn check(&self) -> Result<(), NotLeading> {
        if self.holds() { Ok(()) } else { Err(NotLeading) }
    }
}
