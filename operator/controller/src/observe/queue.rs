//! Which Jobs of builds run, and which queue for a slot? Those of all objects together, as watched or as the API server has them. Asked by the
//! one who keeps the queue; a pass reads the places that were told last.

use super::cluster::API_DEADLINE;
use super::{Cluster, ObserveError, ours};
use gowindows_core::read::{claimed_owner, controls, queue};
use gowindows_crds::GoWindowsImage;
use gowindows_model::facts::{Build, Place, Queue};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Where Jobs stand, by namespace and name.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<BTreeMap<(String, String), Place>>>);

impl Places {
    /// From now on these hold.
    pub fn tell(&self, places: BTreeMap<(String, String), Place>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = places;
    }

    /// Of the Jobs of builds.
    pub(super) fn of(&self, namespace: &str, builds: &[Build]) -> BTreeMap<String, Place> {
        let queued = builds.iter().flat_map(Build::current_jobs).filter(|job| job.queued && job.since.is_none());
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |job: &String| Some((job.clone(), *places.get(&(namespace.to_owned(), job.clone()))?));
        queued.filter_map(|job| place(&job.job)).collect()
    }
}

impl Cluster {
    /// As watched and as written.
    pub fn queue(&self, now: Timestamp) -> Queue {
        self.queue_of(&self.stores.jobs.all(now), now)
    }

    /// As the API server itself has it: a store can be behind, and would give a slot away twice.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn present_queue(&self, now: Timestamp) -> Result<Queue, ObserveError> {
        let api = match &self.namespace {
            Some(namespace) => Api::<Job>::namespaced(self.client.clone(), namespace),
            None => Api::<Job>::all(self.client.clone()),
        };
        // Without a version and without pages: this is no list of a watch.
        let params = ListParams::default().labels(&ours());
        let listed = tokio::time::timeout(API_DEADLINE, api.list(&params)).await.map_err(|_| ObserveError::Deadline)?;
        let listed = listed.map_err(|source| ObserveError::GetObject { name: "the Jobs that queue for a slot".into(), source })?;
        Ok(self.queue_of(&listed.items.into_iter().map(Arc::new).collect::<Vec<_>>(), now))
    }

    /// A Job that is no object's takes no slot, and a place that its object does not want holds nobody up.
    fn queue_of(&self, jobs: &[Arc<Job>], now: Timestamp) -> Queue {
        queue(jobs, |job| {
            let (name, _) = claimed_owner::<GoWindowsImage>(&job.metadata)?;
            let image = self.stores.images.get(&job.namespace()?, name, now)?;
            let wanted = |object: &Arc<GoWindowsImage>| object.metadata.deletion_timestamp.is_none() && object.spec.suspend != Some(true);
            controls(image.as_ref(), &job.metadata).then(|| image.0.as_ref().is_ok_and(wanted))
        })
    }
}
