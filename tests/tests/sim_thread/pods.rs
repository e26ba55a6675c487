//! What do pods, Jobs and Deployments look like on their way? The objects that the parts of the cluster write.

use crate::cluster::{owned_by, writer};
use crate::stage::NAMESPACE;
use gowindows_model::wire::source::{CacheFacts, SourceInfo, SourceReport};
use gowindows_tests::fake_apiserver::kinds::by_name;
use gowindows_tests::fake_apiserver::{Key, Store};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// How a build pod ended.
pub enum Ended {
    /// Its last stage left this message.
    Succeeded(String),
    /// A stage ended with an exit code and said this.
    Failed {
        /// Its position.
        stage: usize,
        /// Its exit code.
        exit: i32,
        /// The end of its output.
        says: String,
    },
    /// A stage was ended at its limit of memory.
    OutOfMemory {
        /// Its position.
        stage: usize,
    },
}

/// The stages of a build pod, in order.
pub fn stages(pod: &Value) -> Vec<String> {
    let containers = pod["spec"]["initContainers"].as_array().into_iter().chain(pod["spec"]["containers"].as_array()).flatten();
    containers.filter_map(|container| container["name"].as_str().map(str::to_owned)).collect()
}

/// The pod of a Job.
pub fn of_job(job: &Value) -> Value {
    let template = &job["spec"]["template"];
    let name = format!("{}-pod", job["metadata"]["name"].as_str().unwrap_or_default());
    json!({
        "metadata": {
            "name": name, "labels": template["metadata"]["labels"], "annotations": template["metadata"]["annotations"],
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"], "controller": true}],
        },
        "spec": template["spec"],
        "status": {"phase": "Pending"},
    })
}

/// The status of a build pod of which so many stages have ended.
pub fn at_stage(pod: &mut Value, number: usize, ended: Option<&Ended>, now: Timestamp) {
    let now = json!(Timestamp::from_second(now.as_second()).unwrap_or(now).to_string());
    let (before, stages, fetched) = (pod["status"].clone(), stages(pod), fetched(pod));
    let last = stages.len() - 1;
    let started = |stage: usize| {
        let statuses = if stage < last { &before["initContainerStatuses"][stage] } else { &before["containerStatuses"][0] };
        statuses["state"]["running"]["startedAt"].as_str().or(statuses["state"]["terminated"]["startedAt"].as_str()).map(str::to_owned)
    };
    let failed = match ended {
        Some(Ended::Failed { stage, exit, says }) => Some((*stage, *exit, says.clone())),
        Some(Ended::OutOfMemory { stage }) => Some((*stage, 137, String::new())),
        _ => None,
    };
    let state = |stage: usize| {
        if stage >= number {
            return if stage == number && ended.is_none() {
                json!({"running": {"startedAt": now}})
            } else {
                json!({"waiting": {"reason": "PodInitializing"}})
            };
        }
        let (exit, message) = match (&failed, ended) {
            (Some((broken, exit, says)), _) if *broken == stage => (*exit, says.clone()),
            _ if stages[stage] == "source" => (0, fetched.clone()),
            (_, Some(Ended::Succeeded(says))) if stage == last => (0, says.clone()),
            _ => (0, String::new()),
        };
        let reason = match ended {
            Some(Ended::OutOfMemory { stage: broken }) if *broken == stage => "OOMKilled",
            _ if exit == 0 => "Completed",
            _ => "Error",
        };
        json!({"terminated": {"exitCode": exit, "reason": reason, "message": message, "startedAt": started(stage), "finishedAt": now}})
    };
    let status = |stage: usize| {
        json!({
            "name": stages[stage], "state": state(stage), "ready": false, "restartCount": 0, "image": "", "imageID": "",
        })
    };
    pod["status"] = json!({
        "phase": match ended { None => "Running", Some(Ended::Succeeded(_)) => "Succeeded", Some(_) => "Failed" },
        "initContainerStatuses": (0..last).map(status).collect::<Vec<_>>(),
        "containerStatuses": [status(last)],
    });
}

/// What the stage that fetches says at its good end: where it is told to look at a cache, what it found there.
fn fetched(pod: &Value) -> String {
    let containers = pod["spec"]["initContainers"].as_array().into_iter().chain(pod["spec"]["containers"].as_array()).flatten();
    let mut args = containers.filter(|container| container["name"] == "source").flat_map(|source| source["args"].as_array()).flatten();
    let cache = CacheFacts { hit: true, bytes: 150_000_000, since: Some(1_767_139_200), at_least: false };
    let cache = args.any(|arg| arg == "--cache").then_some(cache);
    serde_json::to_string(&SourceReport::Done(SourceInfo { context_bytes: 40_000, cache, ..SourceInfo::default() })).unwrap_or_default()
}

