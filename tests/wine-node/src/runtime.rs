//! What does the node agent ask of whatever runs the containers?
//!
//! The seam between a kubelet and its runtime, cut down to what the agent needs. [`crate::Wine`] runs real programs,
//! [`crate::Paper`] only says so.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use futures::future::BoxFuture;

use crate::{
    command::CommandLine,
    images::{Image, Images},
};

/// A container runtime.
pub trait Runtime: Send + Sync + 'static {
    /// Makes what the containers of a pod share. `name` is its host name, `uid` tells it from all others.
    fn sandbox<'a>(&'a self, name: &'a str, uid: &'a str) -> BoxFuture<'a, Result<Box<dyn Sandbox>>>;

    /// The images that are present.
    fn images(&self) -> &Images;

    /// Whether somebody listens at the pods' addresses. If not, a program that runs counts as well without being asked.
    fn listens(&self) -> bool {
        true
    }
}

/// What the containers of one pod share. Dropping it ends it roughly.
pub trait Sandbox: Send + Sync {
    /// The pod's address.
    fn ip(&self) -> IpAddr;

    /// Makes a container that is not started yet.
    fn create(&self, container: NewContainer) -> Result<Box<dyn Container>>;

    /// Ends it and waits until nothing is left.
    fn remove(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}

/// A container. Dropping it kills what runs in it and removes its disk.
pub trait Container: Send {
    /// Starts the program.
    fn start(&mut self) -> BoxFuture<'_, Result<()>>;

    /// Waits for the program's end and gives its exit code. May be given up and called again.
    fn wait(&mut self) -> BoxFuture<'_, Result<i32>>;

    /// Asks the program to end, kills it after `grace`, and gives its exit code.
    fn stop(&mut self, grace: Duration) -> BoxFuture<'_, Result<i32>>;

    /// What the program wrote to its termination log at the Windows path `path`.
    fn termination_message(&self, path: &str) -> Option<String>;
}

/// What a new container is made of.
#[derive(Clone, Debug)]
pub struct NewContainer {
    /// Unlike any other on this node.
    pub id: String,
    /// How many containers of the same name in the same pod there were before it.
    pub restarts: i32,
    /// What it is started from.
    pub image: Arc<Image>,
    /// What it runs.
    pub line: CommandLine,
    /// The folders of the host that it sees, by the Windows path where it sees them.
    pub mounts: BTreeMap<String, PathBuf>,
    /// The Windows path of its termination log.
    pub termination_log: String,
    /// The file that gets what the program writes.
    pub log: PathBuf,
}
