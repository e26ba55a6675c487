//! What is the state of things? Reads only: the watched stores, Secrets, claims, and the outside world through the ports.

mod build_secrets;
mod claims;
mod cluster;
mod guarded;
mod identities;
mod jobs;
mod line;
mod logins;
mod memory;
mod netrc;
mod nodes;
mod refused_pods;
mod secrets;
mod standing;

pub(crate) use cluster::ours;
pub use cluster::{Cluster, ObserveError, Own, Stores};
pub use guarded::{Guarded, Unreadable};
pub use identities::Identities;
pub use logins::Logins;
pub use memory::{Memory, OwnWrites};
pub use nodes::{NodeStore, Sight, WINDOWS};
pub use standing::Standing;
