//! Which objects does a plan consist of? Pure: from a [`crate::decide::Request`] and pinned inputs to Kubernetes objects.

pub mod compile;
mod engine_go;
mod names;
mod rollout;
pub mod savings;

pub use compile::Compile;
pub use engine_go::{ASSEMBLE, BuildOrder, COMPILE, SOURCE, STAGES, cache_claim, job};
pub use names::{claim_name, job_name};
pub use rollout::deployment_image;
