//! What has happened in the cluster, and when? Seen by watches of the benchmark's own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::http::Request;
use futures::TryStreamExt;
use kube::Client;
use kube::core::WatchEvent;
use serde::Deserialize;
use tokio::task::JoinHandle;

/// The namespace and the name of an object.
pub type Key = (String, String);

/// When each object's first Job was seen, and its first status.
#[derive(Default)]
struct Times {
    jobs: HashMap<Key, Instant>,
    statuses: HashMap<Key, Instant>,
    broken: Option<String>,
}

/// Two watches. Dropping them ends them.
pub struct Seen {
    times: Arc<Mutex<Times>>,
    tasks: [JoinHandle<()>; 2],
}

/// Of a Job or an object, the little that is looked at: the less this process has to do, the less it takes from those that are measured.
#[derive(Clone, Debug, Deserialize)]
struct Light {
    metadata: Metadata,
    status: Option<Status>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    #[serde(default)]
    owner_references: Vec<Owner>,
}

#[derive(Clone, Debug, Deserialize)]
struct Owner {
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    observed_generation: i64,
}

impl Seen {
    /// Starts to watch.
    pub fn start(client: &Client) -> Self {
        let times = Arc::new(Mutex::new(Times::default()));
        let job = |times: &mut Times, job: Light| {
            let owner = job.metadata.owner_references.into_iter().next();
            if let (Some(namespace), Some(owner)) = (job.metadata.namespace, owner) {
                times.jobs.entry((namespace, owner.name)).or_insert_with(Instant::now);
            }
        };
        let status = |times: &mut Times, object: Light| {
            let told = object.status.is_some_and(|status| status.observed_generation > 0);
            if let (true, Some(namespace), Some(name)) = (told, object.metadata.namespace, object.metadata.name) {
                times.statuses.entry((namespace, name)).or_insert_with(Instant::now);
            }
        };
        let tasks = [
            tokio::spawn(watch(client.clone(), "/apis/batch/v1/jobs", times.clone(), job)),
            tokio::spawn(watch(client.clone(), "/apis/gowindows.dev/v1alpha1/gowindowsimages", times.clone(), status)),
        ];
        Self { times, tasks }
    }

    /// When an object's Job was seen.
    pub fn job(&self, key: &Key) -> Option<Instant> {
        self.with(|times| times.jobs.get(key).copied())
    }

    /// When an object's status was seen.
    pub fn status(&self, key: &Key) -> Option<Instant> {
        self.with(|times| times.statuses.get(key).copied())
    }

    /// How many of these have a Job, and how many a status.
    pub fn reached<'a>(&self, keys: impl Iterator<Item = &'a Key>) -> [usize; 2] {
        self.with(|times| {
            keys.fold([0, 0], |[jobs, statuses], key| {
                [jobs + usize::from(times.jobs.contains_key(key)), statuses + usize::from(times.statuses.contains_key(key))]
            })
        })
    }

    /// Waits until something is so of [`Seen::reached`]; false if it is not in time.
    ///
    /// # Errors
    /// When a watch cannot be had any more.
    pub async fn until(&self, keys: &[&Key], limit: Duration, is_so: impl Fn([usize; 2]) -> bool) -> Result<bool> {
        // What is looked at is when events came, not when they are counted here.
        let pause = Duration::from_millis(if keys.len() > 100 { 100 } else { 2 });
        let end = Instant::now() + limit;
        while !is_so(self.reached(keys.iter().copied())) {
            if let Some(broken) = self.with(|times| times.broken.clone()) {
                bail!("a watch of the benchmark ended: {broken}");
            }
            if Instant::now() > end {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
        }
        Ok(true)
    }

    fn with<T>(&self, look: impl FnOnce(&Times) -> T) -> T {
        look(&self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Failures in a row after which a watch is given up.
const MOST_FAILURES: u32 = 20;

/// Watches until it is ended. The API server closes watches that do not keep up, as they may on a busy machine: what comes late by that was
/// received late, as it would be by anyone.
async fn watch(client: Client, path: &str, times: Arc<Mutex<Times>>, note: impl Fn(&mut Times, Light)) {
    let (mut version, mut failures) = ("0".to_owned(), 0);
    loop {
        let before = version.clone();
        match follow(&client, path, &mut version, &times, &note).await {
            Ok(()) => {}
            // From the beginning; what was seen first stays.
            Err(error) if failures < MOST_FAILURES => {
                eprintln!("a watch of the benchmark is started again: {error:#}");
                "0".clone_into(&mut version);
            }
            Err(error) => {
                times.lock().unwrap_or_else(PoisonError::into_inner).broken = Some(format!("{error:#}"));
                return;
            }
        }
        failures = if version == before || version == "0" { failures + 1 } else { 0 };
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Until the API server closes it.
async fn follow(client: &Client, path: &str, version: &mut String, times: &Mutex<Times>, note: &impl Fn(&mut Times, Light)) -> Result<()> {
    let query = format!("{path}?watch=true&resourceVersion={version}&timeoutSeconds=7200");
    let events = client.request_events::<Light>(Request::get(query).body(Vec::new())?).await.context("watch")?;
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
                if let Some(newer) = &object.metadata.resource_version {
                    version.clone_from(newer);
                }
                note(&mut times.lock().unwrap_or_else(PoisonError::into_inner), object);
            }
            WatchEvent::Error(status) => bail!("{}", status.message),
            WatchEvent::Bookmark(_) => {}
        }
    }
    Ok(())
}
