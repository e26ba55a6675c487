//! On what is measured? An etcd and an API server of their own for each measurement, and objects in ten namespaces.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::http::Request;
use futures::{StreamExt, TryStreamExt, stream};
use gowindows_bench::Requests;
use gowindows_crds::GoWindowsImage;
use gowindows_tests::lab::ControlPlane;
use gowindows_tests::lab::progress::Progress;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::seen::{Key, Seen};

/// How many requests this benchmark has under way at the same time.
pub const PARALLEL: usize = 16;
/// How many namespaces the objects are in.
const NAMESPACES: usize = 10;
/// The commit that every object builds.
const COMMIT: &str = "4f1c2e7aa8b0c9d1e2f3a4b5c6d7e8f901234567";

/// A new cluster.
pub struct Ground {
    /// What has happened. Dropped first: its watches do not miss an API server that is taken away.
    pub seen: Seen,
    /// etcd and the API server.
    pub plane: ControlPlane,
    /// The administrator's.
    pub client: Client,
    /// What is said meanwhile.
    pub progress: Progress,
    registry: String,
    git: String,
}

/// When each object was about to be created.
pub type Created = HashMap<Key, Instant>;

impl Ground {
    /// Starts it.
    pub async fn start(progress: &Progress, registry: &str, git: &str) -> Result<Self> {
        let plane = ControlPlane::start(&Progress::silent()).await?;
        plane.install_definition().await?;
        let client = plane.client();
        let namespaces = Api::<Namespace>::all(client.clone());
        for number in 0..NAMESPACES {
            let mut namespace = Namespace::default();
            namespace.metadata.name = Some(space(number));
            namespaces.create(&PostParams::default(), &namespace).await?;
        }
        let seen = Seen::start(&client);
        Ok(Self { plane, client, seen, progress: progress.clone(), registry: registry.into(), git: git.into() })
    }

    /// Takes it away.
    pub async fn end(self) -> Result<()> {
        tokio::task::spawn_blocking(move || drop(self)).await.context("the thread that takes the cluster away broke")
    }

    /// An object that asks nobody but the registry, once, whether its image is there already.
    pub fn pinned(&self) -> Value {
        json!({
            "source": {"git": {"url": format!("https://{}/shop.git", self.git), "ref": {"commit": COMMIT}}},
            "image": {
                "repository": format!("{}/shop", self.registry),
                "base": {"image": format!("{}/nanoserver@sha256:{}", self.registry, "1".repeat(64))},
            },
            // A Job that failed without a word is not tried again.
            "build": {"retries": 0},
        })
    }

    /// An object whose branch has to be asked for, at a git server that never answers.
    pub fn hanging(&self) -> Value {
        let mut spec = self.pinned();
        spec["source"]["git"]["ref"] = json!({"branch": "main"});
        spec
    }

    /// Creates objects as fast as the API server takes them.
    pub async fn burst(&self, prefix: &str, count: usize, spec: &Value) -> Result<Created> {
        let create = |key: Key| async move {
            let at = Instant::now();
            self.create(&key, spec).await?;
            anyhow::Ok((key, at))
        };
        stream::iter(keys(prefix, count)).map(create).buffer_unordered(PARALLEL).try_collect().await
    }

    /// Creates ten objects a second.
    pub async fn ten_a_second(&self, prefix: &str, count: usize, spec: &Value) -> Result<Created> {
        let created = Arc::new(Mutex::new(Created::new()));
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        let started = futures::stream::FuturesUnordered::new();
        for key in keys(prefix, count) {
            tick.tick().await;
            let (images, object, created) = (self.images(&key.0), object(&key, spec)?, created.clone());
            started.push(tokio::spawn(async move {
                let at = Instant::now();
                images.create(&PostParams::default(), &object).await?;
                created.lock().unwrap_or_else(PoisonError::into_inner).insert(key, at);
                anyhow::Ok(())
            }));
        }
        for task in started {
            task.await.context("a task that creates an object broke")??;
        }
        let created = std::mem::take(&mut *created.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(created)
    }

    /// Creates one object.
    pub async fn create(&self, key: &Key, spec: &Value) -> Result<GoWindowsImage> {
        let created = self.images(&key.0).create(&PostParams::default(), &object(key, spec)?).await;
        created.with_context(|| format!("create {}/{}", key.0, key.1))
    }

    /// Deletes objects.
    pub async fn delete(&self, keys: impl Iterator<Item = Key>) -> Result<()> {
        let delete = |(namespace, name): Key| async move {
            self.images(&namespace).delete(&name, &DeleteParams::default()).await.map(drop).with_context(|| format!("delete {name}"))
        };
        stream::iter(keys).map(delete).buffer_unordered(PARALLEL).try_collect().await
    }

    /// The objects of a namespace.
    pub fn images(&self, namespace: &str) -> Api<GoWindowsImage> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// What was asked of the API server until now.
    pub async fn requests(&self) -> Result<Requests> {
        let text =
            self.client.request_text(Request::get("/metrics").body(Vec::new())?).await.context("ask the API server for its metrics")?;
        let requests = Requests::read(&text);
        if requests.count() == 0 {
            bail!("the API server's metrics say nothing of requests");
        }
        Ok(requests)
    }

    /// Waits until no controller has written anything, or tried to, for some seconds; false if it goes on.
    pub async fn silence(&self, quiet: Duration, limit: Duration) -> Result<bool> {
        let end = Instant::now() + limit;
        let written = async || {
            let tally = self.requests().await?.of_controller().tally();
            anyhow::Ok(tally.writes() + tally.wasted)
        };
        let (mut last, mut since) = (written().await?, Instant::now());
        while since.elapsed() < quiet {
            if Instant::now() > end {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = written().await?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        Ok(true)
    }
}

/// Names of objects, spread over the namespaces.
pub fn keys(prefix: &str, count: usize) -> impl Iterator<Item = Key> + use<'_> {
    (0..count).map(move |number| (space(number % NAMESPACES), format!("{prefix}-{number}")))
}

/// The name of a namespace.
pub fn space(number: usize) -> String {
    format!("bench-{number}")
}

fn object(key: &Key, spec: &Value) -> Result<GoWindowsImage> {
    let object = json!({
        "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage",
        "metadata": {"namespace": key.0, "name": key.1}, "spec": spec,
    });
    Ok(serde_json::from_value(object)?)
}
