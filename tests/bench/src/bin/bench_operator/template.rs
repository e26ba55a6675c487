//! What does the operator make of an object? Its Job and its statuses, taken from the operator itself, with the names of other objects.
//!
//! So that a cluster with many objects can be had without waiting for a controller, and the naive one creates the same Job.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use gowindows_model::names::job_name;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What was made for one object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Template {
    name: String,
    namespace: String,
    uid: String,
    fingerprint: String,
    /// As it was created, as JSON.
    job: String,
    /// The object's status while the Job waits for a pod, as JSON.
    waiting: String,
    /// The object's status once the Job has failed for good, as JSON.
    ended: String,
}

/// The same for another object.
pub struct Made {
    /// To be created.
    pub job: Value,
    /// The object's status while the Job waits for a pod.
    pub waiting: Value,
    /// The object's status once the Job has failed for good.
    pub ended: Value,
}

/// Labels that the API server gives to a Job's pods by itself.
const GIVEN: [&str; 4] = ["batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name"];

impl Template {
    /// From an object and its Job as the API server has them, and what the object's status became when the Job had failed.
    pub fn new(object: &Value, job: &Value, ended: &Value) -> Result<Self> {
        let text =
            |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("no {pointer}"));
        Ok(Self {
            name: text("/metadata/name")?,
            namespace: text("/metadata/namespace")?,
            uid: text("/metadata/uid")?,
            fingerprint: text("/status/inputs/fingerprint")?,
            job: as_created(job).to_string(),
            waiting: object["status"].to_string(),
            ended: ended.to_string(),
        })
    }

    /// From a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Into a file.
    pub fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_string(self)?).with_context(|| format!("cannot write {}", path.display()))
    }

    /// What the operator would make for this object.
    pub fn made(&self, namespace: &str, name: &str, uid: &str) -> Result<Made> {
        let job = |name: &str, uid: &str| job_name(name, uid, &self.fingerprint, 1, None);
        let (mine, theirs) = (job(&self.name, &self.uid), job(name, uid));
        let adapted = |text: &str| -> Result<Value> {
            let text = text.replace(&mine, &theirs).replace(&self.uid, uid).replace(&self.name, name).replace(&self.namespace, namespace);
            Ok(serde_json::from_str(&text)?)
        };
        Ok(Made { job: adapted(&self.job)?, waiting: adapted(&self.waiting)?, ended: adapted(&self.ended)? })
    }

    /// Bytes of a Job and of a first status.
    pub fn sizes(&self) -> [usize; 2] {
        [&self.job, &self.waiting].map(String::len)
    }
}

/// A Job without what the API server has added.
fn as_created(job: &Value) -> Value {
    let mut spec = job["spec"].clone();
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("selector");
    }
    let mut metadata = json!({});
    for field in ["name", "namespace", "labels", "annotations", "ownerReferences"] {
        metadata[field] = job["metadata"][field].clone();
    }
    for labels in [&mut metadata["labels"], &mut spec["template"]["metadata"]["labels"]] {
        if let Some(labels) = labels.as_object_mut() {
            labels.retain(|name, _| !GIVEN.contains(&name.as_str()));
        }
    }
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
}

/// The status of a Job whose only pod has failed.
pub fn failed(at: &str) -> Value {
    let condition = |kind: &str| {
        json!({
            "type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit",
            "lastProbeTime": at, "lastTransitionTime": at,
        })
    };
    json!({"startTime": at, "failed": 1, "conditions": [condition("FailureTarget"), condition("Failed")]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_for_one_object_is_made_for_others() -> Result<()> {
        let (uid, fingerprint) = ("11111111-2222", "ab".repeat(32));
        let name = job_name("bench-template", uid, &fingerprint, 1, None);
        let object = json!({
            "metadata": {"name": "bench-template", "namespace": "bench-0", "uid": uid},
            "status": {"inputs": {"fingerprint": fingerprint}, "build": {"job": name}},
        });
        let labels = json!({"gowindows.dev/image-uid": uid, "job-name": name});
        let job = json!({
            "metadata": {"name": name, "namespace": "bench-0", "labels": labels, "uid": "its own", "resourceVersion": "7"},
            "spec": {"selector": {}, "backoffLimit": 0, "template": {"metadata": {"labels": labels}}}, "status": {"active": 1},
        });
        let made = Template::new(&object, &job, &json!({"build": {"job": name, "ended": true}}))?.made("bench-3", "shop-7", "9999")?;
        let theirs = job_name("shop-7", "9999", &fingerprint, 1, None);
        assert_eq!(made.job["metadata"]["name"], theirs);
        assert_eq!((&made.job["metadata"]["namespace"], &made.job["metadata"]["uid"]), (&json!("bench-3"), &Value::Null));
        assert_eq!(made.job["spec"], json!({"backoffLimit": 0, "template": {"metadata": {"labels": {"gowindows.dev/image-uid": "9999"}}}}));
        assert_eq!((&made.waiting["build"]["job"], &made.ended["build"]["ended"]), (&json!(theirs), &json!(true)));
        Ok(())
    }
}
