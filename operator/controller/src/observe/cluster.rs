//! What does the cluster show, and what does the outside world answer? Gathers one [`World`] per pass.
//!
//! Kubernetes facts come from watched stores, overlaid by this process's own writes; a read that fails ends the pass. Answers
//! of the outside world are data, failures included.

use super::{Guarded, Logins, Memory, NodeStore, OwnWrites, secrets};
use gowindows_core::kinds::Kind;
use gowindows_crds::conditions::Reason;
use gowindows_crds::v1alpha1::{RolloutMode, RolloutSpec, TargetSpec};
use gowindows_crds::{GoWindowsImage, names};
use gowindows_model::access::Repository;
use gowindows_model::call_error::CallError;
use gowindows_model::facts::{PodTrouble, Revision, Seen, Trouble, Workload, World};
use gowindows_model::ports::{Git, Registry, SecretData};
use gowindows_model::question::Question;
use gowindows_model::wire::source::Reference;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};
use std::sync::Arc;
use std::time::Duration;

/// Every call to the API server ends within this time (kube's client retries by itself for much longer).
pub(super) const API_DEADLINE: Duration = Duration::from_secs(15);
/// Every question to the outside world ends within this time.
const OUTSIDE_DEADLINE: Duration = Duration::from_secs(45);
/// The field that names the source's Secret.
const GIT_SECRET: &str = "source.git.secretRef";
/// The field that names the key's Secret.
const KEY_SECRET: &str = "signing.keySecretRef";

/// The watched objects.
#[derive(Clone)]
pub struct Stores {
    /// Every object, readable or not.
    pub images: Store<Guarded>,
    /// Jobs that carry our label.
    pub jobs: Store<Job>,
    /// Pods that carry our label.
    pub pods: Store<Pod>,
    /// Windows nodes, slimmed, where they may be seen.
    pub nodes: NodeStore,
    /// Deployments, slimmed to what a [`Workload`] needs.
    pub deployments: Store<Deployment>,
}

/// What this process wrote and the stores may not show yet.
#[derive(Clone, Default)]
pub struct RecentWrites {
    /// Jobs that were created or changed.
    pub jobs: OwnWrites<Job>,
    /// Deployments that were changed.
    pub deployments: OwnWrites<Deployment>,
    /// `GoWindowsImage`s whose status was written.
    pub images: OwnWrites<GoWindowsImage>,
}

