//! How is an object read whose parts this version may not understand?
//!
//! One that cannot be read must not hide the others, and a status that another version wrote must not hide its own object: without it the
//! object is as one whose status was lost, and the status is written anew.

use gowindows_crds::GoWindowsImage;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// An object, or why it cannot be read.
#[derive(Clone, Debug)]
pub struct Guarded(pub Result<Arc<GoWindowsImage>, Unreadable>);

/// An object of which only the metadata could be read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What is wrong with the rest.
    pub error: String,
}

impl<'de> Deserialize<'de> for Guarded {
    /// From JSON text that is read twice only where it is not understood: a tree of it for each of ten thousand objects would cost more than all
    /// that is kept. In an event of a watch the type has to come before the object, as every API server writes it (`metav1.WatchEvent`).
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        match serde_json::from_str(text.get()) {
            Ok(object) => Ok(Self(Ok(Arc::new(object)))),
            Err(error) => in_part(text.get(), &error).map_err(D::Error::custom),
        }
    }
}

/// What can be read of an object that cannot be read whole.
fn in_part(text: &str, error: &serde_json::Error) -> Result<Guarded, serde_json::Error> {
    if let Some(object) = without_status(text) {
        tracing::warn!(
            name = object.metadata.name,
            namespace = object.metadata.namespace,
            %error,
            "a status is not understood; it is written anew"
        );
        return Ok(Guarded(Ok(Arc::new(object))));
    }
    let Named { metadata } = serde_json::from_str(text)?;
    Ok(Guarded(Err(Unreadable { metadata, error: error.to_string() })))
}

fn without_status(text: &str) -> Option<GoWindowsImage> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    value.as_object_mut()?.remove("status")?;
    GoWindowsImage::deserialize(&value).ok()
}

/// What every object has. What stands beside it is skipped and not read: however deeply it is nested, it is no error.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    metadata: ObjectMeta,
}

impl Resource for Guarded {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        GoWindowsImage::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        GoWindowsImage::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        GoWindowsImage::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        GoWindowsImage::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(object) => &object.metadata,
            Err(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(object) => &mut Arc::make_mut(object).metadata,
            Err(unreadable) => &mut unreadable.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::{ObjectList, WatchEvent};
    use serde_json::json;

    fn read(patch: Value) -> Guarded {
        let mut object = json!({
            "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "metadata": {"name": "shop", "namespace": "team"},
            "spec": {"source": {"git": {"url": "https://git.example.com/a.git"}}, "image": {"repository": "r.example.com/a"}},
        });
        for (field, value) in patch.as_object().expect("an object") {
            object[field] = value.clone();
        }
        serde_json::from_value(object).expect("never an error")
    }

    #[test]
    fn a_status_of_another_version_does_not_hide_its_object() {
        let object = read(json!({"status": {"observedGeneration": 1, "phase": "Perplexed"}})).0.expect("readable");
        assert!(object.status.is_none());
        let object = read(json!({"status": {"observedGeneration": 1, "phase": "Ready"}})).0.expect("readable");
        assert_eq!(object.status.as_ref().map(|status| status.observed_generation), Some(1));
    }

    #[test]
    fn an_unreadable_object_still_has_a_name() {
        let unreadable = read(json!({"spec": {"source": 7}}));
        assert_eq!(unreadable.meta().name.as_deref(), Some("shop"));
        assert!(unreadable.0.is_err_and(|unreadable| unreadable.error.contains("source") || unreadable.error.contains('7')));
    }

    /// serde_json reads 128 levels and no more. One such object must not hide those that are listed with it.
    #[test]
    fn what_is_nested_without_end_hides_no_neighbour() {
        let object = |name: &str, field: &str| {
            let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
            format!(
                r#"{{"apiVersion":"gowindows.dev/v1alpha1","kind":"GoWindowsImage","metadata":{{"name":"{name}"}},"{field}":{nested}}}"#
            )
        };
        let (spec, status) = (object("spec", "spec"), object("status", "status"));
        let list = format!(r#"{{"kind":"List","apiVersion":"v1","metadata":{{}},"items":[{spec},{status}]}}"#);
        let list: ObjectList<Guarded> = serde_json::from_str(&list).expect("a list");
        let names = list.items.iter().map(|object| (object.meta().name.as_deref(), object.0.is_ok()));
        assert_eq!(names.collect::<Vec<_>>(), [(Some("spec"), false), (Some("status"), false)]);
    }

    /// The two ways in which kube reads an object: neither may take it apart before this does.
    #[test]
    fn lists_and_events_are_read() {
        let object = |spec: &str| {
            format!(
                r#"{{"apiVersion":"gowindows.dev/v1alpha1","kind":"GoWindowsImage","metadata":{{"name":"shop","namespace":"team"}},"spec":{spec}}}"#
            )
        };
        let good = object(r#"{"source":{"git":{"url":"https://git.example.com/a.git"}},"image":{"repository":"r.example.com/a"}}"#);
        let list = format!(r#"{{"kind":"List","apiVersion":"v1","metadata":{{"resourceVersion":"7"}},"items":[{good},{}]}}"#, object("7"));
        let list: ObjectList<Guarded> = serde_json::from_str(&list).expect("a list");
        assert_eq!(list.items.iter().map(|object| object.0.is_ok()).collect::<Vec<_>>(), [true, false]);
        let event = format!(r#"{{"type":"MODIFIED","object":{good}}}"#);
        let event: WatchEvent<Guarded> = serde_json::from_str(&event).expect("an event");
        assert!(matches!(event, WatchEvent::Modified(Guarded(Ok(_)))));
    }
}
