//! What is known of the outside world, and how sure is that? Failures to look are data.

use gowindows_crds::conditions::Reason;
use k8s_openapi::jiff::Timestamp;

/// A fact of the outside world. That it could not be learned is data, not an error.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Seen<T> {
    /// Nobody asked yet.
    #[default]
    NotAsked,
    /// As of this moment.
    Fresh(T, Timestamp),
    /// It was so before; the newest attempt to look failed.
    Stale(T, Trouble),
    /// It was never seen; the newest attempt to look failed.
    Unknown(Trouble),
}

/// Why something of the outside world could not be learned or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// For machines.
    pub reason: Reason,
    /// For people: what happened and what to do.
    pub message: String,
    /// When it was met.
    pub at: Timestamp,
    /// How often in a row.
    pub times: u32,
}

impl<T> Seen<T> {
    /// The value, fresh or stale.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Fresh(value, _) | Self::Stale(value, _) => Some(value),
            Self::NotAsked | Self::Unknown(_) => None,
        }
    }

    /// The newest trouble.
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Stale(_, trouble) | Self::Unknown(trouble) => Some(trouble),
            Self::NotAsked | Self::Fresh(..) => None,
        }
    }

    /// When the newest attempt to look was made.
    pub fn looked_at(&self) -> Option<Timestamp> {
        match self {
            Self::NotAsked => None,
            Self::Fresh(_, at) => Some(*at),
            Self::Stale(_, trouble) | Self::Unknown(trouble) => Some(trouble.at),
        }
    }
}
