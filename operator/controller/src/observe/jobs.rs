//! Which Jobs are an object's, and why has one no pod?

use super::Cluster;
use super::refusals::said_of;
use gowindows_core::read::builds;
use gowindows_crds::{GoWindowsImage, names};
use gowindows_model::facts::{Build, BuildState};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};
use std::sync::Arc;

impl Cluster {
    /// The builds, each with its parts and its tests, and the parts and tests without a build.
    pub(super) fn builds(&self, object: &GoWindowsImage, now: Timestamp) -> (Vec<Build>, Vec<(String, Timestamp)>) {
        let pods = |job: &Job| job.uid().map(|uid| self.stores.pods.of(&uid, now)).unwrap_or_default();
        let (mut builds, orphans) = builds(&self.jobs(object, now), pods);
        self.explain_missing_pods(&mut builds, now);
        (builds, orphans)
    }

    /// The Jobs that are an object's, as watched and as written.
    fn jobs(&self, object: &GoWindowsImage, now: Timestamp) -> Vec<Arc<Job>> {
        let mut jobs = self.stores.jobs.of(&object.uid().unwrap_or_default(), now);
        // An owner of another namespace is none, whatever its uid.
        jobs.retain(|job| job.namespace() == object.namespace());
        jobs
    }

    /// Says why Jobs that may have a pod have none: the Job itself does not.
    fn explain_missing_pods(&self, builds: &mut [Build], now: Timestamp) {
        for build in builds {
            let tests = build.tests.as_mut().and_then(|tests| tests.run.as_mut());
            let runs = [(&mut build.state, build.current.as_ref())].into_iter();
            for (state, current) in runs.chain(tests.map(|run| (&mut run.state, run.current.as_ref()))) {
                let lacks = current.filter(|current| !current.has_pod && current.since.is_some());
                if let (BuildState::Queued(None), Some(current)) = (&*state, lacks) {
                    *state = BuildState::Queued(said_of(&self.stores.refusals.of(&current.uid, now)));
                }
            }
        }
    }
}

/// Under this key, beside their objects', are the Jobs that were made to queue for a slot.
pub(crate) const QUEUED: &str = "queued";

/// To which object a Job belongs: the label is for selection; only the uid of the controlling owner proves it.
pub(crate) fn object_of_job(job: &Job) -> Vec<String> {
    let object = controller(job).filter(|owner| owner.kind == GoWindowsImage::kind(&())).map(|owner| owner.uid.clone());
    let queued = job.annotations().contains_key(names::ANNOTATION_QUEUED).then(|| QUEUED.to_owned());
    object.into_iter().chain(queued).collect()
}

/// To which Job a pod belongs.
pub(crate) fn jobs_of_pod(pod: &Pod) -> Vec<String> {
    pod.owner_references().iter().map(|owner| owner.uid.clone()).collect()
}

/// The owner that controls an object.
pub(super) fn controller(object: &impl ResourceExt) -> Option<&OwnerReference> {
    object.owner_references().iter().find(|owner| owner.controller == Some(true))
}
