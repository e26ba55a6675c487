//! What are the stages of a build called, and where do they find what they leave for each other? Whoever renders pods, runs in them or reads
//! what has become of them asks here.

/// Name of the first stage and its container.
pub const SOURCE: &str = "source";
/// Name of the second stage and its container.
pub const COMPILE: &str = "compile";
/// Name of the container that brings what the second stage runs, where that is not in its image. It is a part of that stage.
pub const EXECUTOR: &str = "executor";
/// Name of the third stage and its container.
pub const ASSEMBLE: &str = "assemble";
/// Name of the stage that tests, in a pod of its own, and its container.
pub const TEST: &str = "test";
/// Name of the stage before what compiles or tests, where private modules are needed, and its container.
pub const MODULES: &str = "modules";
/// The stages in order.
pub const STAGES: [&str; 5] = [SOURCE, MODULES, COMPILE, ASSEMBLE, TEST];

/// What starts a buildkitd and runs `buildctl`, in BuildKit's own images.
pub const DAEMONLESS: &str = "buildctl-daemonless.sh";
/// Where that buildkitd reads its settings, which the source stage writes from the operator's.
pub const BUILDKITD_SETTINGS: &str = "/gowindows/context/buildkitd/buildkitd.toml";
