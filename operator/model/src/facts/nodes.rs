//! What is known of the Windows nodes?

use super::Taint;

/// The Windows nodes, as far as they can be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nodes {
    /// They cannot be seen, and why.
    Hidden(String),
    /// All of them, by name.
    Seen(Vec<WindowsNode>),
}

/// A node that takes Windows pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowsNode {
    /// Its name.
    pub name: String,
    /// Its version of Windows, four parts. Example: `10.0.20348.5499`.
    pub os_version: String,
    /// The base images that it has, as the kubelet names them: each by digest and by tags.
    pub images: Vec<Vec<String>>,
    /// What keeps pods off it that do not tolerate it.
    pub taints: Vec<Taint>,
    /// Its name as a label.
    pub host: String,
    /// What runs its containers, as the kubelet says. Example: `containerd://1.7.27`.
    pub runtime: String,
}
