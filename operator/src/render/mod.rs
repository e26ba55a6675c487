//! Which objects does a plan consist of? Pure: from a [`crate::decide::Request`] and pinned inputs to Kubernetes objects.

mod builder;
pub mod compile;
pub mod dockerfile;
mod engine_buildkit;
mod engine_go;
mod engine_kaniko;
mod job;
mod modules;
mod names;
mod rollout;
pub mod savings;
mod stages;

pub use compile::Compile;
pub use job::{ASSEMBLE, BuildOrder, COMPILE, SOURCE, STAGES, cache_claim, job};
pub use modules::{AUTHORITY, Credentials, NETRC};
pub use names::{claim_name, job_name};
pub use rollout::deployment_image;
