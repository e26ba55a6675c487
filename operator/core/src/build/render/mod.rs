//! With which Kubernetes objects is a build's order carried out? Rendered right before they are written.

mod builder;
mod engine_buildkit;
mod engine_buildkit_in_pod;
mod engine_go;
mod engine_kaniko;
mod job;
mod modules;
mod relay;
mod stages;
mod test_job;
mod windows_pod;
mod workspace;

pub(super) use windows_pod::tolerations as windows_tolerations;

use crate::read::is_on_windows;
use gowindows_crds::{GoWindowsImage, names};
use gowindows_model::plan::{BuildOrder, Queued};
use gowindows_model::settings::Settings;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube_core::ResourceExt;

/// The objects of one attempt at a build, in the order in which they are created: a build that is there was created whole.
pub struct Objects {
    /// The claims of the object's own caches.
    pub claims: Vec<PersistentVolumeClaim>,
    /// The Jobs. The last one is the build; those of its tests come first.
    pub jobs: Vec<Job>,
}

/// What an order is carried out with. The same order for the same object gives the same objects.
pub fn objects(object: &GoWindowsImage, settings: &Settings, order: &BuildOrder) -> Objects {
    let request = &order.request;
    let (mut claims, mut jobs) = (Vec::from_iter(job::cache_claim(object, request)), Vec::new());
    if order.gated {
        claims.extend(job::test_cache_claim(object, request));
        jobs.extend(test_job::test_jobs(object, request, settings, order));
    }
    jobs.extend(relay::build_jobs(object, request, settings, order));
    jobs.iter_mut().for_each(|job| enqueue(job, order.queued));
    Objects { claims, jobs }
}

/// Has a Job wait for a slot, where they are limited.
fn enqueue(job: &mut Job, queued: Queued) {
    let (waits, name) = if is_on_windows(job) { (queued.windows, "windows") } else { (queued.linux, "linux") };
    if waits {
        job.annotations_mut().insert(names::ANNOTATION_QUEUED.to_owned(), name.to_owned());
        job.spec.get_or_insert_default().suspend = Some(true);
    }
}
