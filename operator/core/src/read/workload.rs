//! What does a Deployment say about itself?

use crate::decide::{Pod as FailedPod, explained};
use gowindows_crds::conditions::Reason;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::TargetKind;
use gowindows_model::facts::{Placement, PodTrouble, Workload, WorkloadContainer};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, EnvFromSource, EnvVar, Pod, PodSpec, PodTemplateSpec, ResourceRequirements};
use kube_core::ResourceExt;
use serde_json::Value;
use std::time::Duration;

/// A crash-looping pod has been restarted at least this often.
const RESTARTS: i32 = 2;

/// The workload that a Deployment is, without its pods' troubles.
pub fn workload(deployment: &Deployment) -> Workload {
    let spec = deployment.spec.as_ref();
    let status = deployment.status.clone().unwrap_or_default();
    let pod = spec.and_then(|spec| spec.template.spec.as_ref());
    let containers = pod.map(|pod| pod.containers.as_slice()).unwrap_or_default();
    let stuck = status.conditions.unwrap_or_default().into_iter().find(|condition| {
        condition.type_ == "Progressing" && condition.status == "False" && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    });
    Workload {
        kind: TargetKind::Deployment,
        name: deployment.name_any(),
        uid: deployment.uid().unwrap_or_default(),
        containers: containers
            .iter()
            .map(|container| WorkloadContainer {
                name: container.name.clone(),
                image: container.image.clone().unwrap_or_default(),
                applied_by: other_applier(deployment, &container.name),
                processors_untold: is_untold(container, "cpu", "GOMAXPROCS"),
                memory_untold: is_untold(container, "memory", "GOMEMLIMIT"),
            })
            .collect(),
        placement: pod.map(Placement::of).unwrap_or_default(),
        progress_deadline: spec.and_then(|spec| u64::try_from(spec.progress_deadline_seconds?).ok()).map(Duration::from_secs),
        paused: spec.and_then(|spec| spec.paused).unwrap_or_default(),
        observed: status.observed_generation >= deployment.metadata.generation,
        replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        updated: status.updated_replicas.unwrap_or_default(),
        available: status.available_replicas.unwrap_or_default(),
        total: status.replicas.unwrap_or_default(),
        stuck: stuck.map(|condition| condition.message.unwrap_or_default()),
        pod_troubles: Vec::new(),
    }
}

/// There is a limit, and no variable that tells Go of it. What `envFrom` brings is not known, and taken for enough.
fn is_untold(container: &Container, limit: &str, variable: &str) -> bool {
    let limited = container.resources.as_ref().and_then(|resources| resources.limits.as_ref()).is_some_and(|all| all.contains_key(limit));
    let told = container.env.iter().flatten().any(|one| one.name.eq_ignore_ascii_case(variable));
    limited && !told && container.env_from.iter().flatten().next().is_none()
}

/// The manager other than ours that owns a container's image field through server-side apply.
fn other_applier(deployment: &Deployment, container: &str) -> Option<String> {
    let path = ["f:spec", "f:template", "f:spec", "f:containers"];
    let key = serde_json::json!({"name": container}).to_string();
    let owns = |fields: &Value| {
        let containers = path.iter().try_fold(fields, |value, part| value.get(part));
        containers.and_then(|containers| containers.get(format!("k:{key}"))).is_some_and(|owned| owned.get("f:image").is_some())
    };
    let entries = deployment.metadata.managed_fields.iter().flatten();
    let applied =
        entries.filter(|entry| entry.operation.as_deref() == Some("Apply") && entry.manager.as_deref() != Some(names::APPLY_MANAGER));
    applied.filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| owns(&fields.0))).find_map(|entry| entry.manager.clone())
}

/// Keeps of a Deployment only what [`workload`] reads: the store holds every Deployment of the cluster.
pub fn slim(deployment: &mut Deployment) {
    deployment.metadata.annotations = None;
    deployment.metadata.labels = None;
    let managed = deployment.metadata.managed_fields.take().unwrap_or_default();
    deployment.metadata.managed_fields = Some(managed.into_iter().filter(|entry| entry.operation.as_deref() == Some("Apply")).collect());
    let Some(spec) = deployment.spec.as_mut() else { return };
    let pod = spec.template.spec.take().unwrap_or_default();
    let placement = Placement::slim(&pod);
    let containers = pod.containers.into_iter().map(slim_container).collect();
    spec.template = PodTemplateSpec { metadata: None, spec: Some(PodSpec { containers, ..placement }) };
}

fn slim_container(container: Container) -> Container {
    let Container { name, image, env, env_from, resources, .. } = container;
    // Values may be secrets of others; their names are all that counts here.
    let named = |variable: EnvVar| EnvVar { name: variable.name, ..EnvVar::default() };
    let told = |variable: &EnvVar| ["GOMAXPROCS", "GOMEMLIMIT"].iter().any(|name| variable.name.eq_ignore_ascii_case(name));
    let env = env.map(|all| all.into_iter().filter(told).map(named).collect());
    let env_from = env_from.map(|all| all.into_iter().take(1).map(|_| EnvFromSource::default()).collect());
    let resources = resources.map(|all| ResourceRequirements { limits: all.limits, ..ResourceRequirements::default() });
    Container { name, image, env, env_from, resources, ..Container::default() }
}

