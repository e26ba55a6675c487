//! What does the status of a pod say, given what its containers do?
//!
//! Pure. The rules of a kubelet for phase and conditions; readiness gates are read, never set.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::{
    api::core::v1::{
        ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition,
        PodIP, PodSpec, PodStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};

/// How far a pod has come.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// When the node first saw it.
    pub started_at: Option<Time>,
    /// Its address, once it has one.
    pub ip: Option<IpAddr>,
    /// Whether every init container has succeeded.
    pub initialized: bool,
    /// Its containers, init containers too, by name.
    pub containers: BTreeMap<String, Tracked>,
}

/// How far a container has come.
#[derive(Clone, Debug, Default)]
pub struct Tracked {
    /// What it does now.
    pub state: Now,
    /// The id of the newest container that was made for it.
    pub id: Option<String>,
    /// `repository@digest` of its image.
    pub image_id: String,
    /// How the container before the present one ended.
    pub last: Option<ContainerStateTerminated>,
    /// How often it was started again.
    pub restarts: i32,
    /// Whether its startup probe, if any, has succeeded.
    pub started: bool,
    /// Whether its readiness probe, if any, succeeds.
    pub ready: bool,
    /// It has ended and will not be started again.
    pub finished: bool,
}

/// What a container does now.
#[derive(Clone, Debug)]
pub enum Now {
    /// It does not run, for a reason and, often, with a message.
    Waiting(&'static str, Option<String>),
    /// It runs since then.
    Running(Time),
    /// It has ended.
    Terminated(Box<ContainerStateTerminated>),
}

impl Default for Now {
    fn default() -> Self {
        Self::Waiting("ContainerCreating", None)
    }
}

/// The status of `pod`, which runs on a node with the address `host`. `before` are the conditions that it had, whose times
/// are kept where nothing has changed.
pub fn pod_status(pod: &Pod, progress: &Progress, host: IpAddr, before: &[PodCondition], now: &Time) -> PodStatus {
    let spec = pod.spec.clone().unwrap_or_default();
    let statuses =
        |names: Vec<(String, String)>| names.iter().map(|(name, image)| container_status(name, image, progress)).collect::<Vec<_>>();
    let apps = statuses(spec.containers.iter().map(|c| (c.name.clone(), c.image.clone().unwrap_or_default())).collect());
    let inits = statuses(spec.init_containers.iter().flatten().map(|c| (c.name.clone(), c.image.clone().unwrap_or_default())).collect());
    let phase = phase(&spec, progress);
    let generation = pod.metadata.generation;
    let verdicts = verdicts(pod, &spec, progress, phase);
    let ip = progress.ip.map(|ip| ip.to_string());
    PodStatus {
        conditions: Some(verdicts.into_iter().map(|verdict| verdict.condition(before, now, generation)).collect()),
        container_statuses: Some(apps),
        init_container_statuses: Some(inits).filter(|inits| !inits.is_empty()),
        host_ip: Some(host.to_string()),
        host_ips: Some(vec![HostIP { ip: host.to_string() }]),
        observed_generation: generation,
        phase: Some(phase.to_owned()),
        pod_ip: ip.clone(),
        pod_ips: ip.map(|ip| vec![PodIP { ip }]),
        start_time: progress.started_at.clone(),
        ..PodStatus::default()
    }
}

fn container_status(name: &str, image: &str, progress: &Progress) -> ContainerStatus {
    let tracked = progress.containers.get(name).cloned().unwrap_or_default();
    let state = match tracked.state {
        Now::Waiting(_, _) if !progress.initialized && tracked.id.is_none() && tracked.image_id.is_empty() => {
            waiting("PodInitializing", None)
        }
        Now::Waiting(reason, message) => waiting(reason, message),
        Now::Running(since) => {
            ContainerState { running: Some(ContainerStateRunning { started_at: Some(since) }), ..ContainerState::default() }
        }
        Now::Terminated(end) => ContainerState { terminated: Some(*end), ..ContainerState::default() },
    };
    ContainerStatus {
        name: name.to_owned(),
        image: image.to_owned(),
        image_id: tracked.image_id,
        container_id: tracked.id.map(|id| format!("containerd://{id}")),
        last_state: Some(ContainerState { terminated: tracked.last, ..ContainerState::default() }),
        ready: tracked.ready,
        restart_count: tracked.restarts,
        started: Some(tracked.started),
        state: Some(state),
        ..ContainerStatus::default()
    }
}

fn waiting(reason: &str, message: Option<String>) -> ContainerState {
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

/// The phase: Pending until a container of the pod itself was started, then Running until all are finished.
fn phase(spec: &PodSpec, progress: &Progress) -> &'static str {
    let app = |name: &String| progress.containers.get(name).cloned().unwrap_or_default();
    let apps: Vec<_> = spec.containers.iter().map(|container| app(&container.name)).collect();
    let failed = |tracked: &Tracked| matches!(&tracked.state, Now::Terminated(end) if end.exit_code != 0);
    let init_failed = spec.init_containers.iter().flatten().map(|c| app(&c.name)).any(|tracked| tracked.finished && failed(&tracked));
    if init_failed {
        "Failed"
    } else if apps.iter().all(|app| app.finished) {
        if apps.iter().any(failed) { "Failed" } else { "Succeeded" }
    } else if apps.iter().any(|app| app.last.is_some() || !matches!(app.state, Now::Waiting(..))) {
        "Running"
    } else {
        "Pending"
    }
}

struct Verdict {
    type_: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn condition(self, before: &[PodCondition], now: &Time, generation: Option<i64>) -> PodCondition {
        let status = if self.holds { "True" } else { "False" };
        let unchanged = before.iter().find(|other| other.type_ == self.type_ && other.status == status);
        PodCondition {
            type_: self.type_.to_owned(),
            status: status.to_owned(),
            reason: Some(self.reason.to_owned()).filter(|reason| !reason.is_empty()),
            message: Some(self.message).filter(|message| !message.is_empty()),
            last_transition_time: unchanged.and_then(|same| same.last_transition_time.clone()).or_else(|| Some(now.clone())),
            observed_generation: generation,
            ..PodCondition::default()
        }
    }
}

fn verdicts(pod: &Pod, spec: &PodSpec, progress: &Progress, phase: &str) -> Vec<Verdict> {
    let unready: Vec<_> = spec.containers.iter().map(|container| container.name.as_str()).collect();
    let ready = |name: &str| progress.containers.get(name).is_some_and(|tracked| tracked.ready);
    let unready: Vec<_> = unready.into_iter().filter(|name| !ready(name)).collect();
    let (reason, message) = match (phase, unready.is_empty()) {
        ("Succeeded", _) => ("PodCompleted", String::new()),
        (_, true) => ("", String::new()),
        (_, false) => ("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" "))),
    };
    let has = |type_: &str| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        conditions.into_iter().flatten().any(|condition| condition.type_ == type_ && condition.status == "True")
    };
    let gates = spec.readiness_gates.iter().flatten().all(|gate| has(&gate.condition_type));
    let gates_reason = if unready.is_empty() && !gates { "ReadinessGatesNotReady" } else { reason };
    let verdict = |type_, holds, reason, message| Verdict { type_, holds, reason, message };
    let plain = |type_, holds| verdict(type_, holds, "", String::new());
    let initialized_reason = if progress.initialized { "" } else { "ContainersNotInitialized" };
    vec![
        plain("PodReadyToStartContainers", progress.ip.is_some()),
        verdict("Initialized", progress.initialized, initialized_reason, String::new()),
        verdict("Ready", unready.is_empty() && gates, gates_reason, message.clone()),
        verdict("ContainersReady", unready.is_empty(), reason, message),
        plain("PodScheduled", true),
    ]
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{api::core::v1::Container, jiff::Timestamp};

    use super::*;

    fn pod() -> Pod {
        let container = Container { name: "app".into(), image: Some("image".into()), ..Container::default() };
        Pod { spec: Some(PodSpec { containers: vec![container], ..PodSpec::default() }), ..Pod::default() }
    }

    fn time(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    fn ended(exit_code: i32) -> Now {
        Now::Terminated(Box::new(ContainerStateTerminated { exit_code, ..ContainerStateTerminated::default() }))
    }

    fn status(tracked: Tracked, before: &[PodCondition], second: i64) -> PodStatus {
        let containers = BTreeMap::from([("app".to_owned(), tracked)]);
        let progress = Progress { initialized: true, containers, ..Progress::default() };
        pod_status(&pod(), &progress, [10, 0, 0, 1].into(), before, &time(second))
    }

    #[test]
    fn the_phase_follows_the_containers() {
        let last = Some(ContainerStateTerminated::default());
        for (tracked, phase) in [
            (Tracked::default(), "Pending"),
            (Tracked { state: Now::Running(time(0)), ..Tracked::default() }, "Running"),
            (Tracked { last, ..Tracked::default() }, "Running"),
            (Tracked { state: ended(0), ..Tracked::default() }, "Running"),
            (Tracked { state: ended(0), finished: true, ..Tracked::default() }, "Succeeded"),
            (Tracked { state: ended(3), finished: true, ..Tracked::default() }, "Failed"),
        ] {
            assert_eq!(status(tracked.clone(), &[], 0).phase.as_deref(), Some(phase), "{tracked:?}");
        }
    }

    #[test]
    fn a_conditions_time_changes_with_its_status_only() {
        let running = Tracked { state: Now::Running(time(0)), ..Tracked::default() };
        let first = status(running.clone(), &[], 1).conditions.unwrap();
        let second = status(Tracked { ready: true, ..running }, &first, 2).conditions.unwrap();
        let at = |conditions: &[PodCondition], type_: &str| {
            let found = conditions.iter().find(|condition| condition.type_ == type_).unwrap();
            (found.status.clone(), found.last_transition_time.clone())
        };
        assert_eq!(at(&second, "Initialized"), ("True".into(), Some(time(1))));
        assert_eq!(at(&second, "Ready"), ("True".into(), Some(time(2))));
        assert_eq!(at(&first, "ContainersReady"), ("False".into(), Some(time(1))));
    }
}
