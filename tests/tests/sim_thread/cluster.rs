//! What plays the cluster? Job controller, scheduler and kubelet, Deployment controller, garbage collector.
//!
//! One task follows the log of writes and keeps a list of what is to be done when. Each of its steps is one change of the store, or
//! none if the world has moved on.

mod stages;

use crate::outside::Program;
use crate::pods;
use crate::stage::{NAMESPACE, Stage};
use crate::wire::number_of;
use gowindows_tests::fake_apiserver::kinds::{KINDS, by_name};
use gowindows_tests::fake_apiserver::{Change, Key, Store, Stored, Writer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Give a Job its pod.
    StartPod(Key),
    /// The next stage of a build pod begins, or the pod ends.
    Stage { pod: Key, stage: usize },
    /// A Job learns how its pod ended.
    Count { job: Key, condition: Value },
    /// A Job's deadline has come.
    Deadline(Key),
    /// Bring a Deployment on.
    Deployment(Key),
    /// A pod of a Deployment is up, or crashes.
    PodUp(Key),
    /// Delete what has no owner any more.
    Collect,
}

/// Plays the cluster until it is dropped.
pub struct Cluster {
    stage: Arc<Stage>,
    steps: BTreeMap<(u64, u64), Step>,
    count: u64,
    seen: u64,
}

impl Cluster {
    /// For a stage.
    pub fn new(stage: Arc<Stage>) -> Self {
        Self { stage, steps: BTreeMap::new(), count: 0, seen: 0 }
    }

    /// Runs for ever.
    pub async fn run(mut self) {
        let mut writes = self.stage.server.writes();
        loop {
            writes.borrow_and_update();
            let changes = self.stage.server.within(|store| store.changes_after(self.seen).to_vec());
            for change in changes {
                self.seen = change.version;
                self.react(&change);
            }
            let Some((&(at, number), _)) = self.steps.first_key_value() else {
                let _ = writes.changed().await;
                continue;
            };
            if at > self.stage.milliseconds() {
                tokio::select! {
                    biased;
                    _ = writes.changed() => {}
                    () = self.stage.until(at) => {}
                }
                continue;
            }
            if let Some(step) = self.steps.remove(&(at, number)) {
                self.act(step);
            }
        }
    }

    fn later(&mut self, after: Duration, step: Step) {
        if self.steps.values().any(|planned| *planned == step) && step == Step::Collect {
            return;
        }
        self.count += 1;
        self.steps.insert((self.stage.cluster_time(after), self.count), step);
    }

