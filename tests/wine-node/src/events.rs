//! What does the node tell about a pod?
//!
//! Events in the words of a kubelet, on the same object and field, counted up when they repeat. An event that cannot be
//! written is lost, as a kubelet's is.

use std::{collections::HashMap, sync::Arc};

use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference, Pod},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::sync::Mutex;

/// Writes the events of one pod.
#[derive(Clone)]
pub struct PodEvents {
    api: Api<Event>,
    node: String,
    pod: ObjectReference,
    written: Arc<Mutex<Written>>,
}

/// Name and count of each event so far, by container, reason and message.
type Written = HashMap<[String; 3], (String, i32)>;

impl PodEvents {
    /// Events about `pod`, from the kubelet of `node`.
    pub fn new(client: Client, node: &str, pod: &Pod) -> Self {
        let api = Api::namespaced(client, &pod.namespace().unwrap_or_default());
        Self { api, node: node.to_owned(), pod: pod.object_ref(&()), written: Arc::default() }
    }

    /// All is well with `container`, or with the pod if it is empty.
    pub async fn normal(&self, container: &str, reason: &str, message: String) {
        self.write("Normal", container, reason, message).await;
    }

    /// Something is wrong with `container`, or with the pod if it is empty.
    pub async fn warning(&self, container: &str, reason: &str, message: String) {
        self.write("Warning", container, reason, message).await;
    }

    async fn write(&self, kind: &str, container: &str, reason: &str, message: String) {
        tracing::debug!(pod = self.pod.name, container, reason, message, "event");
        let now = Time(Timestamp::now());
        let mut written = self.written.lock().await;
        let key = [container.to_owned(), reason.to_owned(), message.clone()];
        let result = if let Some((name, count)) = written.get_mut(&key) {
            *count += 1;
            let patch = Patch::Merge(json!({ "count": *count, "lastTimestamp": now }));
            self.api.patch(name, &PatchParams::default(), &patch).await
        } else {
            let event = self.event(kind, container, reason, message, now);
            written.insert(key, (event.name_any(), 1));
            self.api.create(&PostParams::default(), &event).await
        };
        if let Err(error) = result {
            tracing::debug!(pod = self.pod.name, reason, %error, "an event was not written");
        }
    }

    fn event(&self, kind: &str, container: &str, reason: &str, message: String, now: Time) -> Event {
        let field_path = Some(format!("spec.containers{{{container}}}")).filter(|_| !container.is_empty());
        let name = format!("{}.{:x}", self.pod.name.as_deref().unwrap_or_default(), now.0.as_nanosecond());
        Event {
            metadata: ObjectMeta { name: Some(name), namespace: self.pod.namespace.clone(), ..ObjectMeta::default() },
            involved_object: ObjectReference { field_path, ..self.pod.clone() },
            reason: Some(reason.to_owned()),
            message: Some(message),
            type_: Some(kind.to_owned()),
            source: Some(EventSource { component: Some("kubelet".into()), host: Some(self.node.clone()) }),
            reporting_component: Some("kubelet".into()),
            reporting_instance: Some(self.node.clone()),
            count: Some(1),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            ..Event::default()
        }
    }
}
