//! What is the state of things? Reads only: the watched stores, Secrets, claims, and the outside world through the ports.

mod build_secrets;
mod claims;
mod cluster;
mod freshness;
mod guarded;
mod identities;
mod jobs;
mod logins;
mod memory;
mod netrc;
mod nodes;
mod queue;
mod refused_pods;
mod secrets;

pub(crate) use cluster::ours;
pub use cluster::{Cluster, ObserveError, RecentWrites, Stores};
pub use freshness::Freshness;
pub use guarded::{Guarded, Unreadable};
pub use identities::Identities;
pub use logins::Logins;
pub use memory::{Memory, OwnWrites};
pub use nodes::{Availability, NodeStore, WINDOWS};
