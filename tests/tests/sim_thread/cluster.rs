//! What plays the cluster? Job controller, scheduler and kubelet, Deployment controller, garbage collector.
//!
//! One task follows the log of writes and keeps a list of what is to be done when. Each of its steps is one change of the store, or
//! none if the world has moved on.

use crate::outside::Program;
use crate::pods::{self, Ended};
use crate::stage::{NAMESPACE, Stage};
use gowindows_crds::names;
use gowindows_operator::step::assemble_request::AssembleRequest;
use gowindows_operator::step::source_request::SourceRequest;
use gowindows_tests::fake_apiserver::kinds::{KINDS, by_name};
use gowindows_tests::fake_apiserver::{Change, Key, Store, Stored, Writer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Give a Job its pod.
    StartPod(Key),
    /// The next stage of a build pod begins, or the pod ends.
    Stage { pod: Key, stage: usize },
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
            Step::Deadline(job) => self.deadline(&job),
            Step::Deployment(key) => self.deployment(&key),
            Step::PodUp(pod) => self.pod_up(&pod),
            Step::Collect => self.collect(),
        }
    }

    fn start_pod(&mut self, job: &Key) {
        let stage = self.stage.clone();
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

    /// A build pod: `stage` stages have ended, the next one begins.
    fn stage(&mut self, pod: Key, number: usize) {
        let stage = self.stage.clone();
        let Some(object) = stage.server.within(|store| store.get(&pod).map(|stored| stored.object.clone())) else { return };
        if object["metadata"]["labels"][names::LABEL_ROLE] == names::ROLE_TEST {
            return self.test_stage(pod, number, &object);
        }
        if object["metadata"]["labels"][names::LABEL_ROLE] == names::ROLE_PART {
            return self.part(pod, number, &object);
        }
        let assemble = request::<AssembleRequest>(&object, "assemble");
        if let (None, Some(assemble)) = (request::<SourceRequest>(&object, "source"), &assemble) {
            return self.last_part(pod, number, &object, assemble);
        }
        let (source, assemble) = (request::<SourceRequest>(&object, "source"), request::<AssembleRequest>(&object, "assemble"));
        let (Some(source), Some(assemble)) = (source, assemble) else { return };
        let program = stage.outside.program(&source.commit);
        let owner = object["metadata"]["labels"][names::LABEL_IMAGE_UID].as_str().unwrap_or_default().to_owned();
        let stages = pods::stages(&object);
        let known = assemble.known_program.as_ref().map(|known| stage.outside.served(known.image.split('@').nth(1).unwrap_or_default()));
        let begins = stages.get(number).map(String::as_str);
        let ended = match (begins, program, known) {
            (Some("assemble"), Program::Broken, None) => {
                Some(Ended::Failed { stage: number - 1, exit: 1, says: "./main.go:7:2: undefined: bread".into() })
            }
            (Some("assemble"), Program::Hungry, None) if memory(&object["spec"]["initContainers"][number - 1]) <= 4 << 30 => {
                Some(Ended::OutOfMemory { stage: number - 1 })
            }
            (None, _, Some(None)) => {
                let failure = json!({"failure": {"reason": "ProgramUnavailable", "message": "it is gone", "transient": false}});
                Some(Ended::Failed { stage: number - 1, exit: 1, says: failure.to_string() })
            }
            (None, _, known) => {
                if !assemble.tag.starts_with("gw-untested-") && is_gated(&stage, &object) && !stage.outside.has_passed(&source.commit) {
                    stage.invariants().breaks(format!("I14: {} is pushed, and its tests have not passed", assemble.tag));
                }
                let ldflags = known.flatten().map_or_else(|| ldflags(&object), |known| known.ldflags);
                let digest = stage.outside.push(&assemble.repository, &assemble.tag, &source.commit, ldflags, &owner, stage.clock()());
                Some(Ended::Succeeded(
                    json!({"digest": digest, "binary": {"name": "shop.exe", "bytes": 9_000_000, "sha256": "0".repeat(64)}}).to_string(),
                ))
            }
            _ => None,
        };
        self.step(pod, number, &object, ended.as_ref());
    }

    /// The same of a pod that fetches, or compiles, for another one.
    fn part(&mut self, pod: Key, number: usize, object: &Value) {
        let stage = self.stage.clone();
        let compiles = object["spec"]["containers"][0]["name"] == "compile";
        let commit = inputs(&stage, object)["commit"].as_str().unwrap_or_default().to_owned();
        let ended = pods::stages(object).get(number).is_none().then(|| match stage.outside.program(&commit) {
            Program::Broken if compiles => Ended::Failed { stage: 0, exit: 1, says: ".\\main.go:7:2: undefined: bread".into() },
            _ => Ended::Succeeded(String::new()),
        });
        self.step(pod, number, object, ended.as_ref());
    }

    /// The same of a pod that assembles what others have left.
    fn last_part(&mut self, pod: Key, number: usize, object: &Value, assemble: &AssembleRequest) {
        let stage = self.stage.clone();
        let owner = object["metadata"]["labels"][names::LABEL_IMAGE_UID].as_str().unwrap_or_default().to_owned();
        let ended = pods::stages(object).get(number).is_none().then(|| {
            let (commit, flags) =
                (assemble.assembly.revision.clone().unwrap_or_default(), inputs(&stage, object)["compile"]["ldflags"].clone());
            let digest = stage.outside.push(&assemble.repository, &assemble.tag, &commit, vec![flags.to_string()], &owner, stage.clock()());
            Ended::Succeeded(json!({"digest": digest}).to_string())
        });
        self.step(pod, number, object, ended.as_ref());
    }

    /// The same of a pod that tests.
    fn test_stage(&mut self, pod: Key, number: usize, object: &Value) {
        let stage = self.stage.clone();
        let Some(source) = request::<SourceRequest>(object, "source") else { return };
        let ended = pods::stages(object).get(number).is_none().then(|| match stage.outside.program(&source.commit) {
            Program::Broken => Ended::Failed {
                stage: number - 1,
                exit: 1,
                says: "./main.go:7:2: undefined: bread\nFAIL\texample.com/shop [build failed]\nFAIL".into(),
            },
            Program::Untested => Ended::Failed {
                stage: number - 1,
                exit: 1,
                says: "--- FAIL: TestBread (0.00s)\n    bread_test.go:7: it is stale\nFAIL\nFAIL\texample.com/shop\t0.005s\nFAIL".into(),
            },
            Program::Good | Program::Crashes | Program::Hungry => {
                stage.outside.pass(&source.commit);
                Ended::Succeeded(String::new())
            }
        });
        self.step(pod, number, object, ended.as_ref());
    }

    /// Writes how far a pod is, and plans what comes next.
    fn step(&mut self, pod: Key, number: usize, object: &Value, ended: Option<&Ended>) {
        let stage = self.stage.clone();
        let now = (stage.clock())();
        stage.server.within(|store| {
            store.update(&writer("kubelet"), &pod, true, |pod| pods::at_stage(pod, number, ended, now)).ok();
            if let Some(ended) = ended {
                let owner = object["metadata"]["ownerReferences"][0]["name"].as_str().unwrap_or_default();
                finish(store, &(by_name("Job"), NAMESPACE.into(), owner.into()), &pods::job_condition(ended), now.to_string());
            }
        });
        if ended.is_none() {
            let (least, most) = match pods::stages(object).get(number).map(String::as_str) {
                Some("compile" | "test") => (2_000, 25_000),
                _ => (500, 3_000),
            };
            let wait = self.spread(&format!("stage {number}"), &pod, least, most);
            self.later(wait, Step::Stage { pod, stage: number + 1 });
        }
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
            for (key, _) in
                store.list(by_name("Pod"), Some(NAMESPACE)).iter().filter(|(_, pod)| owned_by(&pod.object, &object["metadata"]["uid"]))
            {
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

/// Whether a build pod's image waits for tests, as its Job was made for.
fn is_gated(stage: &Stage, pod: &Value) -> bool {
    inputs(stage, pod)["tests"].is_array()
}

/// The inputs of the build whose Job has, or had, this pod: a pod outlives its Job by a moment, and what it makes is what it was made for.
fn inputs(stage: &Stage, pod: &Value) -> Value {
    let owner = pod["metadata"]["ownerReferences"][0]["name"].as_str().unwrap_or_default().to_owned();
    let key = (by_name("Job"), NAMESPACE.to_owned(), owner);
    let job = stage.server.within(|store| {
        let deleted = || store.changes_after(0).iter().rev().find(|change| change.key == key)?.old.clone();
        store.get(&key).cloned().or_else(deleted).map(|stored| stored.object.clone())
    });
    let inputs = job.and_then(|job| serde_json::from_str(job["metadata"]["annotations"][names::ANNOTATION_INPUTS].as_str()?).ok());
    inputs.unwrap_or_default()
}

/// What a stage of ours is told, from its arguments.
fn request<T: serde::de::DeserializeOwned>(pod: &Value, stage: &str) -> Option<T> {
    let spec = &pod["spec"];
    let containers = spec["initContainers"].as_array().into_iter().chain(spec["containers"].as_array()).flatten();
    let container = containers.into_iter().find(|container| container["name"] == stage)?;
    let args = container["args"].as_array()?;
    let place = args.iter().position(|arg| arg == "--request")?;
    serde_json::from_str(&args.get(place + 1)?.as_str()?.replace("$$", "$")).ok()
}

/// The limit of memory of a container.
fn memory(container: &Value) -> u64 {
    container["resources"]["limits"]["memory"].as_str().and_then(gowindows_crds::sizes::quantity).unwrap_or(u64::MAX)
}

/// The user's linker flags in the compiler's arguments.
fn ldflags(pod: &Value) -> Vec<String> {
    let words = pod["spec"]["initContainers"][1]["command"].as_array().into_iter().flatten().filter_map(Value::as_str);
    words.filter(|word| word.contains("main.")).map(str::to_owned).collect()
}
