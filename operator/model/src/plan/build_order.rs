//! What is a build started with? All of it, decided: Kubernetes objects are rendered from it right before they are written.

use crate::go::Credentials;
use crate::inputs::Inputs;
use crate::request::Request;
use crate::wire::assemble::ReusedProgram;
use gowindows_crds::v1alpha1::MemoryStatus;
use std::sync::Arc;

/// One attempt at a build.
#[derive(Clone, Debug, PartialEq)]
pub struct BuildOrder {
    /// Name of the Job that is the build.
    pub job: String,
    /// What the specification asks for, with the memory that this attempt gets.
    pub request: Arc<Request>,
    /// The pinned inputs.
    pub inputs: Inputs,
    /// Which attempt at them, from 1.
    pub attempt: i32,
    /// Why, as `Cause: evidence`.
    pub cause: String,
    /// The rebuild token that asked for it.
    pub rebuild_token: Option<String>,
    /// The image whose program is taken over: then nothing is compiled.
    pub reused_program: Option<ReusedProgram>,
    /// The image waits for tests, which run in a Job of their own.
    pub gated: bool,
    /// The memory of what compiles and tests, for people and for the next build; none where nothing does.
    pub memory: Option<MemoryStatus>,
    /// The keys of the Secret for git, where the object names one: these are mounted.
    pub git_keys: Vec<String>,
    /// For private modules, where the object names a Secret with some.
    pub credentials: Option<Credentials>,
    /// The Windows nodes that compile, where Windows nodes do.
    pub nodes: AllowedNodes,
    /// Those that test.
    pub test_nodes: AllowedNodes,
    /// Its Jobs queue for slots where their number is limited.
    pub queued: Queued,
}

/// The Windows nodes that a pod may run on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedNodes {
    /// Those of these versions, three parts each; all where none is known.
    pub versions: Vec<String>,
    /// Those of these host names; all where none is named.
    pub hosts: Vec<String>,
}

/// On the nodes of which systems Jobs wait for a slot before they begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// Linux.
    pub linux: bool,
    /// Windows.
    pub windows: bool,
}
