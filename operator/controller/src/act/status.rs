//! How do status and events get to the API server?

use super::{Leadership, NotLeading};
use crate::observe::{Cluster, Guarded};
use gowindows_core::status::Notice;
use gowindows_crds::GoWindowsImage;
use gowindows_crds::conditions::sort;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::GoWindowsImageStatus;
use gowindows_model::facts::World;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;
use std::sync::Arc;

/// A status that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The API server refused it.
    #[error("apply the status of {name}")]
    ApplyStatus {
        /// The object.
        name: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// The API server did not answer in time.
    #[error("the API server did not answer within {:?}", super::DEADLINE)]
    Deadline,
    /// Another process may lead by now.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
}

/// What became of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is the one that is there.
    Equal,
    /// It was applied.
    Applied,
    /// The object is gone, is another one of the same name, or was changed since it was seen.
    Refused,
}

/// Applies the status where it differs from the one that is there.
///
/// # Errors
/// When this process does not lead, or the API server refuses or does not answer; an object that is gone or newer is no error.
pub async fn write_status(
    cluster: &Cluster,
    leadership: &Leadership,
    world: &World,
    status: &GoWindowsImageStatus,
) -> Result<Written, StatusError> {
    if world.object.status.as_ref().is_some_and(|there| equal(there, status)) {
        return Ok(Written::Equal);
    }
    leadership.check()?;
    let (name, namespace) = (world.object.name_any(), world.object.namespace().unwrap_or_default());
    let patch = json!({
        "apiVersion": GoWindowsImage::api_version(&()),
        "kind": GoWindowsImage::kind(&()),
        // The version refuses a status that was made of a past, or for an object that was deleted and created again meanwhile (a
        // uid would not: the API server ignores it in a status).
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": world.object.resource_version()},
        "status": status,
    });
    let api = Api::<GoWindowsImage>::namespaced(cluster.client.clone(), &namespace);
    let params = PatchParams::apply(names::STATUS_MANAGER).force();
    let patch = Patch::Apply(&patch);
    let call = tokio::time::timeout(super::DEADLINE, api.patch_status(&name, &params, &patch));
    match call.await.map_err(|_| StatusError::Deadline)? {
        Ok(mut written) => {
            written.metadata.managed_fields = None;
            cluster.stores.images.remember(Guarded(Ok(Arc::new(written))), world.now);
            Ok(Written::Applied)
        }
        Err(kube::Error::Api(gone)) if gone.code == 404 || gone.code == 409 => Ok(Written::Refused),
        Err(source) => Err(StatusError::ApplyStatus { name, source }),
    }
}

/// Whether two statuses say the same. Conditions are a map by their type: an API server may keep them in the order of their first appearance.
fn equal(there: &GoWindowsImageStatus, status: &GoWindowsImageStatus) -> bool {
    if there.conditions.len() != status.conditions.len() {
        return false;
    }
    let mut there = there.clone();
    sort(&mut there.conditions);
    there == *status
}

/// Publishes events. They are for people: a failure is logged and forgotten.
pub async fn write_events(client: &Client, leadership: &Leadership, reporter: &Reporter, object: &GoWindowsImage, notices: &[Notice]) {
    // A recorder that lives on would count a second `Published` onto the first one and drop its message. Repetitions are
    // avoided already: notices are differences.
    let recorder = Recorder::new(client.clone(), reporter.clone());
    for Notice { warning, reason, action, message } in notices {
        if !leadership.holds() {
            return;
        }
        let event = Event {
            type_: if *warning { EventType::Warning } else { EventType::Normal },
            reason: reason.clone(),
            note: Some(message.chars().take(1000).collect()),
            action: (*action).to_owned(),
            secondary: None,
        };
        let published = tokio::time::timeout(super::DEADLINE, recorder.publish(&event, &object.object_ref(&()))).await;
        if let Ok(Err(error)) = published {
            tracing::warn!(%error, reason, "an event could not be published");
        }
    }
}
