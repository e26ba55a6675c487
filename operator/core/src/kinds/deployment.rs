//! `apps/v1` Deployments.

use super::Kind;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::TargetKind;
use gowindows_model::facts::{Placement, Workload, WorkloadContainer};
use gowindows_model::plan::Roll;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, PodSpec, PodTemplateSpec, ResourceRequirements};
use kube_core::ResourceExt;
use serde_json::{Value, json};
use std::time::Duration;

impl Kind for Deployment {
    fn read(&self) -> Workload {
        let spec = self.spec.as_ref();
        let status = self.status.clone().unwrap_or_default();
        let pod = spec.and_then(|spec| spec.template.spec.as_ref());
        let containers = pod.map(|pod| pod.containers.as_slice()).unwrap_or_default();
        let stuck = status.conditions.unwrap_or_default().into_iter().find(|condition| {
            condition.type_ == "Progressing"
                && condition.status == "False"
                && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
        });
        Workload {
            kind: TargetKind::Deployment,
            name: self.name_any(),
            uid: self.uid().unwrap_or_default(),
            containers: containers
                .iter()
                .map(|container| WorkloadContainer {
                    name: container.name.clone(),
                    image: container.image.clone().unwrap_or_default(),
                    applied_by: other_applier(self, &container.name),
                    processors_untold: is_untold(container, "cpu", "GOMAXPROCS"),
                    memory_untold: is_untold(container, "memory", "GOMEMLIMIT"),
                })
                .collect(),
            placement: pod.map(Placement::of).unwrap_or_default(),
            progress_deadline: spec.and_then(|spec| u64::try_from(spec.progress_deadline_seconds?).ok()).map(Duration::from_secs),
            paused: spec.and_then(|spec| spec.paused).unwrap_or_default(),
            observed: status.observed_generation >= self.metadata.generation,
            replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1),
            updated: status.updated_replicas.unwrap_or_default(),
            available: status.available_replicas.unwrap_or_default(),
            total: status.replicas.unwrap_or_default(),
            stuck: stuck.map(|condition| condition.message.unwrap_or_default()),
            pod_troubles: Vec::new(),
        }
    }

    fn slim(&mut self) {
        self.metadata.annotations = None;
        self.metadata.labels = None;
        let managed = self.metadata.managed_fields.take().unwrap_or_default();
        self.metadata.managed_fields = Some(managed.into_iter().filter(|entry| entry.operation.as_deref() == Some("Apply")).collect());
        let Some(spec) = self.spec.as_mut() else { return };
        let pod = spec.template.spec.take().unwrap_or_default();
        let placement = Placement::slim(&pod);
        let containers = pod.containers.into_iter().map(slim_container).collect();
        spec.template = PodTemplateSpec { metadata: None, spec: Some(PodSpec { containers, ..placement }) };
    }

    fn patch(namespace: &str, roll: &Roll) -> Value {
        let Roll { index: _, kind: _, name, uid, container, image } = roll;
        json!({
            "apiVersion": "apps/v1",
            "kind": TargetKind::Deployment.as_str(),
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "spec": {"template": {"spec": {"containers": [{"name": container, "image": image}]}}},
        })
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let before = deployment.read();
        let app = &before.containers[0];
        assert_eq!((app.processors_untold, app.memory_untold, before.placement.allows_linux()), (false, true, false));
        assert_eq!(before.progress_deadline, Some(Duration::from_secs(600)));
        deployment.slim();
        assert_eq!(deployment.read(), before);
        let text = serde_json::to_string(&deployment).expect("JSON");
        assert!(!["sesame", "TOKEN", "long", "zone"].iter().any(|word| text.contains(word)), "{text}");
    }
}
