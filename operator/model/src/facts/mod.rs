//! What is known at the start of a pass? Data, and what follows from it by itself.

mod build;
mod nodes;
mod order;
mod placement;
mod queue;
mod seen;
mod workload;
mod world;

pub use self::build::*;
pub use nodes::{Nodes, WindowsNode};
pub use order::Order;
pub use placement::{BUILD_LABEL, HOST_LABEL, Placement, SYSTEM_LABEL, Taint};
pub use queue::{Place, Queue, QueuedJob};
pub use seen::{Seen, Trouble};
pub use workload::{PodTrouble, Workload, WorkloadContainer};
pub use world::{Answers, Attested, GitLogin, ModulesLogin, Published, ResolvedBase, Revision, World};