/// What is wrong with a pod of a target, if anything is.
pub fn pod_trouble(pod: &Pod) -> Option<PodTrouble> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    containers.into_iter().find_map(|container| {
        let (reason, message) = container_trouble(container)?;
        Some(PodTrouble { pod: pod.name_any(), image: declared_image(pod, &container.name), reason, message })
    })
}

fn declared_image(pod: &Pod, container: &str) -> String {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.into_iter().find(|declared| declared.name == container).and_then(|declared| declared.image.clone()).unwrap_or_default()
}

fn container_trouble(container: &ContainerStatus) -> Option<(Reason, String)> {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let waiting_for = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
    let said = waiting.and_then(|waiting| waiting.message.clone()).unwrap_or_default();
    match waiting_for {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
            let message = format!("container {} cannot pull its image: {waiting_for}: {said}", container.name);
            Some((Reason::ImagePullFailed, explained(message, &said, FailedPod::Target)))
        }
        "CreateContainerError" | "CreateContainerConfigError" | "RunContainerError" => {
            let message = format!("container {} cannot be started: {waiting_for}: {said}", container.name);
            Some((Reason::CrashLooping, explained(message, &said, FailedPod::Target)))
        }
        "CrashLoopBackOff" => Some((Reason::CrashLooping, crash(container))),
        _ if container.restart_count >= RESTARTS && !container.ready => Some((Reason::CrashLooping, crash(container))),
        _ => None,
    }
}

fn crash(container: &ContainerStatus) -> String {
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    let ended = last.map(|ended| {
        let tail = ended
            .message
            .as_deref()
            .map(|text| format!(": {}", gowindows_model::redact::tail(&gowindows_model::redact::redact(text, &[]), 300)))
            .unwrap_or_default();
        format!(" with exit code {}{tail}", ended.exit_code)
    });
    let message = format!(
        "container {} keeps ending{} (restarts: {}); see `kubectl logs --previous`",
        container.name,
        ended.unwrap_or_default(),
        container.restart_count
    );
    // The whole text: in a Go panic the message stands far above the end.
    let whole = last.and_then(|ended| ended.message.as_deref()).unwrap_or_default();
    explained(message, whole, FailedPod::Target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStateWaiting, PodStatus};

    fn trouble(waiting: &str, said: Option<&str>, last: Option<&str>) -> PodTrouble {
        let waiting = ContainerStateWaiting { reason: Some(waiting.into()), message: said.map(Into::into) };
        let terminated = last.map(|message| ContainerStateTerminated {
            exit_code: 2,
            message: Some(message.into()),
            ..ContainerStateTerminated::default()
        });
        let container = ContainerStatus {
            name: "app".into(),
            state: Some(ContainerState { waiting: Some(waiting), ..ContainerState::default() }),
            last_state: Some(ContainerState { terminated, ..ContainerState::default() }),
            ..ContainerStatus::default()
        };
        let status = PodStatus { container_statuses: Some(vec![container]), ..PodStatus::default() };
        pod_trouble(&Pod { status: Some(status), ..Pod::default() }).expect("trouble")
    }

    #[test]
    fn of_a_deployment_is_kept_what_is_read_and_no_secret() {
        let container = serde_json::json!({
            "name": "app", "image": "a", "command": ["long"], "envFrom": [],
            "env": [{"name": "TOKEN", "value": "sesame"}, {"name": "GoMaxProcs", "value": "sesame"}],
            "resources": {"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "1"}},
        });
        let mut deployment: Deployment = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "shop"},
            "spec": {
                "progressDeadlineSeconds": 600, "selector": {},
                "template": {"spec": {"containers": [container], "nodeSelector": {"kubernetes.io/os": "windows", "zone": "a"}}},
            },
        }))
        .expect("a Deployment");
        let before = workload(&deployment);
        let app = &before.containers[0];
        assert_eq!((app.processors_untold, app.memory_untold, before.placement.allows_linux()), (false, true, false));
        assert_eq!(before.progress_deadline, Some(Duration::from_secs(600)));
        slim(&mut deployment);
        assert_eq!(workload(&deployment), before);
        let text = serde_json::to_string(&deployment).expect("JSON");
        assert!(!["sesame", "TOKEN", "long", "zone"].iter().any(|word| text.contains(word)), "{text}");
    }

    #[test]
    fn what_a_windows_node_says_is_explained() {
        let pull = trouble("ErrImagePull", Some("rpc error: no match for platform in manifest: not found"), None);
        assert!(pull.message.contains("The cause:") && pull.message.contains("image.base.releases"), "{}", pull.message);
        let start = trouble("RunContainerError", Some("hcs::CreateComputeSystem: (0xc0370106)"), None);
        assert!(start.message.contains("cumulative update"), "{}", start.message);
        let panic = format!(
            "panic: Failed to load netapi32.dll: The specified module could not be found.\n\n{}",
            "goroutine 1 [running]:\n".repeat(50)
        );
        let crash = trouble("CrashLoopBackOff", None, Some(&panic));
        assert!(crash.message.contains("exit code 2") && crash.message.contains("Nano Server has no netapi32.dll"), "{}", crash.message);
    }

    #[test]
    fn what_is_not_known_is_left_as_it_is() {
        let pull = trouble("ErrImagePull", Some("no such host"), None);
        assert_eq!(pull.message, "container app cannot pull its image: ErrImagePull: no such host");
    }
}
