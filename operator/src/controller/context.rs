//! What does every pass share?

use super::Metrics;
use crate::observe::Cluster;
use crate::settings::Settings;
use kube::runtime::events::Reporter;
use std::sync::Arc;

/// Shared by all passes of a controller.
pub struct Context {
    /// Everything that is needed to observe, and the client to write with.
    pub cluster: Cluster,
    /// The operator's settings.
    pub settings: Arc<Settings>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who events are from.
    pub reporter: Reporter,
}
