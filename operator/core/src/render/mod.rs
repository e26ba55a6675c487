//! Which objects does a plan consist of? Pure: from a [`gowindows_model::request::Request`] and pinned inputs to Kubernetes objects.

mod builder;
mod engine_buildkit;
mod engine_buildkit_in_pod;
mod engine_go;
mod engine_kaniko;
mod job;
mod modules;
mod relay;
mod rollout;
mod stages;
mod test_job;
mod windows_pod;
mod workspace;

pub use job::{BuildOrder, cache_claim, job, test_cache_claim};
pub use relay::build_jobs;
pub use rollout::deployment_image;
pub use test_job::test_jobs;
pub use windows_pod::KeptOn;
pub(crate) use windows_pod::tolerations as windows_tolerations;
