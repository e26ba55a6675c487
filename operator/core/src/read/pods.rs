//! What does the pod of a Job tell of its build, as it was rendered?

use gowindows_model::wire::stages::DAEMONLESS;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PodSpec;

/// Whether a Job's pod is for Windows nodes.
pub fn is_on_windows(job: &Job) -> bool {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    pod.and_then(|pod| pod.os.as_ref()).is_some_and(|os| os.name == "windows")
}

/// Whether a pod has a buildkitd of its own.
pub fn has_buildkitd(pod: &PodSpec) -> bool {
    let mut containers = pod.init_containers.iter().flatten();
    containers.any(|container| container.command.as_ref().and_then(|command| command.first()).is_some_and(|name| name == DAEMONLESS))
}

/// Whether the pod of a build by BuildKit is the one that compiles.
pub fn compiles_in_its_pod(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).is_some_and(has_buildkitd)
}
