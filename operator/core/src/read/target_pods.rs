//! What is wrong with the pods of a target?

use super::known_errors::{Pod as FailedPod, explained};
use gowindows_crds::conditions::Reason;
use gowindows_model::facts::PodTrouble;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube_core::ResourceExt;

/// A crash-looping pod has been restarted at least this often.
const RESTARTS: i32 = 2;

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
