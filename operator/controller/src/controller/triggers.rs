//! Which events start a pass, and for which object?

use super::pacing::WatchBackoff;
use crate::observe::{Guarded, Memory, NodeStore, Places, REFUSED_PODS, Stores, Watched};
use crate::observe::{job_of_event, jobs_of_pod, object_of_job, seen_in, slim_event, target_key};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use gowindows_core::kinds::Kind;
use gowindows_core::read::{slim_job, slim_node};
use gowindows_crds::names;
use gowindows_crds::v1alpha1::TargetKind;
use gowindows_model::facts::Nodes;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::events::v1::Event;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// A stream of objects to look at.
pub(super) type Queue = BoxStream<'static, Result<ObjectRef<Guarded>, watcher::Error>>;

/// What each event of one watch gives to look at.
type Triggers = BoxStream<'static, Result<Vec<ObjectRef<Guarded>>, watcher::Error>>;

/// Starts the watches: what to look at, and what they show. `queue_changed` hears of whatever the queue for slots depends on.
pub(super) fn triggers(
    client: &Client,
    namespace: Option<&str>,
    bases: Vec<String>,
    memory: Arc<Memory>,
    places: Places,
    queue_changed: Arc<Notify>,
) -> (Queue, Stores) {
    let all = watcher::Config::default();
    let own = watcher::Config::default().labels(&crate::observe::ours());
    let refused = watcher::Config::default().fields(REFUSED_PODS);
    let (images, image_events) = watched(client, namespace, all.clone(), targets_of, without_fields);
    let (jobs, job_events) = watched(client, namespace, own.clone(), object_of_job, slim_job);
    let (pods, pod_events) = watched(client, namespace, own, jobs_of_pod, without_fields);
    let (deployments, deployment_events) = watched(client, namespace, all, |_| Vec::new(), Kind::slim);
    let (refusals, refusal_events) = watched(client, namespace, refused, job_of_event, slim_event);
    let (nodes, node_events) = nodes(client, bases);
    let there = images.clone();
    let forget = move |event: &watcher::Event<Guarded>| match event {
        watcher::Event::Delete(gone) => memory.forget(&gone.uid().unwrap_or_default()),
        watcher::Event::InitDone => memory.keep_only(&there.everything().iter().filter_map(|image| image.uid()).collect()),
        watcher::Event::Apply(_) | watcher::Event::Init | watcher::Event::InitApply(_) => {}
    };
    let owned_by = images.clone();
    let owners = move |event: &watcher::Event<Job>| places.follow(event, &owned_by);
    let (by_target, by_job, listed_by_job, refused) = (images.clone(), jobs.clone(), jobs.clone(), refusals.clone());
    let (of_images, of_jobs) = (queue_changed.clone(), queue_changed);
    let itself = |object: &Guarded| vec![ObjectRef::from_obj(object)];
    let queue = stream::select_all([
        looks(each(&images), image_events.inspect_ok(forget).inspect_ok(move |_| of_images.notify_one()), itself),
        looks(each(&images), job_events.inspect_ok(owners).inspect_ok(move |_| of_jobs.notify_one()), named_by_annotation),
        looks(each(&images), pod_events, named_by_annotation),
        looks(each(&images), deployment_events, move |deployment| targeting(&by_target, deployment)),
        // Their watch has to list often, for the API server keeps no past of events; and nothing is decided by them.
        looks(
            move || refused.everything().iter().flat_map(|event| waiting_for(&listed_by_job, event)).collect(),
            refusal_events,
            move |event| waiting_for(&by_job, event),
        ),
        node_events,
    ]);
    let queue =
        queue.inspect_err(|error| tracing::warn!(error = error as &dyn std::error::Error, "a watch was interrupted; it is started again"));
    let queue = queue.map_ok(|references| stream::iter(references.into_iter().map(Ok))).try_flatten();
    (queue.boxed(), Stores { images, jobs, pods, nodes, deployments, refusals })
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

/// Watches a kind: what it shows, found by `keys` as well, and its events. `slim` drops what nobody reads.
fn watched<K>(
    client: &Client,
    namespace: Option<&str>,
    config: watcher::Config,
    keys: fn(&K) -> Vec<String>,
    slim: impl FnMut(&mut K) + Send + 'static,
) -> (Watched<K>, BoxStream<'static, Result<watcher::Event<K>, watcher::Error>>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let watched = Watched::new(store, keys);
    let follows = watched.clone();
    let events = watcher(api::<K>(client, namespace), config)
        .backoff(WatchBackoff::new(&K::kind(&())))
        .modify(slim)
        .reflect(writer)
        .inspect_ok(move |event| follows.follow(event));
    (watched, events.boxed())
}

/// Every object.
fn each(images: &Watched<Guarded>) -> impl Fn() -> Vec<ObjectRef<Guarded>> + Send + 'static {
    let images = images.clone();
    move || images.references()
}

