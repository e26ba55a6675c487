//! Which Jobs of builds run, and which queue for a slot? Those of all objects together.

use gowindows_crds::v1alpha1::NodeSystem;
use k8s_openapi::jiff::Timestamp;

/// The Jobs that run or queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Queue {
    /// In no order.
    pub jobs: Vec<QueuedJob>,
}

/// A Job that runs or queues.
#[derive(Clone, Debug, PartialEq)]
pub struct QueuedJob {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub job: String,
    /// Which nodes it is for.
    pub system: NodeSystem,
    /// When it was created.
    pub created: Timestamp,
    /// It may have a pod.
    pub runs: bool,
}

/// Where a Job stands in the queue for the nodes of its system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub position: usize,
    /// How many wait, itself among them.
    pub waiting: usize,
    /// How many run.
    pub running: usize,
    /// Which nodes they are for.
    pub system: NodeSystem,
}
