//! What of a node outlives the process that plays it, when that one crashes?

use std::{fmt, path::PathBuf};

use anyhow::Result;

/// Something that stays on the machine until somebody takes it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// A program, by its process id.
    Process(u32),
    /// A mount point.
    Mount(PathBuf),
    /// A named network namespace, as in `/run/netns/<name>`.
    Netns(String),
}

/// Where a node notes these, before or right after it makes them. Whoever starts the node keeps the record, and takes away by it what a crash
/// has left.
pub trait Record: fmt::Debug + Send + Sync {
    /// Appends one.
    fn note(&self, leftover: Leftover) -> Result<()>;
}
