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

mod jobs;

use crate::outside::Outside;
use crate::wire::object_of;
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
    /// How many requests named each object.
    asked: BTreeMap<u64, u64>,
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
            asked: BTreeMap::new(),
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

    /// Requests of the operator so far that name one of these objects.
    pub fn requests_about(&self, objects: impl Fn(u64) -> bool) -> u64 {
        self.asked.iter().filter(|(object, _)| objects(**object)).map(|(_, count)| count).sum()
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
        *self.asked.entry(object).or_default() += 1;
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
            "Pod" if !ours => self.pod(change),
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
