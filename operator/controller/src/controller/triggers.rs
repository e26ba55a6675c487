//! Which events start a pass, and for which object?

use super::pacing::WatchBackoff;
use crate::observe::{Availability, Guarded, Memory, NodeStore, OwnWrites, RecentWrites, Stores};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use gowindows_core::kinds::Kind;
use gowindows_core::read::slim_node;
use gowindows_crds::names;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::sync::watch;

/// A stream of objects to look at.
pub(super) type Queue = BoxStream<'static, Result<ObjectRef<Guarded>, watcher::Error>>;

/// What each event of one watch gives to look at.
type Triggers = BoxStream<'static, Result<Vec<ObjectRef<Guarded>>, watcher::Error>>;

/// Starts the watches: what to look at, and the stores that they fill.
pub(super) fn triggers(
    client: &Client,
    namespace: Option<&str>,
    bases: Vec<String>,
    memory: Arc<Memory>,
    written: RecentWrites,
) -> (Queue, Store<Guarded>, Stores) {
    let (images, image_writer) = reflector::store();
    let images_written = written.images.clone();
    let forget = move |event: &watcher::Event<Guarded>| {
        if let watcher::Event::Delete(gone) = event {
            memory.forget(&gone.uid().unwrap_or_default());
            images_written.forget_deleted(gone);
        }
    };
    let all = watcher::Config::default();
    let own = watcher::Config::default().labels(&crate::observe::ours());
    let image_events = watcher(api::<Guarded>(client, namespace), all.clone())
        .backoff(WatchBackoff::new("GoWindowsImage"))
        .modify(|object| object.meta_mut().managed_fields = None)
        .inspect_ok(forget)
        .reflect(image_writer)
        .touched_objects()
        .map_ok(|object| vec![ObjectRef::from_obj(&object)]);
    let (jobs, job_events) = watched(client, namespace, own.clone(), written.jobs, |job: &mut Job| job.meta_mut().managed_fields = None);
    let (pods, pod_events) = watched(client, namespace, own, OwnWrites::default(), |pod: &mut Pod| pod.meta_mut().managed_fields = None);
    let (deployments, deployment_events) = watched(client, namespace, all, written.deployments, Kind::slim);
    let (nodes, node_events) = nodes(client, bases);
    let (by_store, images_of) = (images.clone(), images.clone());
    let queue = stream::select_all([
        image_events.boxed(),
        job_events.map_ok(|job| named_by_annotation(&job)).boxed(),
        pod_events.map_ok(|pod| named_by_annotation(&pod)).boxed(),
        node_events,
        deployment_events.map_ok(move |deployment| targeting(&by_store, &deployment)).boxed(),
    ]);
    let queue =
        queue.inspect_err(|error| tracing::warn!(error = error as &dyn std::error::Error, "a watch was interrupted; it is started again"));
    let queue = queue.map_ok(|references| stream::iter(references.into_iter().map(Ok))).try_flatten();
    (queue.boxed(), images_of, Stores { images: images.clone(), jobs, pods, nodes, deployments })
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

fn watched<K>(
    client: &Client,
    namespace: Option<&str>,
    config: watcher::Config,
    written: OwnWrites<K>,
    slim: impl FnMut(&mut K) + Send + 'static,
) -> (Store<K>, BoxStream<'static, Result<K, watcher::Error>>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let forget = move |event: &watcher::Event<K>| {
        if let watcher::Event::Delete(gone) = event {
            written.forget_deleted(gone);
        }
    };
    let events = watcher(api::<K>(client, namespace), config)
        .backoff(WatchBackoff::new(&K::kind(&())))
        .modify(slim)
        .inspect_ok(forget)
        .reflect(writer)
        .touched_objects();
    (store, events.boxed())
}

/// As many refusals in a row mean that a right is missing. An API server that has just started refuses what it grants a second later, and a
/// base that is chosen in that second stays.
const BELIEVED_REFUSALS: u32 = 3;

/// The Windows nodes. They start no pass; and without the right to see them (`nodes` in the ClusterRole) all goes on without them.
fn nodes(client: &Client, bases: Vec<String>) -> (NodeStore, Triggers) {
    let (store, writer) = reflector::store();
    let (tell, availability) = watch::channel(Availability::Opening);
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
            let seen = match &event {
                // The store is filled before this event comes by.
                Ok(watcher::Event::InitDone) => Some(Availability::Open),
                Err(_) if refusals >= BELIEVED_REFUSALS => {
                    Some(Availability::Refused("the operator has no right to watch nodes (its ClusterRole)".into()))
                }
                Ok(_) | Err(_) => None,
            };
            if let Some(seen) = seen {
                let news = tell.send_replace(seen.clone()) != seen;
                if let (true, Availability::Refused(why)) = (news, &seen) {
                    tracing::warn!(why, "bases are chosen without looking at Windows nodes");
                }
            }
            let told = event.err().filter(|error| !is_forbidden(error));
            std::future::ready(told.map(Err))
        });
    (NodeStore { store, availability }, events.boxed())
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

/// The objects that list a Deployment as a target.
fn targeting(images: &Store<Guarded>, deployment: &Deployment) -> Vec<ObjectRef<Guarded>> {
    let (name, namespace) = (deployment.name_any(), deployment.namespace());
    let lists = |object: &Guarded| {
        let spec = object.0.as_ref().ok().map(|image| &image.spec);
        object.namespace() == namespace
            && spec.and_then(|spec| spec.rollout.as_ref()).is_some_and(|rollout| rollout.targets.iter().any(|target| target.name == name))
    };
    images.state().into_iter().filter(|object| lists(object)).map(|object| ObjectRef::from_obj(object.as_ref())).collect()
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
        assert!(matches!(&*store.availability.borrow(), Availability::Refused(why) if why.contains("no right to watch nodes")));
        assert!(asked.load(Ordering::Relaxed) >= BELIEVED_REFUSALS, "one refusal may be that of an API server that has just started");
        assert!(!watched.is_finished(), "a refusal is not told again and again as a failed watch");
        watched.abort();
    }
}
