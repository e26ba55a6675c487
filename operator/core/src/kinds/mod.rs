//! How is a kind of workload read and written? One implementation for each kind; what else names kinds is
//! listed in docs/architecture.md ("a kind of target").

mod deployment;

use gowindows_model::facts::Workload;
use gowindows_model::plan::Roll;
use kube_core::Resource;
use serde_json::Value;

/// A kind of workload that can be a target.
pub trait Kind: Resource {
    /// The workload that an object is, without its pods' troubles.
    fn read(&self) -> Workload;

    /// Drops all that [`Kind::read`] does not read: stores hold every object of the cluster.
    fn slim(&mut self);

    /// The patch that writes an image into a container, for server-side apply: the identity of the workload and one field. A typed struct
    /// would claim every required field of its type. The uid makes it fail on a workload that was recreated meanwhile.
    fn patch(namespace: &str, roll: &Roll) -> Value;
}
