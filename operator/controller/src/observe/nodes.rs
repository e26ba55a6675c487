//! Which Windows nodes are there? The watched ones, where they may be seen.
//!
//! Nothing here starts a pass: what nodes do is no cause of a build.

use gowindows_core::read::windows_node;
use gowindows_model::facts::{Nodes, WindowsNode};
use k8s_openapi::api::core::v1::Node;
use kube::runtime::reflector::Store;
use tokio::sync::watch;

/// Selects them.
pub const WINDOWS: &str = "kubernetes.io/os=windows";

/// Whether the nodes can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// The first list has not come yet.
    Opening,
    /// They are in the store.
    Open,
    /// The API server refuses to show them.
    Refused(String),
}

/// The watched nodes.
#[derive(Clone)]
pub struct NodeStore {
    /// What was listed last.
    pub store: Store<Node>,
    /// Whether that counts.
    pub availability: watch::Receiver<Availability>,
}

impl NodeStore {
    /// Waits until they are seen, or cannot be.
    pub(crate) async fn ready(&self) {
        // An error means that nobody will look any more: the operator stops.
        let _ = self.availability.clone().wait_for(|availability| *availability != Availability::Opening).await;
    }

    /// The nodes at this moment.
    pub(super) fn nodes(&self) -> Nodes {
        match &*self.availability.borrow() {
            Availability::Opening => Nodes::Hidden("they have not been listed yet".into()),
            Availability::Refused(why) => Nodes::Hidden(why.clone()),
            Availability::Open => {
                let mut nodes: Vec<WindowsNode> = self.store.state().iter().filter_map(|node| windows_node(node)).collect();
                nodes.sort_by(|a, b| a.name.cmp(&b.name));
                Nodes::Seen(nodes)
            }
        }
    }
}
