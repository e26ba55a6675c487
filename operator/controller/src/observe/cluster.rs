//! What does the cluster show, and what does the outside world answer? Gathers one [`World`] per pass.
//!
//! Kubernetes facts come from watched stores, overlaid by this process's own writes; a read that fails ends the pass. Answers
//! of the outside world are data, failures included.

use super::{Guarded, Logins, Memory, NodeStore, Outside, Places, Watched, secrets};
use gowindows_core::kinds::Kind;
use gowindows_crds::v1alpha1::{RolloutMode, RolloutSpec, TargetKind, TargetSpec};
use gowindows_crds::{GoWindowsImage, names};
use gowindows_model::binding::Bindings;
use gowindows_model::call_error::CallError;
use gowindows_model::facts::{PodTrouble, Workload, World};
use gowindows_model::ports::{Git, Registry, SecretData};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use std::sync::Arc;
use std::time::Duration;

/// Every call to the API server ends within this time (kube's client retries by itself for much longer).
pub(super) const API_DEADLINE: Duration = Duration::from_secs(15);
/// The field that names the key's Secret.
const KEY_SECRET: &str = "signing.keySecretRef";

/// The watched objects, and what this process wrote of them.
#[derive(Clone)]
pub struct Stores {
    /// Every object, readable or not; found by its targets, too.
    pub images: Watched<Guarded>,
    /// Jobs that carry our label, slimmed to what is read; found by the uid of their object, too.
    pub jobs: Watched<Job>,
    /// Pods that carry our label, found by the uid of their Job.
    pub pods: Watched<Pod>,
    /// Windows nodes, where they may be seen.
    pub nodes: NodeStore,
    /// Deployments, slimmed to what a [`Workload`] needs.
    pub deployments: Watched<Deployment>,
    /// Events that say why a Job gets no pod, found by its uid.
    pub refusals: Watched<Event>,
}

/// Everything that is needed to observe.
pub struct Cluster {
    /// The client for what is not watched: pods of targets, Secrets.
    pub client: Client,
    /// The watched objects.
    pub stores: Stores,
    /// Answers of the outside world.
    pub memory: Arc<Memory>,
    /// How much is asked at a time.
    pub outside: Arc<Outside>,
    /// Git servers.
    pub git: Arc<dyn Git>,
    /// Registries.
    pub registry: Arc<dyn Registry>,
    /// What opens registries where no Secret does.
    pub logins: Arc<Logins>,
    /// To which servers logins may be sent.
    pub bindings: Bindings,
    /// The namespace that is looked at; none for all.
    pub namespace: Option<String>,
    /// Where Jobs stand that queue for a slot.
    pub places: Places,
}

