//! On which operating system does an image builder run its commands?

use serde::{Deserialize, Serialize};

/// An operating system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Linux.
    #[default]
    Linux,
    /// Windows.
    Windows,
}
