//! Which Jobs are an object's, and why has one no pod?

use super::Cluster;
use super::refusals::said_of;
use super::watched::KEPT;
use gowindows_core::read::{builds, claimed_owner, controls};
use gowindows_crds::{GoWindowsImage, names};
use gowindows_model::facts::{Build, BuildState, World};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use std::sync::Arc;
use std::time::Duration;

impl Cluster {
    /// The builds, each with its parts and its tests, and the parts and tests without a build.
    pub(super) fn builds(&self, object: &GoWindowsImage, now: Timestamp) -> (Vec<Build>, Vec<(String, Timestamp)>) {
        let pods = |job: &Job| {
            let mut pods = job.uid().map(|uid| self.stores.pods.of(&uid, now)).unwrap_or_default();
            pods.retain(|pod| controls(job, &pod.metadata));
            pods
        };
        let (mut builds, orphans) = builds(&self.jobs(object, now), pods);
        self.explain_missing_pods(object, &mut builds, now);
        (builds, orphans)
    }

    /// Whether a Job is one of its object's builds now.
    pub fn sees_build(&self, world: &World, job: &str) -> bool {
        self.builds(&world.object, world.now).0.iter().any(|build| build.job == job)
    }

    /// How long until nothing is known any more by own writes alone that no watch has shown; none where there are no such writes. A write that
    /// no event follows is of a Job that is gone, and nobody else would look.
    pub fn writes_expire(&self, world: &World) -> Option<Duration> {
        self.stores.jobs.unseen(&world.object.uid().unwrap_or_default()).then_some(KEPT)
    }

    /// The Jobs that are an object's, as watched and as written.
    fn jobs(&self, object: &GoWindowsImage, now: Timestamp) -> Vec<Arc<Job>> {
        let mut jobs = self.stores.jobs.of(&object.uid().unwrap_or_default(), now);
        jobs.retain(|job| controls(object, &job.metadata));
        jobs
    }

    /// Says why Jobs that may have a pod have none: the Job itself does not.
    fn explain_missing_pods(&self, object: &GoWindowsImage, builds: &mut [Build], now: Timestamp) {
        let said_of = |job: &str| {
            let mut events = self.stores.refusals.of(job, now);
            // Anybody may publish an event in his own namespace about a Job of another one.
            events.retain(|event| event.namespace() == object.namespace());
            said_of(&events)
        };
        for build in builds {
            let tests = build.tests.as_mut().and_then(|tests| tests.run.as_mut());
            let runs = [(&mut build.state, build.current.as_ref())].into_iter();
            for (state, current) in runs.chain(tests.map(|run| (&mut run.state, run.current.as_ref()))) {
                let lacks = current.filter(|current| !current.has_pod && current.since.is_some());
                if let (BuildState::Queued(None), Some(current)) = (&*state, lacks) {
                    *state = BuildState::Queued(said_of(&current.uid));
                }
            }
        }
    }
}

/// Under this key, beside their objects', are the Jobs that wait for a slot.
pub(crate) const QUEUED: &str = "queued";

/// To which object a Job says that it belongs.
pub(crate) fn object_of_job(job: &Job) -> Vec<String> {
    let object = claimed_owner::<GoWindowsImage>(&job.metadata).map(|(_, uid)| uid.to_owned());
    let waits = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true) && job.annotations().contains_key(names::ANNOTATION_QUEUED);
    let queued = waits.then(|| QUEUED.to_owned());
    object.into_iter().chain(queued).collect()
}

/// To which Job a pod says that it belongs.
pub(crate) fn jobs_of_pod(pod: &Pod) -> Vec<String> {
    claimed_owner::<Job>(&pod.metadata).map(|(_, uid)| uid.to_owned()).into_iter().collect()
}
