//! How does one container of a pod come to life, and what happens when it ends?
//!
//! ```text
//!   pull --fails--> ErrImagePull, ImagePullBackOff, wait, pull again
//!    |
//!   create --fails--> CreateContainer(Config)Error, wait, create again
//!    |
//!   start --fails--> StartError, which is an end like any other
//!    |
//!   run, probed, until it ends | is unwell | has to stop
//!    |
//!   ended --policy says no--> finished
//!    |
//!   CrashLoopBackOff, wait (not the first time), pull
//! ```

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use k8s_openapi::{
    api::core::v1::{Container, ContainerStateTerminated, Pod},
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::Timestamp,
};
use kube::ResourceExt;
use tokio::{sync::watch, time::sleep};

use crate::{
    agent::Node,
    backoff::Backoff,
    command::CommandLine,
    environment::Asker,
    events::PodEvents,
    images::Image,
    logs,
    probe::{Probes, Unwell},
    runtime::{self, NewContainer, Sandbox},
    status::{Now, Progress, Tracked},
    volumes::mounts,
};

/// The exit code that containerd reports for a program that could not be started.
const NOT_STARTED: i32 = 128;
const DEFAULT_TERMINATION_LOG: &str = "/dev/termination-log";

/// When a container that has ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Whatever its exit code was.
    Always,
    /// When its exit code was not 0.
    OnFailure,
    /// Not at all.
    Never,
}

/// A container with all that its life needs.
pub struct Life<'a> {
    /// The node.
    pub node: &'a Node,
    /// The pod.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// What it shares with the pod's other containers.
    pub sandbox: &'a dyn Sandbox,
    /// The pod's volumes.
    pub volumes: &'a BTreeMap<String, PathBuf>,
    /// When it is started again.
    pub restart: Restart,
    /// Where its state is kept.
    pub progress: &'a watch::Sender<Progress>,
    /// Where its story is told.
    pub events: &'a PodEvents,
    /// Becomes a grace period when the pod has to stop.
    pub stop: watch::Receiver<Option<Duration>>,
}

