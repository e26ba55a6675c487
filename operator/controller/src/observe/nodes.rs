//! Which Windows nodes are there? The watched ones, where they may be seen.
//!
//! Nothing here starts a pass: what nodes do is no cause of a build.

use gowindows_core::read::windows_node;
use gowindows_model::facts::{Nodes, WindowsNode};
use k8s_openapi::api::core::v1::Node;
use kube::runtime::reflector::Store;
use std::sync::Arc;
use tokio::sync::watch;

/// Selects them.
pub const WINDOWS: &str = "kubernetes.io/os=windows";

/// The nodes as they were shown last; none before the first list.
#[derive(Clone)]
pub struct NodeStore(pub(crate) watch::Receiver<Option<Arc<Nodes>>>);

impl NodeStore {
    /// Waits until they are seen, or cannot be.
    pub(crate) async fn ready(&self) {
        // An error means that nobody will look any more: the operator stops.
        let _ = self.0.clone().wait_for(Option::is_some).await;
    }

    /// The nodes at this moment.
    pub(super) fn nodes(&self) -> Arc<Nodes> {
        let seen = self.0.borrow().clone();
        seen.unwrap_or_else(|| Arc::new(Nodes::Hidden("they have not been listed yet".into())))
    }
}

/// What a store of slim nodes shows, by name.
pub(crate) fn seen_in(store: &Store<Node>) -> Nodes {
    let mut nodes: Vec<WindowsNode> = store.state().iter().filter_map(|node| windows_node(node)).collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    Nodes::Seen(nodes)
}
