//! Is what a pass has seen what is there? Asks the API server itself, and not the stores, which can be minutes behind.

use super::cluster::API_DEADLINE;
use super::{Cluster, ObserveError};
use gowindows_core::read::controls;
use gowindows_crds::v1alpha1::{BuildPhase, BuildStatus};
use gowindows_crds::{GoWindowsImage, names};
use gowindows_model::facts::{Build, World};
use k8s_openapi::api::batch::v1::Job;
use kube::core::PartialObjectMeta;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// How what a pass has seen of its object compares with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It is what is there.
    Current,
    /// There is a newer one, which the watch has not shown yet.
    Behind,
    /// It is gone, or there is another one of its name.
    Gone,
}

impl Cluster {
    /// Asks the API server itself, and not the store, whether the object that a pass has seen is the one that is there. For writes
    /// that must not be made from the past: a store can be minutes behind (Sieve's stale states).
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn freshness(&self, world: &World) -> Result<Freshness, ObserveError> {
        let (name, namespace) = (world.object.name_any(), world.object.namespace().unwrap_or_default());
        let api = Api::<GoWindowsImage>::namespaced(self.client.clone(), &namespace);
        Ok(match metadata(&api, name).await? {
            Some(there) if there.uid() != world.object.uid() => Freshness::Gone,
            Some(there) if there.resource_version() != world.object.resource_version() => Freshness::Behind,
            Some(_) if has_unseen_job(&self.client, &world.object, &world.builds).await? => Freshness::Behind,
            Some(_) => Freshness::Current,
            None => Freshness::Gone,
        })
    }
}

/// Whether the Job that an object's status calls unfinished is there, although the pass has not seen it: after a restart nothing but the
/// status knows of it, and the first list may come from a server that is behind. One without our labels is no build any more.
async fn has_unseen_job(client: &Client, object: &GoWindowsImage, builds: &[Build]) -> Result<bool, ObserveError> {
    let unfinished = |build: &&BuildStatus| matches!(build.phase, BuildPhase::Queued | BuildPhase::Running);
    let recorded = object.status.as_ref().and_then(|status| status.build.as_ref()).filter(unfinished);
    let Some(recorded) = recorded.filter(|recorded| builds.iter().all(|build| build.job != recorded.job)) else { return Ok(false) };
    let namespace = object.namespace().unwrap_or_default();
    let job = metadata(&Api::<Job>::namespaced(client.clone(), &namespace), recorded.job.clone()).await?;
    let is_build = |job: &PartialObjectMeta<Job>| controls(object, &job.metadata) && job.labels().contains_key(names::LABEL_ATTEMPT);
    Ok(job.is_some_and(|job| job.metadata.deletion_timestamp.is_none() && is_build(&job)))
}

async fn metadata<K>(api: &Api<K>, name: String) -> Result<Option<PartialObjectMeta<K>>, ObserveError>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let there = tokio::time::timeout(API_DEADLINE, api.get_metadata_opt(&name)).await.map_err(|_| ObserveError::Deadline)?;
    there.map_err(|source| ObserveError::GetObject { name, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Json, Router};
    use serde_json::json;

    /// Whether a Job with these labels and this owner is one that a pass has missed, for an object whose build is in this phase.
    async fn missed(phase: &str, label: &str, owner: &str) -> bool {
        let object: GoWindowsImage = serde_json::from_value(json!({
            "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage",
            "metadata": {"name": "shop", "namespace": "team", "uid": "uid-1"},
            "spec": {"source": {"git": {"url": "https://git.example.com/shop.git"}}, "image": {"repository": "registry.example.com/shop"}},
            "status": {"build": {"phase": phase, "job": "shop-1", "attempt": 1, "fingerprint": "0"}},
        }))
        .expect("an object");
        let job = json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {
                "name": "shop-1", "namespace": "team", "labels": {label: "1"},
                "ownerReferences": [{
                    "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "name": "shop", "uid": owner, "controller": true,
                }],
            },
        });
        let client = Client::new(Router::new().fallback(move || async { Json(job) }), "default");
        has_unseen_job(&client, &object, &[]).await.expect("an answer")
    }

    /// Found by the simulation: after a crash, on a list from the past, the status alone knew of the running Job, and a second one was made.
    #[tokio::test]
    async fn a_running_job_that_no_list_shows_is_looked_for() {
        assert!(missed("Running", names::LABEL_ATTEMPT, "uid-1").await);
        assert!(missed("Queued", names::LABEL_ATTEMPT, "uid-1").await);
        assert!(!missed("Failed", names::LABEL_ATTEMPT, "uid-1").await, "what has ended needs no Job");
        assert!(!missed("Running", "example.com/other", "uid-1").await, "somebody has taken its labels away");
        assert!(!missed("Running", names::LABEL_ATTEMPT, "uid-2").await, "it belongs to a namesake");
    }
}
