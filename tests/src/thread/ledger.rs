//! Which build Jobs were there ever? An independent witness: it watches what was done, whatever a status says.
//!
//! Two promises are counted: a Job is made once per object, inputs and attempt, and no two Jobs of the same object and inputs are
//! unfinished at the same time.

use anyhow::{Result, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use gowindows_crds::names;
use k8s_openapi::api::batch::v1::Job;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

/// The Jobs of every `GoWindowsImage` of a cluster since it was opened.
pub struct Ledger {
    client: Client,
    book: Arc<Mutex<Book>>,
    _watch: AbortOnDropHandle<()>,
}

/// An object's uid and the fingerprint of its inputs.
type Inputs = (String, String);

#[derive(Default)]
struct Book {
    /// By the Job's uid.
    jobs: BTreeMap<String, Entry>,
    /// The most that were unfinished at the same time.
    at_once: BTreeMap<Inputs, usize>,
}

/// One Job.
struct Entry {
    namespace: String,
    name: String,
    object: String,
    inputs: Inputs,
    attempt: String,
    finished: bool,
}

/// What was counted in some namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Jobs that were ever created.
    pub jobs: usize,
    /// Those beyond the first for the same object, inputs and attempt.
    pub duplicates: usize,
    /// The most Jobs of the same object and inputs that were unfinished at the same time.
    pub at_once: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, duplicates, at_once } = self;
        write!(f, "{jobs} Jobs, {duplicates} duplicates, at most {at_once} unfinished per object and inputs")
    }
}

impl Ledger {
    /// Begins to watch.
    pub fn open(client: Client) -> Self {
        let book = Arc::new(Mutex::new(Book::default()));
        let watch = tokio::spawn(follow(client.clone(), book.clone()));
        Self { client, book, _watch: AbortOnDropHandle::new(watch) }
    }

    /// How many Jobs are unfinished in these namespaces.
    pub fn unfinished(&self, namespaces: &[&str]) -> usize {
        self.book().jobs.values().filter(|job| !job.finished && namespaces.contains(&job.namespace.as_str())).count()
    }

    /// How many Jobs an object ever had.
    pub fn of(&self, namespace: &str, object: &str) -> usize {
        self.book().jobs.values().filter(|job| job.namespace == namespace && job.object == object).count()
    }

    /// What was counted in these namespaces, once everything that is there has been seen.
    ///
    /// # Errors
    /// When a promise was broken, or nothing was ever seen.
    pub async fn close(&self, namespaces: &[&str]) -> Result<Tally> {
        self.caught_up().await?;
        let book = self.book();
        let jobs: Vec<&Entry> = book.jobs.values().filter(|job| namespaces.contains(&job.namespace.as_str())).collect();
        let distinct: BTreeSet<_> = jobs.iter().map(|job| (&job.inputs, &job.attempt)).collect();
        let at_once = jobs.iter().filter_map(|job| book.at_once.get(&job.inputs)).max().copied().unwrap_or_default();
        let tally = Tally { jobs: jobs.len(), duplicates: jobs.len() - distinct.len(), at_once };
        ensure!(tally.jobs > 0, "no Job was seen in {namespaces:?}: the ledger proves nothing");
        let names: Vec<_> = jobs.iter().map(|job| format!("{}/{}", job.namespace, job.name)).collect();
        ensure!(tally.duplicates == 0 && tally.at_once <= 1, "{tally}: {}", names.join(", "));
        Ok(tally)
    }

