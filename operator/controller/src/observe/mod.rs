//! What is the state of things? Reads only: the watched stores, Secrets, claims, and the outside world through the ports.

mod answers;
mod books;
mod build_secrets;
mod claims;
mod cluster;
mod freshness;
mod git_logins;
mod guarded;
mod identities;
mod index;
mod jobs;
mod logins;
mod memory;
mod netrc;
mod nodes;
mod outside;
mod queue;
mod refusals;
mod secrets;
mod watched;

pub use cluster::{Cluster, ObserveError, Stores};
pub(crate) use cluster::{ours, target_key};
pub use freshness::Freshness;
pub use guarded::{Guarded, Unreadable};
pub use identities::Identities;
pub(crate) use jobs::{QUEUED, jobs_of_pod, object_of_job};
pub use logins::Logins;
pub use memory::Memory;
pub(crate) use nodes::seen_in;
pub use nodes::{NodeStore, WINDOWS};
pub use outside::{Outside, Seat};
pub use queue::Places;
pub use refusals::REFUSED_PODS;
pub(crate) use refusals::{job_of_event, slim_event};
pub use watched::Watched;
