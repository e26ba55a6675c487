//! What must hold at every moment? The invariants of the design, by their names, checked after every write and every request.
//!
//! | | |
//! |---|---|
//! | I1 | at most one unfinished Job per object and fingerprint |
//! | I2 | at most one Job ever per object, fingerprint, attempt and rebuild order; no first attempt at what the registry serves |
//! | I3 | a target only ever gets a digest that a build pushed to the object's repository and that the registry serves |
//! | I4 | never an older image after a newer one |
//! | I5 | the last good image, once there, is neither lost nor replaced by one that no build pushed |
//! | I6 | what is not this object's is neither changed nor deleted |
//! | I7 | nothing is written for an object that is gone, but for what was under way when it went |
//! | I8 | no status speaks of a generation that is not there; Ready only with an image of the declared specification |
//! | I10 | no secret value in anything that is sent |
//! | I11 | sizes: object, status, history, Jobs |
//! | I12 | at most one request a second and object, and some more for each Job, over each five minutes: a steady failure is not a storm |
//! | I13 | with a key: no tag and no target gets a digest before it is signed |
//! | I14 | with tests: no tag by which it is found and no target gets an image before its tests have passed; at most one Job tests for a build |
//! | I15 | a Job that waits for others begins only when all of them have succeeded |
//! | I16 | no more Jobs run on the nodes of a system than there are slots |
//! | I17 | what a build has told of its source and its cache stays in the status as long as the build does |
//!
//! I9 is about feedback of metrics, which does not exist yet; it comes with it.

use crate::outside::Outside;
use crate::wire::object_of;
use gowindows_crds::names;
use gowindows_tests::fake_apiserver::kinds::KINDS;
use gowindows_tests::fake_apiserver::{Call, Change, Stored};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What stands in every Secret of a simulation, and must stand nowhere else.
pub const SECRET: &str = "hunter2-sim";
/// What was under way when an object went may still arrive within this time.
const UNDER_WAY: i64 = 75;
/// The time over which requests are counted, in milliseconds, and how many of one object there may be.
const REQUESTS: (u64, usize) = (300_000, 300);
/// How many more for each Job that was made in this time: work that gets on is no storm.
const REQUESTS_OF_A_JOB: usize = 20;

/// The state that is needed to check, and what was found.
pub struct Invariants {
    outside: Outside,
    broken: Vec<String>,
    /// Every Job ever: object, fingerprint, attempt, rebuild order.
    attempts: BTreeSet<(String, String, String, String)>,
    /// Unfinished Jobs: object, fingerprint -> names.
    active: BTreeMap<(String, String), BTreeSet<String>>,
    /// Objects and fingerprints of which somebody deleted a Job.
    taken_away: BTreeSet<(String, String)>,
    /// The newest image that was rolled, by target: its order at the registry.
    rolled: BTreeMap<String, u64>,
    /// Objects whose images must be signed: what nobody saw being built is built again for them.
    sign: BTreeSet<String>,
    /// Objects that are gone, and since when.
    gone: BTreeMap<String, Timestamp>,
    /// Names of the objects whose images are signed.
    signing: BTreeSet<String>,
    /// Names of the objects whose images are tested.
    testing: BTreeSet<String>,
    /// Every Job ever that tests: object and name.
    tests: BTreeSet<(String, String)>,
    /// Jobs that have succeeded, and those that never will.
    complete: BTreeSet<String>,
    lost: BTreeSet<String>,
    /// The Jobs that a Job waits for.
    after: BTreeMap<String, Vec<String>>,
    /// How many Jobs may run on the nodes of each system, and those that do: for Windows, name.
    slots: Option<u32>,
    running: BTreeSet<(bool, String)>,
    /// Specifications by object and generation.
    flags: BTreeMap<(String, i64), String>,
    requests: BTreeMap<(u64, String), VecDeque<(u64, String)>>,
    /// Writes of the operator.
    writes: u64,
    /// Jobs of the operator that were created.
    jobs: u64,
    /// Whether somebody else edits statuses and targets in this simulation.
    pub meddled: bool,
}