    /// Waits until every Job that the API server lists has been seen.
    async fn caught_up(&self) -> Result<()> {
        let listed = Api::<Job>::all(self.client.clone()).list(&ListParams::default().labels(&ours())).await?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while !listed.iter().filter_map(ResourceExt::uid).all(|uid| self.book().jobs.contains_key(&uid)) {
            if Instant::now() > deadline {
                bail!("the watch on Jobs is more than a minute behind");
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ours() -> String {
    format!("{}={}", names::LABEL_MANAGED_BY, names::MANAGED_BY)
}

async fn follow(client: Client, book: Arc<Mutex<Book>>) {
    let mut events = watcher(Api::<Job>::all(client), watcher::Config::default().labels(&ours())).default_backoff().boxed();
    let mut listed = Vec::new();
    loop {
        let event = events.try_next().await;
        let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(Some(watcher::Event::Init)) => listed.clear(),
            // A list is true as a whole: half of it may show a new Job beside one that has ended since it was last seen.
            Ok(Some(watcher::Event::InitApply(job))) => listed.push(job),
            Ok(Some(watcher::Event::InitDone)) => {
                book.forget_all_but(&listed);
                listed.drain(..).for_each(|job| book.write(&job));
                book.count();
            }
            Ok(Some(watcher::Event::Apply(job))) => {
                book.write(&job);
                book.count();
            }
            Ok(Some(watcher::Event::Delete(job))) => book.finish(&job.uid().unwrap_or_default()),
            Ok(None) => return,
            // The API server is away; the watcher has already waited and tries again.
            Err(_) => {}
        }
    }
}

impl Book {
    fn write(&mut self, job: &Job) {
        let Some(owner) = job.owner_references().iter().find(|owner| owner.controller == Some(true)) else { return };
        let label = |name: &str| job.labels().get(name).cloned().unwrap_or_default();
        let ended = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let finished =
            ended.into_iter().any(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True");
        let entry = Entry {
            namespace: job.namespace().unwrap_or_default(),
            name: job.name_any(),
            object: owner.name.clone(),
            inputs: (owner.uid.clone(), label(names::LABEL_FINGERPRINT)),
            attempt: label(names::LABEL_ATTEMPT),
            finished,
        };
        self.jobs.insert(job.uid().unwrap_or_default(), entry);
    }

    fn finish(&mut self, uid: &str) {
        if let Some(job) = self.jobs.get_mut(uid) {
            job.finished = true;
        }
    }

    /// A Job that is not listed any more was deleted unseen.
    fn forget_all_but(&mut self, listed: &[Job]) {
        let there: BTreeSet<String> = listed.iter().filter_map(ResourceExt::uid).collect();
        self.jobs.iter_mut().filter(|(uid, _)| !there.contains(*uid)).for_each(|(_, job)| job.finished = true);
    }

    fn count(&mut self) {
        let mut now = BTreeMap::<Inputs, usize>::new();
        for job in self.jobs.values().filter(|job| !job.finished) {
            *now.entry(job.inputs.clone()).or_default() += 1;
        }
        for (inputs, count) in now {
            let most = self.at_once.entry(inputs).or_default();
            *most = count.max(*most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(uid: &str, attempt: &str, ended: bool) -> Job {
        let conditions = if ended { json!([{"type": "Complete", "status": "True"}]) } else { json!([]) };
        let owner = json!({"apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "name": "a", "uid": "o", "controller": true});
        let labels = json!({names::LABEL_FINGERPRINT: "f", names::LABEL_ATTEMPT: attempt});
        let metadata = json!({"name": uid, "namespace": "n", "uid": uid, "labels": labels, "ownerReferences": [owner]});
        serde_json::from_value(json!({"metadata": metadata, "status": {"conditions": conditions}})).expect("a Job")
    }

    #[test]
    fn what_is_unfinished_at_the_same_time_is_counted_by_inputs() {
        let mut book = Book::default();
        let most = |book: &Book| book.at_once.values().max().copied();
        for (one, other) in [(job("1", "1", false), None), (job("1", "1", true), Some(job("2", "2", false)))] {
            book.write(&one);
            other.iter().for_each(|job| book.write(job));
            book.count();
        }
        assert_eq!(most(&book), Some(1));
        book.write(&job("3", "2", false));
        book.count();
        assert_eq!(most(&book), Some(2));
    }
}
