//! Which families of Windows base images are there?

use serde::{Deserialize, Serialize};

/// A family of base images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub enum Flavor {
    /// Nano Server: small, enough for nearly every Go program.
    #[default]
    NanoServer,
    /// Server Core: has the Windows APIs that Nano Server lacks.
    ServerCore,
}