impl Invariants {
    /// Nothing has happened yet.
    pub fn new(outside: Outside, slots: Option<u32>) -> Self {
        Self {
            outside,
            broken: Vec::new(),
            attempts: BTreeSet::new(),
            active: BTreeMap::new(),
            taken_away: BTreeSet::new(),
            rolled: BTreeMap::new(),
            sign: BTreeSet::new(),
            gone: BTreeMap::new(),
            signing: BTreeSet::new(),
            testing: BTreeSet::new(),
            tests: BTreeSet::new(),
            complete: BTreeSet::new(),
            lost: BTreeSet::new(),
            after: BTreeMap::new(),
            slots,
            running: BTreeSet::new(),
            flags: BTreeMap::new(),
            requests: BTreeMap::new(),
            writes: 0,
            jobs: 0,
            meddled: false,
        }
    }

    /// What was broken.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// Says that something is not as it must be.
    pub fn breaks(&mut self, what: String) {
        if self.broken.len() < 20 {
            self.broken.push(what);
        }
    }

    /// Whether the images of the object with this name are to be signed.
    pub fn signs(&self, name: &str) -> bool {
        self.signing.contains(name)
    }

    /// Writes of the operator so far, events and leases apart.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// Build Jobs of the operator so far.
    pub fn jobs(&self) -> u64 {
        self.jobs
    }

