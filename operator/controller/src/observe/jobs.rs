//! Which Jobs are an object's, and why has one no pod?

use super::Cluster;
use super::refused_pods;
use gowindows_core::read::builds;
use gowindows_crds::GoWindowsImage;
use gowindows_model::facts::{Build, BuildState};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use std::sync::Arc;

/// So long after it may have a pod, a Job without one is asked why.
const POD: SignedDuration = SignedDuration::from_secs(5);

impl Cluster {
    /// The builds, each with its parts and its tests, and the parts and tests without a build.
    pub(super) async fn builds(&self, object: &GoWindowsImage, now: Timestamp) -> (Vec<Build>, Vec<(String, Timestamp)>) {
        let pods = self.stores.pods.state();
        let (mut builds, orphans) = builds(&self.jobs(object, now), |job| pods_of(&pods, job));
        self.ask_for_pods(object, &mut builds, now).await;
        (builds, orphans)
    }

    /// The Jobs that are an object's, as watched and as written.
    fn jobs(&self, object: &GoWindowsImage, now: Timestamp) -> Vec<Arc<Job>> {
        let (namespace, uid) = (object.namespace().unwrap_or_default(), object.uid().unwrap_or_default());
        let owned = |job: &Arc<Job>| {
            let controller = job.owner_references().iter().find(|owner| owner.controller == Some(true));
            // The label is for selection; only the owner's uid proves that a Job is this object's.
            job.namespace().as_deref() == Some(&namespace)
                && controller.is_some_and(|owner| owner.uid == uid && owner.kind == "GoWindowsImage")
        };
        let stored = self.stores.jobs.state();
        let mut names: Vec<String> = stored.iter().filter(|job| owned(job)).map(|job| job.name_any()).collect();
        names.extend(self.own.jobs.names(&namespace));
        names.sort();
        names.dedup();
        let jobs = names.into_iter().filter_map(|name| {
            let stored = self.stores.jobs.get(&ObjectRef::new(&name).within(&namespace));
            self.own.jobs.newer(&namespace, &name, stored, now)
        });
        jobs.filter(owned).collect()
    }

    /// Finds out why Jobs that should have a pod have none.
    async fn ask_for_pods(&self, object: &GoWindowsImage, builds: &mut [Build], now: Timestamp) {
        let namespace = object.namespace().unwrap_or_default();
        for build in builds {
            let tests = build.tests.as_mut().and_then(|tests| tests.run.as_mut());
            let runs = [(&mut build.state, build.current.as_ref())].into_iter();
            for (state, current) in runs.chain(tests.map(|run| (&mut run.state, run.current.as_ref()))) {
                let is_late = |since: Timestamp| now.duration_since(since) > POD;
                let late = current.filter(|current| !current.has_pod && current.since.is_some_and(is_late));
                if let (BuildState::Queued(None), Some(current)) = (&*state, late) {
                    *state = BuildState::Queued(refused_pods::refusal(&self.client, &namespace, &current.uid).await);
                }
            }
        }
    }
}

fn pods_of(pods: &[Arc<Pod>], job: &Job) -> Vec<Arc<Pod>> {
    let Some(uid) = job.uid() else { return Vec::new() };
    pods.iter().filter(|pod| pod.owner_references().iter().any(|owner| owner.uid == uid)).cloned().collect()
}