impl Life<'_> {
    /// Lives until the container is finished, and gives whether it succeeded, or until the pod has to stop.
    pub async fn live(mut self) -> bool {
        let mut backoff = Backoff::new(self.node.backoff);
        let mut ends = 0_u32;
        loop {
            let Some(image) = self.image().await else { return false };
            let started = Instant::now();
            let code = match self.run(image).await {
                Ok(code) => code,
                Err((reason, error)) => {
                    self.events.warning(&self.container.name, "Failed", format!("Error: {error:#}")).await;
                    self.note(|tracked| tracked.state = Now::Waiting(reason, Some(format!("{error:#}"))));
                    if self.waited_to_stop(self.node.backoff).await {
                        return false;
                    }
                    continue;
                }
            };
            let stopping = self.stop.borrow().is_some();
            let again = match self.restart {
                Restart::Always => true,
                Restart::OnFailure => code != 0,
                Restart::Never => false,
            };
            if stopping || !again {
                self.note(|tracked| tracked.finished = true);
                return code == 0;
            }
            backoff.went_well_for(started.elapsed());
            ends += 1;
            if ends > 1 && self.crash_loop(backoff.next()).await {
                return false;
            }
        }
    }

    /// The image, pulled as often as it takes; nothing when the pod has to stop first.
    async fn image(&mut self) -> Option<Arc<Image>> {
        let name = &self.container.name;
        let reference = self.container.image.clone().unwrap_or_default();
        let policy = self.container.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
        let mut backoff = Backoff::new(self.node.backoff);
        loop {
            if let Some(image) = self.node.runtime.images().get(&reference).filter(|_| policy != "Always") {
                self.events.normal(name, "Pulled", format!("Container image \"{reference}\" already present on machine")).await;
                return Some(image);
            }
            if policy == "Never" {
                let message = format!("Container image \"{reference}\" is not present with pull policy of Never");
                self.events.warning(name, "ErrImageNeverPull", message.clone()).await;
                self.note(|tracked| tracked.state = Now::Waiting("ErrImageNeverPull", Some(message)));
                if self.waited_to_stop(self.node.backoff).await {
                    return None;
                }
                continue;
            }
            self.events.normal(name, "Pulling", format!("Pulling image \"{reference}\"")).await;
            let asked = Instant::now();
            let error = match self.node.runtime.images().pull(&reference).await {
                Ok(pull) => {
                    let (took, waited) = (seconds(pull.duration), seconds(asked.elapsed()));
                    let size = pull.image.size;
                    let message = format!(
                        "Successfully pulled image \"{reference}\" in {took} ({waited} including waiting). Image size: {size} bytes."
                    );
                    self.events.normal(name, "Pulled", message).await;
                    return Some(pull.image);
                }
                Err(error) => format!("{error:#}"),
            };
            self.events.warning(name, "Failed", format!("Failed to pull image \"{reference}\": {error}")).await;
            self.events.warning(name, "Failed", "Error: ErrImagePull".to_owned()).await;
            self.note(|tracked| tracked.state = Now::Waiting("ErrImagePull", Some(error.clone())));
            let wait = backoff.next();
            if self.waited_to_stop(wait / 4).await {
                return None;
            }
            let message = format!("Back-off pulling image \"{reference}\"");
            self.events.normal(name, "BackOff", message.clone()).await;
            self.events.warning(name, "Failed", "Error: ImagePullBackOff".to_owned()).await;
            self.note(|tracked| tracked.state = Now::Waiting("ImagePullBackOff", Some(format!("{message}: ErrImagePull: {error}"))));
            if self.waited_to_stop(wait - wait / 4).await {
                return None;
            }
        }
    }

    /// Runs one container to its end and gives its exit code. Fails with the reason for waiting if none could be made.
    async fn run(&mut self, image: Arc<Image>) -> Result<i32, (&'static str, anyhow::Error)> {
        let new = self.new_container(image).await.map_err(|error| ("CreateContainerConfigError", error))?;
        let (id, image_id, log, restarts) = (new.id.clone(), new.image.id.clone(), new.log.clone(), new.restarts);
        let mut container = self.sandbox.create(new).map_err(|error| ("CreateContainerError", error))?;
        let name = &self.container.name;
        self.events.normal(name, "Created", format!("Created container: {name}")).await;
        self.note(|tracked| {
            if let Now::Terminated(end) = &tracked.state {
                tracked.last = Some((**end).clone());
            }
            (tracked.id, tracked.image_id, tracked.restarts) = (Some(id.clone()), image_id, restarts);
        });
        let since = Time(Timestamp::now());
        let (code, reason, message) = match container.start().await {
            Ok(()) => {
                self.events.normal(name, "Started", format!("Started container {name}")).await;
                self.note(|tracked| tracked.state = Now::Running(since.clone()));
                let code = self.end(&mut *container).await.unwrap_or(NOT_STARTED);
                let message = self.last_words(&*container, code, &log);
                (code, if code == 0 { "Completed" } else { "Error" }, message)
            }
            Err(error) => {
                let message = format!("failed to start containerd task \"{name}\": {error:#}");
                self.events.warning(name, "Failed", format!("Error: {message}")).await;
                (NOT_STARTED, "StartError", Some(message))
            }
        };
        let end = ContainerStateTerminated {
            container_id: Some(format!("containerd://{id}")),
            exit_code: code,
            reason: Some(reason.to_owned()),
            message,
            started_at: Some(since),
            finished_at: Some(Time(Timestamp::now())),
            ..ContainerStateTerminated::default()
        };
        self.note(|tracked| {
            tracked.state = Now::Terminated(Box::new(end));
            (tracked.started, tracked.ready) = (false, false);
        });
        Ok(code)
    }

    async fn new_container(&self, image: Arc<Image>) -> Result<NewContainer> {
        self.check_user(&image)?;
        let asker =
            Asker { client: &self.node.client, pod: self.pod, ip: self.sandbox.ip().to_string(), host: self.node.address.to_string() };
        let environment = asker.environment(self.container).await?;
        let Some(line) = CommandLine::new(self.container, &image.config, environment) else { bail!("no command specified") };
        let tracked = self.progress.borrow().containers.get(&self.container.name).cloned().unwrap_or_default();
        let restarts = if tracked.id.is_some() { tracked.restarts + 1 } else { 0 };
        let path = self.container.termination_message_path.as_deref().unwrap_or(DEFAULT_TERMINATION_LOG);
        Ok(NewContainer {
            id: format!("{}-{}-{restarts}", self.pod.uid().unwrap_or_default(), self.container.name),
            restarts,
            image,
            line,
            mounts: mounts(self.container, self.volumes)?,
            termination_log: path.to_owned(),
            log: logs::file(
                &self.node.logs,
                &self.pod.namespace().unwrap_or_default(),
                &self.pod.name_any(),
                &self.container.name,
                restarts,
            ),
        })
    }

    /// A kubelet's rule for Windows: only the literal name of the administrator is refused.
    fn check_user(&self, image: &Image) -> Result<()> {
        let pod = self.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let own = self.container.security_context.as_ref();
        let non_root = own.and_then(|own| own.run_as_non_root).or(pod.and_then(|pod| pod.run_as_non_root)).unwrap_or(false);
        let of_pod = pod.and_then(|pod| pod.windows_options.as_ref());
        let options = own.and_then(|own| own.windows_options.as_ref()).or(of_pod);
        let user = options.and_then(|options| options.run_as_user_name.clone()).unwrap_or_else(|| image.config.user.clone());
        if non_root && user.eq_ignore_ascii_case("ContainerAdministrator") {
            bail!("container's runAsUserName ({user}) which will be regarded as root identity and will break non-root policy");
        }
        Ok(())
    }

    /// Waits for the end of a running container, and brings it about when it is unwell or has to stop.
    async fn end(&mut self, container: &mut dyn runtime::Container) -> Result<i32> {
        let ip = Some(self.sandbox.ip()).filter(|_| self.node.runtime.listens());
        let probes = Probes { container: self.container, ip, progress: self.progress, events: self.events };
        let own_grace = self.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
        let own_grace = Duration::from_secs(own_grace.max(0).cast_unsigned());
        let name = &self.container.name;
        let (message, grace) = tokio::select! {
            code = container.wait() => return code,
            Unwell { message, grace } = probes.watch() => (message, grace.unwrap_or(own_grace)),
            grace = stopped(&mut self.stop) => (format!("Stopping container {name}"), grace),
        };
        self.events.normal(name, "Killing", message).await;
        let hook = self.container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        let hook = hook.and_then(|hook| hook.sleep.as_ref()).map_or(0, |sleep| sleep.seconds.max(0).cast_unsigned());
        let hook = Duration::from_secs(hook).min(grace);
        tokio::select! {
            code = container.wait() => return code,
            () = sleep(hook) => {}
        }
        container.stop(grace - hook).await
    }

    fn last_words(&self, container: &dyn runtime::Container, code: i32, log: &std::path::Path) -> Option<String> {
        let path = self.container.termination_message_path.as_deref().unwrap_or(DEFAULT_TERMINATION_LOG);
        let from_log = self.container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError") && code != 0;
        container.termination_message(path).or_else(|| from_log.then(|| logs::tail(log)).flatten())
    }

    async fn crash_loop(&mut self, wait: Duration) -> bool {
        let pod = format!("{}_{}({})", self.pod.name_any(), self.pod.namespace().unwrap_or_default(), self.pod.uid().unwrap_or_default());
        let name = &self.container.name;
        self.events.warning(name, "BackOff", format!("Back-off restarting failed container {name} in pod {pod}")).await;
        let message = format!("back-off {} restarting failed container={name} pod={pod}", seconds(wait));
        self.note(|tracked| {
            if let Now::Terminated(end) = &tracked.state {
                tracked.last = Some((**end).clone());
            }
            tracked.state = Now::Waiting("CrashLoopBackOff", Some(message));
        });
        self.waited_to_stop(wait).await
    }

    /// Waits, and gives whether the pod has to stop.
    async fn waited_to_stop(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, stopped(&mut self.stop)).await.is_ok()
    }

    fn note(&self, change: impl FnOnce(&mut Tracked)) {
        self.progress.send_modify(|progress| change(progress.containers.entry(self.container.name.clone()).or_default()));
    }
}

/// Waits until the pod has to stop, and gives the grace period: none when nobody could say so any more.
pub async fn stopped(stop: &mut watch::Receiver<Option<Duration>>) -> Duration {
    let grace = stop.wait_for(Option::is_some).await;
    grace.ok().and_then(|grace| *grace).unwrap_or_default()
}

/// A time as Go writes it, to the millisecond.
fn seconds(time: Duration) -> String {
    let milliseconds = time.as_millis();
    let (minutes, rest) = (milliseconds / 60_000, milliseconds % 60_000);
    match (minutes, rest) {
        (0, 0..1000) => format!("{rest}ms"),
        (0, _) => format!("{}s", rest as f64 / 1000.0),
        _ => format!("{minutes}m{}s", rest as f64 / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_go_writes_them() {
        for (milliseconds, text) in [(70, "70ms"), (1210, "1.21s"), (10_000, "10s"), (300_000, "5m0s")] {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), text);
        }
    }
}