/// What the events of a watch give to look at. A list shows neither what has changed since the one before nor what is gone, and its store has it
/// at its end alone: then all that it may concern are looked at.
fn looks<K: 'static>(
    concerned: impl Fn() -> Vec<ObjectRef<Guarded>> + Send + 'static,
    events: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
    of: impl Fn(&K) -> Vec<ObjectRef<Guarded>> + Send + 'static,
) -> Triggers {
    let looks = move |event| match event {
        watcher::Event::Apply(object) | watcher::Event::Delete(object) => of(&object),
        watcher::Event::Init | watcher::Event::InitApply(_) => Vec::new(),
        watcher::Event::InitDone => concerned(),
    };
    events.map_ok(looks).boxed()
}

fn without_fields(object: &mut impl Resource) {
    object.meta_mut().managed_fields = None;
}

/// As many refusals in a row mean that a right is missing. An API server that has just started refuses what it grants a second later, and a
/// base that is chosen in that second stays.
const BELIEVED_REFUSALS: u32 = 3;

/// The Windows nodes. They start no pass; and without the right to see them (`nodes` in the ClusterRole) all goes on without them.
fn nodes(client: &Client, bases: Vec<String>) -> (NodeStore, Triggers) {
    let (store, writer) = reflector::store();
    let (tell, seen) = watch::channel(None);
    let mut refusals = 0;
    let events = watcher(Api::<Node>::all(client.clone()), watcher::Config::default().labels(crate::observe::WINDOWS))
        .backoff(WatchBackoff::new("Node"))
        .modify(move |node| slim_node(node, &bases))
        .reflect(writer)
        .filter_map(move |event| {
            refusals = match &event {
                Err(error) if is_forbidden(error) => refusals + 1,
                // It comes before each list, granted or not.
                Ok(watcher::Event::Init) => refusals,
                Ok(_) | Err(_) => 0,
            };
            match &event {
                // The store is filled before these come by.
                Ok(watcher::Event::InitDone | watcher::Event::Apply(_) | watcher::Event::Delete(_)) => {
                    tell.send_replace(Some(Arc::new(seen_in(&store))));
                }
                Err(_) if refusals >= BELIEVED_REFUSALS => {
                    let why = "the operator has no right to watch nodes (its ClusterRole)";
                    let hidden = Some(Arc::new(Nodes::Hidden(why.into())));
                    if tell.send_replace(hidden.clone()) != hidden {
                        tracing::warn!(why, "bases are chosen without looking at Windows nodes");
                    }
                }
                Ok(_) | Err(_) => {}
            }
            let told = event.err().filter(|error| !is_forbidden(error));
            std::future::ready(told.map(Err))
        });
    (NodeStore(seen), events.boxed())
}

fn is_forbidden(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => {
            status.code == 403
        }
        watcher::Error::WatchError(status) => status.code == 403,
        _ => false,
    }
}

/// Jobs and pods carry the name of their object: it may be too long for a label.
fn named_by_annotation(object: &impl ResourceExt) -> Vec<ObjectRef<Guarded>> {
    let (Some(name), Some(namespace)) = (object.annotations().get(names::ANNOTATION_IMAGE), object.namespace()) else { return Vec::new() };
    vec![ObjectRef::new(name).within(&namespace)]
}

/// Under what an object is found: the workloads that it lists as targets.
fn targets_of(object: &Guarded) -> Vec<String> {
    let rollout = object.0.as_ref().ok().and_then(|image| image.spec.rollout.as_ref());
    let namespace = object.namespace();
    rollout
        .iter()
        .flat_map(|rollout| &rollout.targets)
        .map(|target| target_key(namespace.as_deref(), target.kind.unwrap_or_default(), &target.name))
        .collect()
}

/// The objects that list a Deployment as a target.
fn targeting(images: &Watched<Guarded>, deployment: &Deployment) -> Vec<ObjectRef<Guarded>> {
    let key = target_key(deployment.namespace().as_deref(), TargetKind::Deployment, &deployment.name_any());
    images.shown(&key).iter().map(|object| ObjectRef::from_obj(object.as_ref())).collect()
}

/// The object whose Job has no pod.
fn waiting_for(jobs: &Watched<Job>, event: &Event) -> Vec<ObjectRef<Guarded>> {
    let job = event.regarding.as_ref().and_then(|job| jobs.stored(job.namespace.as_deref()?, job.name.as_deref()?));
    job.map(|job| named_by_annotation(job.as_ref())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::http::StatusCode;
    use serde_json::json;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A pass waits until nodes are seen or cannot be: a refusal must not hold it up for ever.
    #[tokio::test]
    async fn without_the_right_to_see_nodes_all_goes_on_without_them() {
        let refusal =
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "message": "no", "code": 403});
        let asked = Arc::new(AtomicU32::new(0));
        let counted = asked.clone();
        let answer = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async { (StatusCode::FORBIDDEN, axum::Json(refusal)) }
        };
        let (store, mut events) = nodes(&Client::new(Router::new().fallback(answer), "default"), vec![]);
        let watched = tokio::spawn(async move { events.next().await.is_some() });
        store.ready().await;
        assert!(matches!(store.0.borrow().as_deref(), Some(Nodes::Hidden(why)) if why.contains("no right to watch nodes")));
        assert!(asked.load(Ordering::Relaxed) >= BELIEVED_REFUSALS, "one refusal may be that of an API server that has just started");
        assert!(!watched.is_finished(), "a refusal is not told again and again as a failed watch");
        watched.abort();
    }
}
