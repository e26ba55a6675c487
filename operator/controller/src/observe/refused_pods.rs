//! Why does a Job have no pod? The cluster takes the Job and refuses its pods (Pod Security, quota, a webhook): only an event of the Job
//! controller says so, and without it a build would wait in silence.

use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};
use std::time::Duration;

/// It explains; nothing depends on it.
const DEADLINE: Duration = Duration::from_secs(5);

/// The newest refusal of a Job's pod, in the words of who refused; none where there is none or it cannot be read.
pub(super) async fn refusal(client: &Client, namespace: &str, job_uid: &str) -> Option<String> {
    let params = ListParams::default().fields(&format!("regarding.uid={job_uid},reason=FailedCreate")).limit(20);
    let api = Api::<Event>::namespaced(client.clone(), namespace);
    let events = tokio::time::timeout(DEADLINE, api.list(&params)).await.ok()?.ok()?;
    let of_it = |event: &&Event| {
        let regarding = event.regarding.as_ref().and_then(|object| object.uid.as_deref());
        regarding == Some(job_uid) && event.reason.as_deref() == Some("FailedCreate")
    };
    let newest = events.items.iter().filter(of_it).max_by_key(|event| event.metadata.creation_timestamp.clone().map(|time| time.0))?;
    newest.note.as_deref().map(explained)
}

/// With the remedy, where the words have a known one.
fn explained(note: &str) -> String {
    let said = gowindows_core::read::clip(note);
    let remedy = if note.contains("violates PodSecurity") {
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
        let note = "Error creating: pods \"shop-1-x\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true";
        let text = explained(note);
        assert!(text.contains("is forbidden") && text.contains("baseline") && text.contains("engines Go"), "{text}");
        assert!(!explained("Error creating: pods \"a\" is forbidden: exceeded quota: q").contains("Kaniko"));
    }
}