/// A read of the cluster that failed.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// Listing the pods of a target.
    #[error("list the pods of {target}")]
    ListPods {
        /// The target.
        target: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// Reading the object itself.
    #[error("get {name}")]
    GetObject {
        /// The object.
        name: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// The API server did not answer in time.
    #[error("the API server did not answer within {API_DEADLINE:?}")]
    Deadline,
}

impl Cluster {
    /// The world at the start of a pass: the cluster as watched, the outside world as remembered.
    ///
    /// # Errors
    /// When a read of the cluster fails.
    pub async fn world(&self, object: Arc<GoWindowsImage>, now: Timestamp) -> Result<World, ObserveError> {
        let namespace = object.namespace().unwrap_or_default();
        let own = self.stores.images.get(&namespace, &object.name_any(), now).filter(|own| own.uid() == object.uid());
        let object = own.and_then(|own| own.0.clone().ok()).unwrap_or(object);
        let claims = self.claims(&object, now);
        let mut workloads = Vec::new();
        for target in object.spec.rollout.iter().flat_map(|rollout| &rollout.targets) {
            workloads.push(self.target(&namespace, &target.name, now).await?);
        }
        let answers = self.memory.recall(&object.uid().unwrap_or_default(), &source_key(&object));
        let nodes = self.stores.nodes.nodes();
        let (mut builds, orphans) = self.builds(&object, now);
        let places = self.places.of(&namespace, &builds);
        self.mask(&object, &mut builds).await;
        Ok(World { now, builds, orphans, workloads, claims, nodes, places, answers, object })
    }

    /// For each target, in order, the older object that lists the same one.
    fn claims(&self, object: &GoWindowsImage, now: Timestamp) -> Vec<Option<String>> {
        let age = |image: &GoWindowsImage| (image.creation_timestamp().map(|time| time.0), image.uid());
        let claim = |target: &TargetSpec| {
            let meets = |theirs: &TargetSpec| {
                let container = theirs.container.is_none() || target.container.is_none() || theirs.container == target.container;
                theirs.kind.unwrap_or_default() == target.kind.unwrap_or_default() && theirs.name == target.name && container
            };
            let applies = |rollout: &&RolloutSpec| rollout.mode.unwrap_or_default() == RolloutMode::Apply;
            let listing =
                self.stores.images.of(&target_key(object.namespace().as_deref(), target.kind.unwrap_or_default(), &target.name), now);
            let older = listing.iter().filter_map(|other| other.0.as_ref().ok()).filter(|other| {
                let claims = other.spec.rollout.as_ref().filter(applies).is_some_and(|rollout| rollout.targets.iter().any(meets));
                claims && other.metadata.deletion_timestamp.is_none() && age(other) < age(object)
            });
            older.map(|other| other.name_any()).min()
        };
        object.spec.rollout.iter().flat_map(|rollout| &rollout.targets).map(claim).collect()
    }

    /// The data of the Secret with the signing key, read for one use.
    ///
    /// # Errors
    /// When it is absent or may not be read.
    pub async fn signing_secret(&self, namespace: &str, name: Option<&str>) -> Result<Option<SecretData>, CallError> {
        self.secret(namespace, KEY_SECRET, name).await
    }

    pub(super) async fn secret(&self, namespace: &str, field: &str, name: Option<&str>) -> Result<Option<SecretData>, CallError> {
        let Some(name) = name else { return Ok(None) };
        secrets::read(&self.client, namespace, field, name).await.map(Some)
    }

    async fn target(&self, namespace: &str, name: &str, now: Timestamp) -> Result<Option<Workload>, ObserveError> {
        let Some(deployment) = self.stores.deployments.get(namespace, name, now) else { return Ok(None) };
        let mut workload = deployment.read();
        let settled =
            workload.updated >= workload.replicas && workload.available >= workload.replicas && workload.total <= workload.updated;
        if !settled {
            workload.pod_troubles = self.pod_troubles(namespace, &deployment).await?;
        }
        Ok(Some(workload))
    }

    /// Troubles of the pods that run the image of today's template.
    async fn pod_troubles(&self, namespace: &str, deployment: &Deployment) -> Result<Vec<PodTrouble>, ObserveError> {
        let Some(spec) = &deployment.spec else { return Ok(Vec::new()) };
        let selector = kube::core::Selector::try_from(spec.selector.clone()).unwrap_or_default();
        let params = ListParams::default().labels_from(&selector).limit(200);
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let listed = tokio::time::timeout(API_DEADLINE, api.list(&params)).await.map_err(|_| ObserveError::Deadline)?;
        let pods = listed.map_err(|source| ObserveError::ListPods { target: deployment.name_any(), source })?;
        let images: Vec<_> = deployment.read().containers.into_iter().map(|container| container.image).collect();
        let troubles =
            pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).filter_map(gowindows_core::read::pod_trouble);
        Ok(troubles.filter(|trouble| images.contains(&trouble.image)).collect())
    }
}

/// Whom an object asks, and with what: answers are remembered for that, and an edit of it starts anew.
pub(super) fn source_key(object: &GoWindowsImage) -> String {
    let image = &object.spec.image;
    let pull = image.base.as_ref().and_then(|base| base.pull_secret_ref.as_ref());
    let modules = object.spec.go.as_ref().and_then(|go| go.modules.as_ref()?.secret_ref.as_ref());
    let image = (&image.repository, &image.push_secret_ref, &image.identity);
    serde_json::to_string(&(&object.spec.source, image, pull, modules, &object.spec.signing)).unwrap_or_default()
}

/// Under what an object is found by a target.
pub(crate) fn target_key(namespace: Option<&str>, kind: TargetKind, name: &str) -> String {
    format!("{}/{}/{name}", namespace.unwrap_or_default(), kind.as_str())
}

/// Label selector of everything that we generate.
pub(crate) fn ours() -> String {
    format!("{}={}", names::LABEL_MANAGED_BY, names::MANAGED_BY)
}