/// The condition of a Job whose pod ended.
pub fn job_condition(ended: &Ended) -> Value {
    match ended {
        Ended::Succeeded(_) => json!({"type": "Complete"}),
        Ended::Failed { .. } | Ended::OutOfMemory { .. } => {
            json!({"type": "Failed", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"})
        }
    }
}

/// The status of a Deployment's pod that has started.
pub fn up(pod: &mut Value, crashes: bool) {
    let (state, restarts) = if crashes {
        (json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}), 3)
    } else {
        (json!({"running": {}}), 0)
    };
    pod["status"] = json!({
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": if crashes { "False" } else { "True" }}],
        "containerStatuses": [{
            "name": "app", "ready": !crashes, "restartCount": restarts, "image": "", "imageID": "", "state": state,
            "lastState": if crashes { json!({"terminated": {"exitCode": 3}}) } else { json!({}) },
        }],
    });
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"][0]["status"] == "True"
}

/// One step of a rolling update with one more pod at a time. The pods that were started, and whether there is more to do at once.
pub fn roll(store: &mut Store, key: &Key) -> (Vec<Key>, bool) {
    let controller = writer("deployment-controller");
    let Some(deployment) = store.get(key).map(|stored| stored.object.clone()) else { return (Vec::new(), false) };
    if deployment["metadata"]["deletionTimestamp"].is_string() {
        return (Vec::new(), false);
    }
    let (spec, uid) = (&deployment["spec"], &deployment["metadata"]["uid"]);
    let image = spec["template"]["spec"]["containers"][0]["image"].clone();
    let wanted = usize::try_from(spec["replicas"].as_u64().unwrap_or(1)).unwrap_or(1);
    let pods: Vec<(Key, Arc<Value>)> = store
        .list(by_name("Pod"), Some(NAMESPACE))
        .into_iter()
        .filter(|(_, pod)| owned_by(&pod.object, uid))
        .map(|(key, pod)| (key, pod.object))
        .collect();
    let is_new = |pod: &Value| pod["spec"]["containers"][0]["image"] == image;
    let count = |which: &dyn Fn(&Value) -> bool| pods.iter().filter(|(_, pod)| which(pod)).count();
    let (new, ready) = (count(&is_new), count(&is_ready));
    let mut started = Vec::new();
    let mut again = false;
    let paused = spec["paused"] == true;
    if !paused && new < wanted && pods.len() <= wanted {
        let number = store.version();
        let pod = json!({
            "metadata": {
                "name": format!("{}-pod-{number}", key.2), "labels": spec["template"]["metadata"]["labels"],
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": key.2, "uid": uid, "controller": true}],
            },
            "spec": spec["template"]["spec"],
            "status": {"phase": "Pending"},
        });
        if let Ok(pod) = store.create(&controller, by_name("Pod"), NAMESPACE, pod) {
            started.push((by_name("Pod"), NAMESPACE.to_owned(), pod.object["metadata"]["name"].as_str().unwrap_or_default().to_owned()));
        }
    } else if let Some((old, _)) = surplus(&pods, wanted, ready, paused, &is_new) {
        store.delete(&controller, old, None, false).ok();
        again = true;
    }
    let now: Vec<Arc<Value>> =
        store.list(by_name("Pod"), Some(NAMESPACE)).into_iter().map(|(_, pod)| pod.object).filter(|pod| owned_by(pod, uid)).collect();
    let count = |which: &dyn Fn(&Value) -> bool| now.iter().filter(|pod| which(pod)).count();
    let generation = deployment["metadata"]["generation"].clone();
    let (total, updated, ready) = (now.len(), count(&is_new), count(&is_ready));
    store
        .update(&controller, key, true, |deployment| {
            deployment["status"] = json!({
                "observedGeneration": generation, "replicas": total, "updatedReplicas": updated, "readyReplicas": ready, "availableReplicas": ready,
            });
        })
        .ok();
    (started, again)
}

/// The pod that can go: one of a superseded template while enough are ready, or one too many.
fn surplus<'a>(
    pods: &'a [(Key, Arc<Value>)],
    wanted: usize,
    ready: usize,
    paused: bool,
    is_new: &dyn Fn(&Value) -> bool,
) -> Option<&'a (Key, Arc<Value>)> {
    let old_and_broken = pods.iter().find(|(_, pod)| !is_new(pod) && !is_ready(pod));
    let old = pods.iter().find(|(_, pod)| !is_new(pod));
    let any = pods.iter().find(|(_, pod)| is_new(pod));
    match () {
        () if pods.len() > wanted && paused => None,
        () if pods.len() > wanted || old_and_broken.is_some() => {
            old_and_broken.or(old.filter(|_| ready > wanted)).or(any.filter(|_| pods.iter().all(|(_, pod)| is_new(pod))))
        }
        () => None,
    }
}