    /// A request was sent by the operator.
    pub fn request(&mut self, replica: u64, call: &Call, body: &[u8], now: u64) {
        let kind = KINDS.get(call.kind).map(|kind| kind.kind).unwrap_or_default();
        if body.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()) {
            self.breaks(format!("I10: a secret value is in a {:?} of {kind} {:?}", call.verb, call.name));
        }
        let Some(object) = object_of(call) else { return };
        let recent = self.requests.entry((replica, object.to_string())).or_default();
        recent.push_back((now, format!("{:?} {kind}", call.verb)));
        while recent.front().is_some_and(|(first, _)| now.saturating_sub(*first) > REQUESTS.0) {
            recent.pop_front();
        }
        let allowed = || REQUESTS.1 + REQUESTS_OF_A_JOB * recent.iter().filter(|(_, request)| request == "Create Job").count();
        if recent.len() > REQUESTS.1 && recent.len() > allowed() {
            let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
            for (_, kind) in recent.iter() {
                *kinds.entry(kind).or_default() += 1;
            }
            let message = format!("I12: {} requests for object {object} within five minutes, at {now} ms: {kinds:?}", recent.len());
            recent.clear();
            self.breaks(message);
        }
    }

    /// Something was written.
    pub fn after(&mut self, change: &Change, now: Timestamp) {
        let Some(kind) = KINDS.get(change.key.0).map(|kind| kind.kind) else { return };
        let ours = change.writer.starts_with("operator");
        if ours && !["Event", "Lease"].contains(&kind) {
            self.writes += 1;
            self.check_gone(kind, change, now);
        }
        match kind {
            "Job" => self.job(change, ours, now),
            "Deployment" if ours => self.target(change),
            "GoWindowsImage" => self.image(change, ours, now),
            "PersistentVolumeClaim" | "Event" | "Lease" => {}
            _ if ours => self.breaks(format!("I6: the operator wrote {kind} {}", change.key.2)),
            _ => {}
        }
    }

    fn check_gone(&mut self, kind: &str, change: &Change, now: Timestamp) {
        let written = change.new.as_ref().or(change.old.as_ref()).map(|stored| stored.object.clone()).unwrap_or_default();
        let uid = if kind == "GoWindowsImage" { &written["metadata"]["uid"] } else { &written["metadata"]["ownerReferences"][0]["uid"] };
        let since = uid.as_str().and_then(|uid| self.gone.get(uid));
        if let Some(since) = since.filter(|since| now.duration_since(**since).as_secs() > UNDER_WAY) {
            self.breaks(format!("I7: {kind} {} was written at {now} for an object that is gone since {since}", change.key.2));
        }
    }

    fn job(&mut self, change: &Change, ours: bool, now: Timestamp) {
        let Some(stored) = change.new.as_ref().or(change.old.as_ref()) else { return };
        let metadata = &stored.object["metadata"];
        let label = |name: &str| metadata["labels"][name].as_str().unwrap_or_default().to_owned();
        let controller = metadata["ownerReferences"][0]["uid"].as_str().unwrap_or_default().to_owned();
        let (owner, fingerprint, attempt) = (controller, label(names::LABEL_FINGERPRINT), label(names::LABEL_ATTEMPT));
        let forged = metadata["annotations"]["sim/forged"].is_string();
        if ours && forged {
            self.breaks(format!("I6: the operator wrote the forged Job {}", change.key.2));
        }
        if forged {
            return;
        }
        if metadata["labels"]["sim/stripped"].is_string() {
            // Without its labels a Job is no build of ours any more: it is taken for lost, and no longer counted.
            self.running.retain(|(_, name)| *name != change.key.2);
            self.lost.insert(change.key.2.clone());
            self.active.values_mut().for_each(|names| names.retain(|name| *name != change.key.2));
            let before = change.old.as_ref().and_then(|old| old.object["metadata"]["labels"][names::LABEL_FINGERPRINT].as_str());
            if let Some(fingerprint) = before {
                self.taken_away.insert((owner, fingerprint.to_owned()));
            }
            return;
        }
        if change.new.is_none() && change.writer == "somebody" {
            self.taken_away.insert((owner.clone(), fingerprint.clone()));
        }
        self.relay(change, ours);
        self.slot(change);
        if label(names::LABEL_ROLE) == names::ROLE_PART {
            return;
        }
        if label(names::LABEL_ROLE) == names::ROLE_TEST {
            return self.test(change, ours, owner, fingerprint);
        }
        let active = self.active.entry((owner.clone(), fingerprint.clone())).or_default();
        let unfinished = change.new.as_ref().is_some_and(|new| !has_ended(new));
        if unfinished {
            active.insert(change.key.2.clone())
        } else {
            active.remove(&change.key.2)
        };
        let mut active = active.clone();
        active.retain(|name| !self.waits_in_vain(name));
        if active.len() > 1 {
            self.breaks(format!("I1: unfinished Jobs of one object and fingerprint: {active:?}"));
        }
        if change.old.is_none() && ours {
            self.jobs += 1;
            let token = metadata["annotations"][names::ANNOTATION_REBUILD_TOKEN].as_str().unwrap_or_default().to_owned();
            // Where a status was edited and its Jobs were taken away, or the object is gone, nothing is left that could know of an attempt.
            let unknowable =
                self.gone.contains_key(&owner) || (self.meddled && self.taken_away.contains(&(owner.clone(), fingerprint.clone())));
            let served = self.outside.image_of(&fingerprint).and_then(|image| image.at);
            let served = served.filter(|at| now.duration_since(*at).as_secs() > UNDER_WAY);
            if served.is_some() && attempt == "1" && token.is_empty() && !self.sign.contains(&owner) {
                self.breaks(format!("I2: {} builds what the registry has served for a while", change.key.2));
            }
            if !self.attempts.insert((owner, fingerprint, attempt.clone(), token)) && !unknowable {
                self.breaks(format!("I2: attempt {attempt} was made twice: {}", change.key.2));
            }
        }
    }

    /// Follows which Jobs others wait for.
    fn relay(&mut self, change: &Change, ours: bool) {
        let name = &change.key.2;
        let suspended = |stored: &Option<Stored>| stored.as_ref().is_some_and(|stored| stored.object["spec"]["suspend"] == true);
        let ended = |kind: &str| change.new.as_ref().is_some_and(|new| new.object["status"]["conditions"][0]["type"] == kind);
        if change.old.is_none() {
            // One of the same name may come after one that was deleted.
            self.lost.remove(name);
            self.complete.remove(name);
        }
        if change.new.is_none() || ended("Failed") {
            self.lost.insert(name.clone());
        }
        if ended("Complete") {
            self.complete.insert(name.clone());
        }
        let annotations = change.new.as_ref().map(|new| &new.object["metadata"]["annotations"]);
        let Some(after) = annotations.and_then(|annotations| annotations[names::ANNOTATION_AFTER].as_str()) else { return };
        let after: Vec<String> = after.split(',').map(str::to_owned).collect();
        // What is stopped begins as well, with no pod.
        let stopped = change.new.as_ref().is_some_and(|new| new.object["spec"]["parallelism"] == 0);
        let resumed = ours && suspended(&change.old) && !suspended(&change.new) && !stopped;
        if let Some(early) = after.iter().find(|other| resumed && !self.complete.contains(*other)) {
            self.breaks(format!("I15: {name} begins, and {early} has not succeeded"));
        }
        self.after.insert(name.clone(), after);
    }

    /// Follows which Jobs may have pods.
    fn slot(&mut self, change: &Change) {
        let pod =
            change.new.as_ref().or(change.old.as_ref()).map(|stored| stored.object["spec"]["template"]["spec"]["os"]["name"] == "windows");
        let (windows, name) = (pod.unwrap_or_default(), change.key.2.clone());
        let runs = change.new.as_ref().is_some_and(|new| {
            let spec = &new.object["spec"];
            !has_ended(new) && spec["suspend"] != true && spec["parallelism"] != 0
        });
        if !runs {
            self.running.remove(&(windows, name));
            return;
        }
        let began = self.running.insert((windows, name.clone()));
        let running: Vec<&String> = self.running.iter().filter(|(on, _)| *on == windows).map(|(_, name)| name).collect();
        let most = self.slots.and_then(|slots| usize::try_from(slots).ok()).unwrap_or(usize::MAX);
        if began && running.len() > most {
            let message = format!("I16: {name} began, and {running:?} run in {most} slots (windows: {windows})");
            self.breaks(message);
        }
    }

    /// Whether a Job waits for one that will never succeed: it is as one that has ended.
    fn waits_in_vain(&self, name: &str) -> bool {
        self.after.get(name).is_some_and(|others| others.iter().any(|other| self.lost.contains(other)))
    }

    /// A Job that tests: at most one ever for each build, and one at a time for each fingerprint.
    fn test(&mut self, change: &Change, ours: bool, owner: String, fingerprint: String) {
        let active = self.active.entry((owner.clone(), format!("{fingerprint}, tests"))).or_default();
        if change.new.as_ref().is_some_and(|new| !has_ended(new)) {
            active.insert(change.key.2.clone())
        } else {
            active.remove(&change.key.2)
        };
        let unknowable = self.gone.contains_key(&owner) || self.taken_away.contains(&(owner.clone(), fingerprint));
        if active.len() > 1 && !unknowable {
            let active = active.clone();
            self.breaks(format!("I14: unfinished tests of one object and fingerprint: {active:?}"));
        }
        if change.old.is_none() && ours && !self.tests.insert((owner, change.key.2.clone())) && !unknowable {
            self.breaks(format!("I14: {} tests twice for one build", change.key.2));
        }
    }

    fn target(&mut self, change: &Change) {
        let (Some(old), Some(new)) = (&change.old, &change.new) else {
            self.breaks(format!("I6: the operator created or deleted Deployment {}", change.key.2));
            return;
        };
        let pod = |stored: &Stored| stored.object["spec"]["template"]["spec"].clone();
        let image = |stored: &Stored| pod(stored)["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
        let without = |stored: &Stored| {
            let mut spec = stored.object["spec"].clone();
            spec["template"]["spec"]["containers"][0]["image"] = Value::Null;
            spec
        };
        if without(old) != without(new) {
            self.breaks(format!("I6: more than the image of Deployment {} was changed", change.key.2));
        }
        let now = image(new);
        if now == image(old) {
            return;
        }
        let Some((_, digest)) = now.split_once('@') else {
            self.breaks(format!("I3: Deployment {} got {now}, which is no digest", change.key.2));
            return;
        };
        let Some(pushed) = self.outside.image(digest) else {
            self.breaks(format!("I3: Deployment {} got {digest}, which no build pushed", change.key.2));
            return;
        };
        if self.signs(&change.key.2) && !self.outside.signed(digest) {
            self.breaks(format!("I13: Deployment {} got {digest}, which is not signed", change.key.2));
        }
        if self.testing.contains(&change.key.2) && !self.outside.has_passed(&pushed.commit) {
            self.breaks(format!("I14: Deployment {} got {digest}, whose tests have not passed", change.key.2));
        }
        let newest = self.rolled.entry(change.key.2.clone()).or_insert(pushed.order);
        if pushed.order < *newest {
            let newest = *newest;
            self.breaks(format!("I4: Deployment {} got image {} after image {newest}", change.key.2, pushed.order));
        } else {
            *newest = pushed.order;
        }
    }

    fn image(&mut self, change: &Change, ours: bool, now: Timestamp) {
        let uid = |stored: &Stored| stored.object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let Some(new) = &change.new else {
            if let Some(old) = &change.old {
                self.gone.entry(uid(old)).or_insert(now);
                self.signing.remove(&change.key.2);
                self.testing.remove(&change.key.2);
            }
            return;
        };
        if new.object["metadata"]["deletionTimestamp"].is_string() {
            self.gone.entry(uid(new)).or_insert(now);
        }
        let generation = new.object["metadata"]["generation"].as_i64().unwrap_or_default();
        if new.object["spec"]["signing"].is_object() {
            self.sign.insert(uid(new));
        }
        let wanted = new.object["spec"]["go"]["ldflags"][0].as_str().unwrap_or_default().to_owned();
        self.flags.insert((uid(new), generation), wanted);
        if new.object["spec"]["signing"].is_object() {
            self.signing.insert(change.key.2.clone());
        }
        // Whoever adds tests waits for them from then on; what runs already keeps running.
        if new.object["spec"]["go"]["test"].is_object() {
            self.testing.insert(change.key.2.clone());
        }
        if !ours {
            return;
        }
        if change.old.as_ref().is_some_and(|old| old.object["spec"] != new.object["spec"]) {
            self.breaks(format!("I6: the operator changed the specification of {}", change.key.2));
        }
        self.sizes(change, new);
        let before = change.old.as_ref().map_or(&Value::Null, |old| &old.object["status"]);
        self.status(change, new, before);
    }

    fn status(&mut self, change: &Change, new: &Stored, before: &Value) {
        let (name, status) = (&change.key.2, &new.object["status"]);
        let (observed, generation) = (status["observedGeneration"].as_i64(), new.object["metadata"]["generation"].as_i64());
        if observed > generation {
            self.breaks(format!("I8: {name} observed generation {observed:?} of {generation:?}"));
        }
        let lost = |fact: &str| !before["build"][fact].is_null() && status["build"][fact].is_null();
        let same = before["build"]["job"] == status["build"]["job"];
        if let Some(fact) = ["contextBytes", "cache"].into_iter().find(|fact| same && lost(fact) && !self.meddled) {
            self.breaks(format!("I17: {name} lost {fact} of {}", status["build"]["job"]));
        }
        let digest = status["image"]["digest"].as_str();
        // A status that cannot be read is a lost one.
        if before["image"].is_object() && before["phase"] != crate::meddling::UNKNOWN && digest.is_none() {
            self.breaks(format!("I5: {name} lost its last good image"));
        }
        let Some(digest) = digest else { return };
        let Some(pushed) = self.outside.image(digest) else {
            if !self.meddled {
                self.breaks(format!("I5: {name} names {digest}, which no build pushed"));
            }
            return;
        };
        let ready = status["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True");
        let uid = new.object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let wanted = self.flags.get(&(uid, observed.unwrap_or_default())).cloned().unwrap_or_default();
        let has = pushed.ldflags.iter().any(|words| words.contains(&wanted));
        if ready && !wanted.is_empty() && !has {
            self.breaks(format!("I8: {name} is Ready for generation {observed:?} with an image of another one ({:?})", pushed.ldflags));
        }
    }

    fn sizes(&mut self, change: &Change, new: &Stored) {
        let status = new.object["status"].to_string().len();
        let object = status + new.object["spec"].to_string().len() + new.object["metadata"].to_string().len();
        let history = new.object["status"]["history"].as_array().map_or(0, Vec::len);
        if object > 64 << 10 || status > 16 << 10 || history > 10 {
            self.breaks(format!("I11: {} has {object} bytes, its status {status}, its history {history} entries", change.key.2));
        }
    }
}

fn has_ended(job: &Stored) -> bool {
    job.object["status"]["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty())
        || job.object["metadata"]["deletionTimestamp"].is_string()
}
