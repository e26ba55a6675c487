//! What do objects of the cluster say? From Jobs and pods to builds, from workloads to targets, from a compiler's output to a reason.
//!
//! Reads what it is given; whoever gives it asks the API server.

mod build;
mod builder;
mod builds;
mod downloads;
mod go_output;
mod known_errors;
mod ours;
mod pods;
pub(crate) mod proof;
mod queue;
mod relay;
mod source_facts;
mod starved;
mod target_pods;
mod test_output;
mod tested;
mod windows_node;
pub(crate) mod witness;

pub use build::{build, run};
pub use builds::builds;
pub use go_output::clip;
pub use known_errors::{KNOWN_ERRORS, KnownError, Pod, explained};
pub use ours::{claimed_owner, controls, role};
pub use pods::{compiles_in_its_pod, has_buildkitd, is_on_windows, slim_job};
pub use queue::queue;
pub use relay::relayed;
pub use target_pods::pod_trouble;
pub use tested::tested;
pub use windows_node::{base_repositories, runs_build, slim_node, unused_releases, windows_node};
