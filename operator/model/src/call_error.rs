//! What is known of a call that failed: to git, a registry, a cloud, or the API server?

use gowindows_crds::conditions::Reason;

/// Why something of the outside world could not be learned or done, as one client met it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// For machines.
    pub reason: Reason,
    /// For people: what happened and what to do.
    pub message: String,
}