    /// How long something takes: what happens beside it does not change that.
    fn spread(&self, what: &str, of: &Key, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.stage.dice.below(&format!("{what} {}", of.2), 0, most - least))
    }

    fn react(&mut self, change: &Change) {
        let Some(kind) = KINDS.get(change.key.0).map(|kind| kind.kind) else { return };
        let changed = || spec(&change.old) != spec(&change.new);
        match (kind, &change.new) {
            (_, None) => self.later(Duration::from_millis(200), Step::Collect),
            (_, Some(new)) if new.object["metadata"]["deletionTimestamp"].is_string() => {
                self.later(Duration::from_millis(200), Step::Collect);
            }
            ("Job", Some(new)) if changed() && new.object["spec"]["suspend"] != true => {
                let begins = change.old.as_ref().is_none_or(|old| old.object["spec"]["suspend"] == true);
                if begins && new.object["spec"]["parallelism"] != 0 {
                    let wait = self.spread("pod", &change.key, 20, 400);
                    self.later(wait, Step::StartPod(change.key.clone()));
                }
                let seconds = new.object["spec"]["activeDeadlineSeconds"].as_u64().unwrap_or(3600);
                self.later(Duration::from_secs(seconds), Step::Deadline(change.key.clone()));
            }
            ("Deployment", Some(_)) if changed() => {
                let wait = self.spread("roll", &change.key, 50, 500);
                self.later(wait, Step::Deployment(change.key.clone()));
            }
            _ => {}
        }
    }

    fn act(&mut self, step: Step) {
        match step {
            Step::StartPod(job) => self.start_pod(&job),
            Step::Stage { pod, stage } => self.stage(pod, stage),
            Step::Count { job, condition } => self.count(&job, &condition),
            Step::Deadline(job) => self.deadline(&job),
            Step::Deployment(key) => self.deployment(&key),
            Step::PodUp(pod) => self.pod_up(&pod),
            Step::Collect => self.collect(),
        }
    }

    fn start_pod(&mut self, job: &Key) {
        let stage = self.stage.clone();
        if stage.outage.load(Ordering::Relaxed) && number_of(&job.2).is_some_and(|number| number >= 10) {
            stage.server.within(|store| refuse_pod(store, job));
            self.later(Duration::from_secs(60), Step::StartPod(job.clone()));
            return;
        }
        let pod = stage.server.within(|store| {
            let object = unfinished(store, job)?;
            let now = json!((stage.clock())().to_string());
            store.update(&writer("job-controller"), job, true, |job| job["status"]["startTime"] = now).ok();
            let pod = pods::of_job(&object);
            store.create(&writer("job-controller"), by_name("Pod"), NAMESPACE, pod).ok()
        });
        if let Some(pod) = pod {
            let wait = self.spread("schedule", job, 300, 3_000);
            self.later(wait, Step::Stage { pod: key_of(&pod.object, "Pod"), stage: 0 });
        }
    }

    fn count(&mut self, job: &Key, condition: &Value) {
        let stage = self.stage.clone();
        let now = (stage.clock())().to_string();
        stage.server.within(|store| finish(store, job, condition, now));
    }

    fn deadline(&mut self, job: &Key) {
        let stage = self.stage.clone();
        let now = (stage.clock())();
        stage.server.within(|store| {
            let Some(object) = unfinished(store, job).filter(|job| job["spec"]["suspend"] != true) else { return };
            let seconds = object["spec"]["activeDeadlineSeconds"].as_i64().unwrap_or(3600);
            let began = object["status"]["startTime"].as_str().or(object["metadata"]["creationTimestamp"].as_str());
            let began = began.and_then(|time| time.parse::<k8s_openapi::jiff::Timestamp>().ok());
            let over = began.is_some_and(|began| now.duration_since(began).as_secs() >= seconds);
            if !over {
                return;
            }
            let active = |pod: &Value| owned_by(pod, &object["metadata"]["uid"]) && pod["status"]["phase"] != "Succeeded";
            for (key, _) in store.list(by_name("Pod"), Some(NAMESPACE)).iter().filter(|(_, pod)| active(&pod.object)) {
                store.delete(&writer("job-controller"), key, None, false).ok();
            }
            finish(store, job, &json!({"type": "Failed", "reason": "DeadlineExceeded"}), now.to_string());
        });
    }

    fn deployment(&mut self, key: &Key) {
        let stage = self.stage.clone();
        let (started, again) = stage.server.within(|store| pods::roll(store, key));
        for pod in started {
            let wait = self.spread("up", &pod, 800, 3_000);
            self.later(wait, Step::PodUp(pod));
        }
        if again {
            self.later(Duration::from_millis(500), Step::Deployment(key.clone()));
        }
    }

    fn pod_up(&mut self, pod: &Key) {
        let stage = self.stage.clone();
        let owner = stage.server.within(|store| {
            let object = store.get(pod)?.object.clone();
            let image = object["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
            let digest = image.split('@').nth(1).unwrap_or_default();
            let crashes = stage.outside.image(digest).is_some_and(|image| image.program == Program::Crashes);
            store.update(&writer("kubelet"), pod, true, |pod| pods::up(pod, crashes)).ok()?;
            object["metadata"]["ownerReferences"][0]["name"].as_str().map(str::to_owned)
        });
        if let Some(owner) = owner {
            self.later(Duration::from_millis(100), Step::Deployment((by_name("Deployment"), NAMESPACE.into(), owner)));
        }
    }

    /// As the garbage collector: what has an owner that is gone goes; who is deleted in the foreground goes after all that it owns.
    fn collect(&mut self) {
        let stage = self.stage.clone();
        stage.server.within(|store| {
            let everything: Vec<_> = (0..KINDS.len()).flat_map(|kind| store.list(kind, None)).collect();
            let leaving = |object: &Value| object["metadata"]["deletionTimestamp"].is_string();
            let alive: Vec<Value> =
                everything.iter().filter(|(_, o)| !leaving(&o.object)).map(|(_, o)| o.object["metadata"]["uid"].clone()).collect();
            let orphan = |object: &Value| {
                let owners = object["metadata"]["ownerReferences"].as_array();
                owners.is_some_and(|owners| !owners.is_empty() && owners.iter().all(|owner| !alive.contains(&owner["uid"])))
            };
            let gone: Vec<&Key> = everything.iter().filter(|(_, stored)| orphan(&stored.object)).map(|(key, _)| key).collect();
            for key in &gone {
                store.delete(&writer("garbage-collector"), key, None, false).ok();
            }
            if gone.is_empty() {
                for (key, _) in everything.iter().filter(|(_, stored)| leaving(&stored.object)) {
                    store.remove(&writer("garbage-collector"), key);
                }
            }
        });
    }
}

