//! What must hold of Jobs: I1, I2, I6, I14, I15, I16.

use super::{Invariants, UNDER_WAY};
use gowindows_crds::names::{self, Role};
use gowindows_tests::fake_apiserver::{Change, Stored};
use k8s_openapi::jiff::Timestamp;

impl Invariants {
    pub(super) fn job(&mut self, change: &Change, ours: bool, now: Timestamp) {
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
        match Role::of_label(metadata["labels"][names::LABEL_ROLE].as_str()) {
            Some(Role::Part) => return,
            Some(Role::Test) => return self.test(change, ours, owner, fingerprint),
            Some(Role::Build) | None => {}
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
            let served = self.outside.image_of(&fingerprint).and_then(|image| image.at.max(image.told).filter(|_| image.told.is_some()));
            let served = served.filter(|at| now.duration_since(*at).as_secs() > UNDER_WAY);
            if served.is_some() && attempt == "1" && token.is_empty() && !self.sign.contains(&owner) {
                self.breaks(format!("I2: {} builds what the registry has served for a while", change.key.2));
            }
            if !self.attempts.insert((owner, fingerprint, attempt.clone(), token)) && !unknowable {
                self.breaks(format!("I2: attempt {attempt} was made twice: {}", change.key.2));
            }
        }
    }

    /// The pod of a Job has succeeded: so will the Job, once it counts its pods.
    pub(super) fn pod(&mut self, change: &Change) {
        let pod = change.new.as_ref().map(|new| &new.object);
        let Some(owner) = pod.filter(|pod| pod["status"]["phase"] == "Succeeded").map(|pod| &pod["metadata"]["ownerReferences"][0]) else {
            return;
        };
        if owner["kind"] == "Job" {
            self.complete.insert(owner["name"].as_str().unwrap_or_default().to_owned());
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
}

fn has_ended(job: &Stored) -> bool {
    job.object["status"]["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty())
        || job.object["metadata"]["deletionTimestamp"].is_string()
}
