//! What does every pass share?

use super::{Metrics, Pacing};
use crate::act::Leadership;
use crate::observe::Cluster;
use gowindows_model::settings::Settings;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::events::Reporter;
use std::sync::Arc;

/// What time it is. The system's clock, or that of a simulation.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

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
    /// What time it is.
    pub clock: Clock,
    /// How often passes failed.
    pub pacing: Pacing,
    /// Asked before each write.
    pub leadership: Leadership,
}
