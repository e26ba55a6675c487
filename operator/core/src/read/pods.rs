//! What does the pod of a Job tell of its build, as it was rendered?

use gowindows_model::wire::stages::DAEMONLESS;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};

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

/// Drops all of a Job that nothing here reads: its store holds every build of the cluster, and the template of the pod is most of it.
pub fn slim_job(job: &mut Job) {
    job.metadata.managed_fields = None;
    let Some(spec) = job.spec.take() else { return };
    let JobSpec { suspend, parallelism, template, .. } = spec;
    let pod = template.spec.unwrap_or_default();
    let builder = has_buildkitd(&pod);
    let daemonless = Container { command: Some(vec![DAEMONLESS.to_owned()]), ..Container::default() };
    let init_containers = builder.then(|| vec![daemonless]);
    let spec = Some(PodSpec { os: pod.os, init_containers, ..PodSpec::default() });
    let template = PodTemplateSpec { metadata: None, spec };
    job.spec = Some(JobSpec { suspend, parallelism, template, ..JobSpec::default() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::{builds, queue};
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn of_a_job_is_kept_what_is_read() {
        let job = |os: &str, command: &str| -> Job {
            serde_json::from_value(json!({
                "metadata": {
                    "name": "shop-1", "namespace": "team", "uid": "u", "managedFields": [{"manager": "m"}],
                    "labels": {"gowindows.dev/attempt": "1", "gowindows.dev/fingerprint": "0123", "gowindows.dev/role": "build"},
                    "annotations": {"gowindows.dev/engine": "BuildKit", "gowindows.dev/cause": "a cause"},
                },
                "spec": {
                    "suspend": true, "parallelism": 0, "activeDeadlineSeconds": 7,
                    "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
                        "os": {"name": os}, "containers": [{"name": "assemble", "env": [{"name": "LONG", "value": "long"}]}],
                        "initContainers": [{"name": "source"}, {"name": "compile", "command": [command, "build"]}],
                    }},
                },
                "status": {"active": 1, "startTime": "2026-01-01T00:00:00Z"},
            }))
            .expect("a Job")
        };
        for whole in [job("linux", "buildctl"), job("windows", DAEMONLESS)] {
            let mut slim = whole.clone();
            slim_job(&mut slim);
            let said = |job: &Job| (builds(&[Arc::new(job.clone())], |_| Vec::new()), queue(&[Arc::new(job.clone())], |_| Some(true)));
            assert_eq!(said(&slim), said(&whole));
            assert_eq!((is_on_windows(&slim), compiles_in_its_pod(&slim)), (is_on_windows(&whole), compiles_in_its_pod(&whole)));
            assert!(!serde_json::to_string(&slim).expect("JSON").contains("long"));
        }
    }
}
