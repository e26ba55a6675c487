//! Why does a Job have no pod? The cluster takes the Job and refuses its pods (Pod Security, quota, a webhook): only an event of the Job
//! controller says so, and without it a build would wait in silence. These events are watched, and of each is kept what is told.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::sync::Arc;

/// Selects them.
pub const REFUSED_PODS: &str = "reason=FailedCreate,regarding.kind=Job";

/// Of which Job an event is.
pub(crate) fn job_of_event(event: &Event) -> Vec<String> {
    event.regarding.as_ref().and_then(|job| job.uid.clone()).into_iter().collect()
}

/// Drops all that is not told.
pub(crate) fn slim_event(event: &mut Event) {
    let Event { metadata, regarding, note, .. } = std::mem::take(event);
    let ObjectReference { name, namespace, uid, .. } = regarding.unwrap_or_default();
    let regarding = ObjectReference { name, namespace, uid, ..ObjectReference::default() };
    // Anybody who may publish events writes the rest of it.
    let ObjectMeta { name, namespace, uid, resource_version, creation_timestamp, .. } = metadata;
    let metadata = ObjectMeta { name, namespace, uid, resource_version, creation_timestamp, ..ObjectMeta::default() };
    *event = Event { metadata, regarding: Some(regarding), note: note.map(|note| gowindows_core::read::clip(&note)), ..Event::default() };
}

/// The newest refusal of a Job's pod, in the words of who refused.
pub(super) fn said_of(events: &[Arc<Event>]) -> Option<String> {
    let newest = events.iter().max_by_key(|event| event.metadata.creation_timestamp.clone().map(|time| time.0))?;
    newest.note.as_deref().map(explained)
}

/// With the remedy, where the words have a known one.
fn explained(said: &str) -> String {
    let remedy = if said.contains("violates PodSecurity") {
        ". Engine Kaniko runs as root and needs a namespace that enforces baseline at most (label pod-security.kubernetes.io/enforce), build.buildkit.inPod and a named pipe one that enforces nothing, or privileged; else engines Go and BuildKit pass restricted"
    } else {
        ""
    };
    format!("the cluster refuses its pod: {said}{remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_by_pod_security_names_the_engines() {
        let event = |note: &str, seconds: i64| {
            let mut event: Event = serde_json::from_value(serde_json::json!({
                "metadata": {"name": "e", "creationTimestamp": format!("2026-01-01T00:00:0{seconds}Z")},
                "regarding": {"kind": "Job", "name": "shop-1", "namespace": "team", "uid": "u"}, "note": note, "reason": "FailedCreate",
            }))
            .expect("an event");
            slim_event(&mut event);
            assert_eq!(job_of_event(&event), ["u"]);
            Arc::new(event)
        };
        let pod_security =
            event("Error creating: pods \"shop-1-x\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true", 1);
        let text = said_of(&[event("older", 0), pod_security]).expect("a text");
        assert!(text.contains("is forbidden") && text.contains("baseline") && text.contains("engines Go"), "{text}");
        let quota = said_of(&[event("Error creating: pods \"a\" is forbidden: exceeded quota: q", 1)]);
        assert!(!quota.expect("a text").contains("Kaniko"));
        assert_eq!(said_of(&[]), None);
    }
}