/// A part of the cluster as a writer.
pub fn writer(name: &str) -> Writer {
    Writer { name: name.to_owned(), manager: name.to_owned() }
}

fn spec(stored: &Option<Stored>) -> Option<&Value> {
    stored.as_ref().map(|stored| &stored.object["spec"])
}

/// The Job controller says in an event why a Job has no pod, and counts when it says so again.
fn refuse_pod(store: &mut Store, job: &Key) {
    let Some(object) = unfinished(store, job) else { return };
    let name = format!("{}.refused", job.2);
    let key = (by_name("Event"), NAMESPACE.to_owned(), name.clone());
    if store.update(&writer("job-controller"), &key, false, |event| event["deprecatedCount"] = json!(2)).is_ok() {
        return;
    }
    let regarding =
        json!({"apiVersion": "batch/v1", "kind": "Job", "name": job.2, "namespace": NAMESPACE, "uid": object["metadata"]["uid"]});
    let note = "Error creating: pods is forbidden: exceeded quota: none";
    let event = json!({
        "metadata": {"name": name}, "regarding": regarding, "reason": "FailedCreate", "note": note, "type": "Warning",
        "action": "", "reportingController": "job-controller", "reportingInstance": "sim", "eventTime": null,
    });
    store.create(&writer("job-controller"), by_name("Event"), NAMESPACE, event).ok();
}

fn key_of(object: &Value, kind: &str) -> Key {
    (by_name(kind), NAMESPACE.into(), object["metadata"]["name"].as_str().unwrap_or_default().into())
}

pub(crate) fn owned_by(object: &Value, uid: &Value) -> bool {
    object["metadata"]["ownerReferences"].as_array().is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == *uid))
}

fn unfinished(store: &Store, job: &Key) -> Option<Arc<Value>> {
    let object = store.get(job)?.object.clone();
    let ended = object["status"]["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty());
    (!ended && !object["metadata"]["deletionTimestamp"].is_string()).then_some(object)
}

fn finish(store: &mut Store, job: &Key, condition: &Value, now: String) {
    if unfinished(store, job).is_none() {
        return;
    }
    let mut condition = condition.clone();
    condition["status"] = json!("True");
    condition["lastTransitionTime"] = json!(now);
    let complete = condition["type"] == "Complete";
    store
        .update(&writer("job-controller"), job, true, |job| {
            job["status"]["conditions"] = json!([condition]);
            if complete {
                job["status"]["completionTime"] = json!(now);
            }
        })
        .ok();
}
