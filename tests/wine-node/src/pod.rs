//! How does one pod live on this node, from its binding to its removal?
//!
//! ```text
//!   sandbox and volumes -> init containers, one after the other -> containers, all at once -> finished
//!        |  fails: told as an event, tried again                                                |
//!        +------------------- deleted, at any time: containers are stopped --------------------+--> object removed
//! ```
//!
//! Not played: resizing, a changed image of a running pod, ephemeral containers, `exec`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use futures::future::join_all;
use k8s_openapi::{
    api::core::v1::{Container, Pod, PodCondition},
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::json;
use tokio::{sync::watch, time::sleep};

use crate::{
    agent::Node,
    container::{Life, Restart, stopped},
    environment::Asker,
    events::PodEvents,
    runtime::Sandbox,
    status::{Progress, Tracked, pod_status},
    volumes,
};

/// One pod that is bound to this node.
pub struct BoundPod {
    node: Arc<Node>,
    pod: Pod,
    api: Api<Pod>,
    events: PodEvents,
    progress: watch::Sender<Progress>,
    stop: watch::Receiver<Option<Duration>>,
}

impl BoundPod {
    /// `pod`, which has to stop when `stop` becomes a grace period.
    pub fn new(node: Arc<Node>, pod: Pod, stop: watch::Receiver<Option<Duration>>) -> Self {
        let api = Api::namespaced(node.client.clone(), &pod.namespace().unwrap_or_default());
        let events = PodEvents::new(node.client.clone(), &node.name, &pod);
        let (progress, _) = watch::channel(earlier(&pod));
        Self { node, pod, api, events, progress, stop }
    }

    /// How far the pod has come, now and later.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Lives until the pod is deleted, and removes the object then. `delete` says whether it is to be removed: not when
    /// only the node stops.
    pub async fn live(mut self, delete: watch::Receiver<bool>) {
        let mut conditions = self.pod.status.clone().and_then(|status| status.conditions).unwrap_or_default();
        tokio::select! {
            () = self.report(&mut conditions) => {}
            () = self.run() => {}
        }
        self.write_status(&mut conditions).await;
        stopped(&mut self.stop).await;
        if *delete.borrow() {
            self.delete().await;
        }
    }

    /// Runs the pod to its end and leaves nothing behind.
    async fn run(&self) {
        let mut stop = self.stop.clone();
        let folder = self.node.folder.join("pods").join(self.pod.uid().unwrap_or_default());
        let sandbox = loop {
            match self.sandbox().await {
                Ok(sandbox) => break sandbox,
                Err(error) => self.events.warning("", "FailedCreatePodSandBox", format!("Failed to create pod sandbox: {error:#}")).await,
            }
            if tokio::time::timeout(self.node.backoff, stopped(&mut stop)).await.is_ok() {
                return;
            }
        };
        let ip = sandbox.ip();
        self.progress.send_modify(|progress| progress.ip = Some(ip));
        let volumes = loop {
            match self.volumes(&*sandbox, &folder.join("volumes")).await {
                Ok(volumes) => break Some(volumes),
                Err(error) => self.events.warning("", "FailedMount", format!("{error:#}")).await,
            }
            if tokio::time::timeout(self.node.backoff, stopped(&mut stop)).await.is_ok() {
                break None;
            }
        };
        if let Some(volumes) = volumes {
            self.containers(&*sandbox, &volumes).await;
        }
        if let Err(error) = sandbox.remove().await {
            tracing::warn!(pod = self.pod.name_any(), error = format!("{error:#}"), "a sandbox was not removed");
        }
        if folder.exists()
            && let Err(error) = std::fs::remove_dir_all(&folder)
        {
            tracing::warn!(folder = %folder.display(), %error, "a pod's volumes were not removed");
        }
    }

    async fn sandbox(&self) -> Result<Box<dyn Sandbox>> {
        self.node.runtime.sandbox(&self.pod.name_any(), &self.pod.uid().unwrap_or_default()).await
    }

    async fn volumes(&self, sandbox: &dyn Sandbox, folder: &std::path::Path) -> Result<BTreeMap<String, PathBuf>> {
        let (ip, host) = (sandbox.ip().to_string(), self.node.address.to_string());
        volumes::prepare(&Asker { client: &self.node.client, pod: &self.pod, ip, host }, folder).await
    }

    async fn containers(&self, sandbox: &dyn Sandbox, volumes: &BTreeMap<String, PathBuf>) {
        let spec = self.pod.spec.clone().unwrap_or_default();
        let restart = match spec.restart_policy.as_deref() {
            Some("Never") => Restart::Never,
            Some("OnFailure") => Restart::OnFailure,
            _ => Restart::Always,
        };
        let inits = spec.init_containers.unwrap_or_default();
        let (sidecars, inits): (Vec<_>, Vec<_>) = inits.into_iter().partition(|init| init.restart_policy.as_deref() == Some("Always"));
        let until_success = if restart == Restart::Never { Restart::Never } else { Restart::OnFailure };
        for init in &inits {
            if !self.life(init, until_success, sandbox, volumes).live().await {
                return;
            }
            self.progress.send_modify(|progress| progress.containers.entry(init.name.clone()).or_default().ready = true);
        }
        self.progress.send_modify(|progress| progress.initialized = true);
        let sidecars = sidecars.iter().map(|sidecar| (sidecar, Restart::Always));
        let all = spec.containers.iter().map(|container| (container, restart)).chain(sidecars);
        join_all(all.map(|(container, restart)| self.life(container, restart, sandbox, volumes).live())).await;
    }

    fn life<'a>(
        &'a self,
        container: &'a Container,
        restart: Restart,
        sandbox: &'a dyn Sandbox,
        volumes: &'a BTreeMap<String, PathBuf>,
    ) -> Life<'a> {
        let Self { node, pod, events, progress, stop, .. } = self;
        Life { node, pod, container, sandbox, volumes, restart, progress, events, stop: stop.clone() }
    }

    /// Writes the status whenever something has changed. Never ends.
    async fn report(&self, conditions: &mut Vec<PodCondition>) {
        let mut changes = self.progress.subscribe();
        loop {
            changes.borrow_and_update();
            self.write_status(conditions).await;
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            // Several changes at once become one write.
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Writes the status, once. The precondition on the uid protects a pod that has taken the name since.
    async fn write_status(&self, conditions: &mut Vec<PodCondition>) {
        let progress = self.progress.borrow().clone();
        let status = pod_status(&self.pod, &progress, self.node.address, conditions, &Time(Timestamp::now()));
        let mut patch = json!({ "metadata": { "uid": self.pod.uid() }, "status": status });
        // A strategic merge keeps what a condition does not name, such as the reason that it had before.
        for condition in patch["status"]["conditions"].as_array_mut().into_iter().flatten() {
            for field in ["reason", "message"] {
                let value = condition[field].take();
                condition[field] = value;
            }
        }
        let patch = Patch::Strategic(patch);
        match self.api.patch_status(&self.pod.name_any(), &PatchParams::default(), &patch).await {
            Ok(_) => *conditions = status.conditions.unwrap_or_default(),
            Err(kube::Error::Api(error)) if error.code == 404 => {}
            Err(error) => {
                tracing::warn!(pod = self.pod.name_any(), %error, "a status was not written");
            }
        }
    }

    async fn delete(&self) {
        let preconditions = Preconditions { uid: self.pod.uid(), resource_version: None };
        let now = DeleteParams::default().grace_period(0).preconditions(preconditions);
        if let Err(error) = self.api.delete(&self.pod.name_any(), &now).await.map(drop).context("delete a pod") {
            tracing::debug!(pod = self.pod.name_any(), error = format!("{error:#}"), "a pod was not deleted");
        }
    }
}

/// What an earlier run of the node had told about the pod: its containers are gone, their number counts on.
fn earlier(pod: &Pod) -> Progress {
    let status = pod.status.clone().unwrap_or_default();
    let statuses = status.container_statuses.into_iter().chain(status.init_container_statuses).flatten();
    let ran = statuses.filter(|container| container.container_id.is_some());
    let tracked = ran.map(|container| {
        let id = container.container_id;
        (container.name, Tracked { id, restarts: container.restart_count, ..Tracked::default() })
    });
    let started_at = status.start_time.or_else(|| Some(Time(Timestamp::now())));
    Progress { started_at, containers: tracked.collect(), ..Progress::default() }
}
