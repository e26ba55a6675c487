//! Which Jobs of builds run, and which queue for a slot? Those of all objects together, as watched or as the API server has them.

use super::cluster::API_DEADLINE;
use super::{Cluster, ObserveError, ours};
use gowindows_core::read::queue;
use gowindows_crds::names;
use gowindows_model::facts::Queue;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Cluster {
    /// As watched and as written.
    pub(super) fn queue(&self, now: Timestamp) -> Queue {
        let (stored, own) = (self.stores.jobs.state(), self.own.jobs.keys());
        let queued = |job: &Arc<Job>| job.annotations().contains_key(names::ANNOTATION_QUEUED);
        // Where slots are not limited, no pass pays for those of all others.
        if own.is_empty() && !stored.iter().any(queued) {
            return Queue::default();
        }
        let mut keys: BTreeSet<(String, String)> = own.into_iter().collect();
        keys.extend(stored.iter().map(|job| (job.namespace().unwrap_or_default(), job.name_any())));
        let jobs = keys.into_iter().filter_map(|(namespace, name)| {
            let stored = self.stores.jobs.get(&ObjectRef::new(&name).within(&namespace));
            self.own.jobs.newer(&namespace, &name, stored, now)
        });
        self.queue_of(&jobs.collect::<Vec<_>>())
    }

    /// As the API server itself has it: a store can be behind, and would give a slot away twice.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn present_queue(&self) -> Result<Queue, ObserveError> {
        let api = match &self.namespace {
            Some(namespace) => Api::<Job>::namespaced(self.client.clone(), namespace),
            None => Api::<Job>::all(self.client.clone()),
        };
        // Without a version and without pages: this is no list of a watch.
        let params = ListParams::default().labels(&ours());
        let listed = tokio::time::timeout(API_DEADLINE, api.list(&params)).await.map_err(|_| ObserveError::Deadline)?;
        let listed = listed.map_err(|source| ObserveError::GetObject { name: "the Jobs that queue for a slot".into(), source })?;
        Ok(self.queue_of(&listed.items.into_iter().map(Arc::new).collect::<Vec<_>>()))
    }

    fn queue_of(&self, jobs: &[Arc<Job>]) -> Queue {
        let wanted: BTreeSet<String> = self
            .stores
            .images
            .state()
            .iter()
            .filter_map(|image| {
                let object = image.0.as_ref().ok()?;
                let wanted = object.metadata.deletion_timestamp.is_none() && object.spec.suspend != Some(true);
                object.uid().filter(|_| wanted)
            })
            .collect();
        queue(jobs, |job| job.owner_references().iter().any(|owner| wanted.contains(&owner.uid)))
    }
}
