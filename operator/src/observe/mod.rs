//! What is the state of things? Reads only; owns the traits that the clients of the outside world implement.

mod build;
mod build_secrets;
mod builder;
mod builds;
mod claims;
mod cluster;
mod downloads;
mod facts;
mod go_output;
mod guarded;
mod jobs;
mod line;
mod logins;
mod memory;
mod netrc;
mod nodes;
mod outside;
mod pods;
mod queue;
mod refused_pods;
mod relay;
mod secrets;
mod standing;
mod starved;
mod test_output;
mod tested;
mod windows_node;
mod workload;

pub use build::{build, run};
pub(crate) use cluster::ours;
pub use cluster::{Cluster, ObserveError, Own, Stores};
pub use guarded::{Guarded, Unreadable};
pub use logins::Logins;
pub use memory::{Memory, OwnWrites};
pub use nodes::{NodeStore, Sight, WINDOWS};
pub use outside::{Clouds, Git, Login, Miss, Registry, SecretData};
pub use pods::{compiles_in_its_pod, has_buildkitd, is_on_windows};
pub use relay::{PART, relayed};
pub use standing::Standing;
pub use starved::EVICTED;
pub use tested::tested;
pub use windows_node::{base_repositories, slim_node};
pub use workload::{slim, workload};

pub use crate::facts::*;
