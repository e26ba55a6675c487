//! Which objects does a plan consist of? Pure: from a [`crate::decide::Request`] and pinned inputs to Kubernetes objects.

mod builder;
pub mod compile;
mod credentials;
pub mod dockerfile;
mod engine_buildkit;
mod engine_buildkit_in_pod;
mod engine_go;
mod engine_kaniko;
mod job;
mod modules;
mod names;
mod relay;
mod rollout;
pub mod savings;
mod stages;
mod test_job;
mod windows_pod;
mod workspace;

pub use compile::Compile;
pub use credentials::{AUTHORITY, Credentials, NETRC};
pub use job::{BuildOrder, cache_claim, job, test_cache_claim};
pub use names::{claim_name, job_name, part_name, test_claim_name, test_job_name};
pub use relay::build_jobs;
pub use rollout::deployment_image;
pub use test_job::test_jobs;
pub use windows_pod::KeptOn;
pub(crate) use windows_pod::tolerations as windows_tolerations;
