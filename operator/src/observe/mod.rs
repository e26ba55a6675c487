//! What is the state of things? Reads only; owns the traits that the clients of the outside world implement.

mod build;
mod build_secrets;
mod builder;
mod cluster;
mod downloads;
mod guarded;
mod jobs;
mod logins;
mod memory;
mod netrc;
mod nodes;
mod outside;
mod placement;
mod refused_pods;
mod relay;
mod secrets;
mod standing;
mod test_output;
mod tested;
mod workload;
mod workspace;
mod world;

pub use build::{build, run};
pub(crate) use cluster::ours;
pub use cluster::{Cluster, ObserveError, Own, Stores};
pub use guarded::{Guarded, Unreadable};
pub use logins::Logins;
pub use memory::{Memory, OwnWrites};
pub use nodes::{NodeStore, Nodes, Sight, WINDOWS, WindowsNode, base_repositories, slim_node};
pub use outside::{Attested, Clouds, Git, Login, Miss, Registry, ResolvedBase, SecretData};
pub use placement::{Placement, Taint};
pub use relay::PART;
pub use standing::Standing;
pub use workload::{slim, workload};
pub use world::*;
