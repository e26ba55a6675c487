//! Which Jobs of builds run, and which queue for a slot? Those of all objects together, as watched or as the API server has them. Asked by the
//! one who keeps the queue; a pass reads the places that were told last.

use super::cluster::API_DEADLINE;
use super::{Cluster, Guarded, ObserveError, Watched, ours};
use gowindows_core::read::{claimed_owner, controls, queue};
use gowindows_crds::GoWindowsImage;
use gowindows_model::facts::{Build, Place, Queue};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::watcher::Event;
use kube::{Api, ResourceExt};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where Jobs stand, by namespace and name; and which are known to be ours.
#[derive(Clone, Default)]
pub struct Places {
    told: Arc<Mutex<BTreeMap<(String, String), Place>>>,
    /// Uids of Jobs that their objects controlled when they were seen. Where an object is gone, its Jobs run on until the garbage collector
    /// comes, and until then they hold their slots; nobody could prove it any more. A deletion that no watch shows leaves a uid behind.
    ours: Arc<Mutex<HashSet<String>>>,
}

impl Places {
    /// From now on these hold.
    pub fn tell(&self, places: BTreeMap<(String, String), Place>) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = places;
    }

    /// Follows the watch of Jobs.
    pub(crate) fn follow(&self, event: &Event<Job>, images: &Watched<Guarded>) {
        match event {
            Event::Apply(job) | Event::InitApply(job) => drop(self.proves(job, images)),
            Event::Delete(job) => drop(self.ours().remove(&job.uid().unwrap_or_default())),
            Event::Init | Event::InitDone => {}
        }
    }

    /// The object that controls a Job, remembered for the time when it is gone.
    fn proves(&self, job: &Job, images: &Watched<Guarded>) -> Option<Arc<Guarded>> {
        let (name, _) = claimed_owner::<GoWindowsImage>(&job.metadata)?;
        let image = images.stored(&job.namespace()?, name).filter(|image| controls(image.as_ref(), &job.metadata))?;
        self.ours().insert(job.uid()?);
        Some(image)
    }

    fn ours(&self) -> MutexGuard<'_, HashSet<String>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the Jobs of builds.
    pub(super) fn of(&self, namespace: &str, builds: &[Build]) -> BTreeMap<String, Place> {
        let queued = builds.iter().flat_map(Build::current_jobs).filter(|job| job.queued && job.since.is_none());
        let places = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |job: &String| Some((job.clone(), *places.get(&(namespace.to_owned(), job.clone()))?));
        queued.filter_map(|job| place(&job.job)).collect()
    }
}

impl Cluster {
    /// As watched and as written.
    pub fn queue(&self, now: Timestamp) -> Queue {
        self.queue_of(&self.stores.jobs.all(now))
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

    /// A Job that is no object's takes no slot, and a place that its object does not want holds nobody up.
    fn queue_of(&self, jobs: &[Arc<Job>]) -> Queue {
        let wanted = |object: &Arc<GoWindowsImage>| object.metadata.deletion_timestamp.is_none() && object.spec.suspend != Some(true);
        queue(jobs, |job| match self.places.proves(job, &self.stores.images) {
            Some(image) => Some(image.0.as_ref().is_ok_and(wanted)),
            None => self.places.ours().contains(&job.uid()?).then_some(false),
        })
    }
}
