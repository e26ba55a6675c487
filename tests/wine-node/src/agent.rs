//! Which pods are bound to this node, and who looks after each?
//!
//! A watch with a field selector gives the pods; each gets a task of its own, known by the pod's uid, which hears of the
//! pod's deletion and of nothing else.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::{Pod, Taint};
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    pod::BoundPod,
    runtime::Runtime,
    status::{Progress, Tracked},
};

/// What all pods of a node share.
pub struct Node {
    /// A client with a kubelet's rights.
    pub client: Client,
    /// The Node's name.
    pub name: String,
    /// The version of its containerd.
    pub containerd: String,
    /// The Node's InternalIP.
    pub address: IpAddr,
    /// Its taints beside the usual one of Windows nodes.
    pub taints: Vec<Taint>,
    /// What runs the containers.
    pub runtime: Arc<dyn Runtime>,
    /// Where the pods' volumes are.
    pub folder: PathBuf,
    /// Where the containers' logs are.
    pub logs: PathBuf,
    /// The first wait before a container is started again, 10 s on a real node.
    pub backoff: Duration,
}

/// The pods of a node.
#[derive(Clone)]
pub struct Agent {
    node: Arc<Node>,
    pods: Arc<Mutex<HashMap<String, Looked>>>,
}

/// A pod that is looked after.
struct Looked {
    namespace: String,
    name: String,
    progress: watch::Receiver<Progress>,
    stop: watch::Sender<Option<Duration>>,
    delete: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Agent {
    /// An agent that looks after no pod yet.
    pub fn new(node: Arc<Node>) -> Self {
        Self { node, pods: Arc::default() }
    }

    /// Follows the pods that are bound to the node. Never ends.
    pub async fn follow(&self) {
        let api: Api<Pod> = Api::all(self.node.client.clone());
        let ours = watcher::Config::default().fields(&format!("spec.nodeName={}", self.node.name));
        let events = watcher(api, ours).default_backoff();
        pin_mut!(events);
        let mut listed = Vec::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => listed.clear(),
                Ok(watcher::Event::InitApply(pod)) => {
                    listed.push(pod.uid().unwrap_or_default());
                    self.seen(pod);
                }
                Ok(watcher::Event::InitDone) => self.forget_all_but(&listed),
                Ok(watcher::Event::Apply(pod)) => self.seen(pod),
                Ok(watcher::Event::Delete(pod)) => self.gone(&pod.uid().unwrap_or_default()),
                Err(error) => tracing::warn!(%error, "the watch on pods was interrupted"),
            }
        }
    }

    /// Stops every pod at once and waits for it. The objects stay: only the node goes.
    pub async fn stop(&self) {
        let pods: Vec<_> = self.lock().drain().map(|(_, pod)| pod).collect();
        for pod in &pods {
            pod.stop.send_replace(Some(Duration::ZERO));
        }
        for pod in pods {
            if let Err(error) = pod.task.await {
                tracing::warn!(%error, "a pod's task failed");
            }
        }
    }

    /// What is known of a container; nothing when its pod is not here.
    pub fn container(&self, namespace: &str, pod: &str, container: &str) -> Option<Tracked> {
        let pods = self.lock();
        let looked = pods.values().find(|looked| looked.namespace == namespace && looked.name == pod)?;
        looked.progress.borrow().containers.get(container).cloned()
    }

    fn seen(&self, pod: Pod) {
        let mut pods = self.lock();
        pods.retain(|_, pod| !pod.task.is_finished());
        let grace = pod.metadata.deletion_timestamp.as_ref().map(|_| {
            let seconds = pod.metadata.deletion_grace_period_seconds.unwrap_or_default();
            Duration::from_secs(seconds.max(0).cast_unsigned())
        });
        let uid = pod.uid().unwrap_or_default();
        let over =
            pod.status.as_ref().and_then(|status| status.phase.as_deref()).is_some_and(|phase| matches!(phase, "Succeeded" | "Failed"));
        if let Some(looked) = pods.get(&uid) {
            if let Some(grace) = grace {
                looked.delete.send_replace(true);
                looked.stop.send_if_modified(|stop| {
                    let sooner = stop.is_none_or(|before| grace < before);
                    if sooner {
                        *stop = Some(grace);
                    }
                    sooner
                });
            }
        } else if grace.is_some() || !over {
            pods.insert(uid, self.look_after(pod, grace));
        }
    }

    fn look_after(&self, pod: Pod, grace: Option<Duration>) -> Looked {
        let (stop, stopped) = watch::channel(grace);
        let (delete, deleted) = watch::channel(grace.is_some());
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let bound = BoundPod::new(self.node.clone(), pod, stopped);
        let progress = bound.progress();
        Looked { namespace, name, progress, stop, delete, task: tokio::spawn(bound.live(deleted)) }
    }

    /// The object is gone without us: deleted by force, so nothing is left to delete.
    fn gone(&self, uid: &str) {
        if let Some(looked) = self.lock().get(uid) {
            looked.delete.send_replace(false);
            looked.stop.send_replace(Some(Duration::ZERO));
        }
    }

    fn forget_all_but(&self, listed: &[String]) {
        let gone: Vec<_> = self.lock().keys().filter(|uid| !listed.contains(uid)).cloned().collect();
        gone.iter().for_each(|uid| self.gone(uid));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Looked>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