/// Everything that is needed to observe.
pub struct Cluster {
    /// The client for what is not watched: pods of targets, Secrets.
    pub client: Client,
    /// The watched objects.
    pub stores: Stores,
    /// Answers of the outside world.
    pub memory: Arc<Memory>,
    /// What this process wrote.
    pub own: RecentWrites,
    /// Git servers.
    pub git: Arc<dyn Git>,
    /// Registries.
    pub registry: Arc<dyn Registry>,
    /// What opens registries where no Secret does.
    pub logins: Arc<Logins>,
    /// The namespace that is looked at; none for all.
    pub namespace: Option<String>,
    /// Held while a slot is given away.
    pub slots: tokio::sync::Mutex<()>,
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
        let object = self
            .own
            .images
            .newer(&namespace, &object.name_any(), Some(object.clone()), now)
            .filter(|own| own.uid() == object.uid())
            .unwrap_or(object);
        let claims = self.claims(&object);
        let mut workloads = Vec::new();
        for target in object.spec.rollout.iter().flat_map(|rollout| &rollout.targets) {
            workloads.push(self.target(&namespace, &target.name, now).await?);
        }
        let answers = self.memory.recall(&object.uid().unwrap_or_default(), &source_key(&object));
        let nodes = self.stores.nodes.nodes();
        let queue = self.queue(now);
        let (mut builds, orphans) = self.builds(&object, now).await;
        self.mask(&object, &mut builds).await;
        Ok(World { now, builds, orphans, workloads, claims, nodes, queue, answers, object })
    }

    /// For each target, in order, the older object that lists the same one.
    fn claims(&self, object: &GoWindowsImage) -> Vec<Option<String>> {
        let age = |image: &GoWindowsImage| (image.creation_timestamp().map(|time| time.0), image.uid());
        let here = self.stores.images.state();
        let others = here.iter().filter_map(|guarded| guarded.0.as_ref().ok()).filter(|other| {
            other.namespace() == object.namespace() && other.metadata.deletion_timestamp.is_none() && age(other) < age(object)
        });
        let rollouts: Vec<_> = others.filter_map(|other| Some((other.name_any(), other.spec.rollout.as_ref()?))).collect();
        let claim = |target: &TargetSpec| {
            let meets = |theirs: &TargetSpec| {
                let container = theirs.container.is_none() || target.container.is_none() || theirs.container == target.container;
                theirs.kind == target.kind && theirs.name == target.name && container
            };
            let applies = |rollout: &RolloutSpec| rollout.mode.unwrap_or_default() == RolloutMode::Apply;
            let claimed = rollouts.iter().filter(|(_, rollout)| applies(rollout) && rollout.targets.iter().any(meets));
            claimed.map(|(name, _)| name.clone()).min()
        };
        object.spec.rollout.iter().flat_map(|rollout| &rollout.targets).map(claim).collect()
    }

    /// Puts questions to the outside world; the answers land in the world and in memory.
    pub async fn answer(&self, world: &mut World, questions: Vec<Question>) {
        let (namespace, now) = (world.object.namespace().unwrap_or_default(), world.now);
        for question in questions {
            let answers = &mut world.answers;
            match &question {
                Question::Source { url, reference, secret } => {
                    let answer = self.source(&namespace, url, reference, secret.as_deref()).await;
                    answers.source = seen(&answers.source, answer, now);
                }
                Question::Digest { reference, access } => {
                    let read = |secret: Option<SecretData>| async move { self.registry.digest(reference, secret.as_ref()).await };
                    let answer = self.with_access(&namespace, reference, access, read).await;
                    let before = answers.digests.remove(reference).unwrap_or_default();
                    answers.digests.insert(reference.clone(), seen(&before, answer, now));
                }
                Question::Base { reference, access } => {
                    let read = |secret: Option<SecretData>| async move { self.registry.base(reference, secret.as_ref()).await };
                    let answer = self.with_access(&namespace, reference, access, read).await;
                    let before = answers.bases.remove(reference).unwrap_or_default();
                    answers.bases.insert(reference.clone(), seen(&before, answer, now));
                }
                Question::Builder { secret } => {
                    answers.builder = seen(&answers.builder, self.builder(&namespace, secret).await, now);
                }
                Question::Workspace { claim } => {
                    answers.workspace = seen(&answers.workspace, self.workspace(&namespace, claim).await, now);
                }
                Question::CacheClaim { claim } => {
                    answers.cache_claim = seen(&answers.cache_claim, self.cache_claim(&namespace, claim).await, now);
                }
                Question::Modules { secret } => {
                    answers.modules = seen(&answers.modules, self.modules(&namespace, secret).await, now);
                }
                Question::Published { repository: Repository { name, access }, tag, author } => {
                    let read =
                        |secret: Option<SecretData>| async move { self.registry.published(name, tag, *author, secret.as_ref()).await };
                    let answer = self.with_access(&namespace, name, access, read).await;
                    let before = answers.published.remove(tag).unwrap_or_default();
                    answers.published.insert(tag.clone(), seen(&before, answer, now));
                }
            }
            answers.asked.push(question);
        }
        self.memory.keep(&world.object.uid().unwrap_or_default(), &source_key(&world.object), &world.answers);
    }

    /// The data of the Secret with the signing key, read for one use.
    ///
    /// # Errors
    /// When it is absent or may not be read.
    pub async fn signing_secret(&self, namespace: &str, name: Option<&str>) -> Result<Option<SecretData>, CallError> {
        self.secret(namespace, KEY_SECRET, name).await
    }

    async fn secret(&self, namespace: &str, field: &str, name: Option<&str>) -> Result<Option<SecretData>, CallError> {
        let Some(name) = name else { return Ok(None) };
        secrets::read(&self.client, namespace, field, name).await.map(Some)
    }

    async fn source(&self, namespace: &str, url: &str, reference: &Reference, secret: Option<&str>) -> Result<Revision, CallError> {
        in_time(url, async {
            let data = self.secret(namespace, GIT_SECRET, secret).await?;
            self.git.resolve(url, reference, data.as_ref()).await.map_err(of_secret(GIT_SECRET, secret))
        })
        .await
    }

    async fn target(&self, namespace: &str, name: &str, now: Timestamp) -> Result<Option<Workload>, ObserveError> {
        let stored = self.stores.deployments.get(&ObjectRef::new(name).within(namespace));
        let Some(deployment) = self.own.deployments.newer(namespace, name, stored, now) else { return Ok(None) };
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

/// Answers are remembered for one source; an edit of it starts anew.
fn source_key(object: &GoWindowsImage) -> String {
    let image = &object.spec.image;
    let pull = image.base.as_ref().and_then(|base| base.pull_secret_ref.as_ref());
    let modules = object.spec.go.as_ref().and_then(|go| go.modules.as_ref()?.secret_ref.as_ref());
    serde_json::to_string(&(&object.spec.source, &image.push_secret_ref, &image.identity, pull, modules)).unwrap_or_default()
}

/// Names the Secret whose content is at fault: the clients know only what is in it.
fn of_secret(field: &str, name: Option<&str>) -> impl FnOnce(CallError) -> CallError {
    move |error| match (error.reason, name) {
        (Reason::SecretInvalid, Some(name)) => CallError { message: format!("{field}: Secret {name}: {}", error.message), ..error },
        _ => error,
    }
}

/// An answer, or that there was none in time.
pub(super) async fn in_time<T>(what: &str, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
    match tokio::time::timeout(OUTSIDE_DEADLINE, call).await {
        Ok(answer) => answer,
        Err(_) => {
            Err(CallError { reason: Reason::Timeout, message: format!("{what} did not answer within {} s.", OUTSIDE_DEADLINE.as_secs()) })
        }
    }
}

fn seen<T: Clone>(before: &Seen<T>, answer: Result<T, CallError>, now: Timestamp) -> Seen<T> {
    match answer {
        Ok(value) => Seen::Fresh(value, now),
        Err(CallError { reason, message }) => {
            let times = before.trouble().map_or(0, |trouble| trouble.times).saturating_add(1);
            let trouble = Trouble { reason, message, at: now, times };
            match before.value() {
                Some(value) => Seen::Stale(value.clone(), trouble),
                None => Seen::Unknown(trouble),
            }
        }
    }
}

/// Label selector of everything that we generate.
pub(crate) fn ours() -> String {
    format!("{}={}", names::LABEL_MANAGED_BY, names::MANAGED_BY)
}
