//! What does a node say of itself?
//!
//! Only what the choice of a base needs is kept of a node, and only of Windows nodes: a hundred of them take some 100 KB.

use gowindows_model::facts::{BUILD_LABEL, HOST_LABEL, Nodes, Taint, WindowsNode};
use gowindows_model::settings::Settings;
use k8s_openapi::api::core::v1::{ContainerImage, Node, NodeSpec, NodeStatus, NodeSystemInfo};
use kube_core::ResourceExt;
use windows_image::Flavor;
use windows_image::base::repository;
use windows_image::release::{self, Releases};

/// The repositories of bases, whose images are worth remembering.
pub fn base_repositories(settings: &Settings) -> Vec<String> {
    [Flavor::NanoServer, Flavor::ServerCore].map(|flavor| repository(&settings.bases, flavor).to_owned()).into()
}

/// Drops all of a node that [`WindowsNode`] does not need.
pub fn slim_node(node: &mut Node, bases: &[String]) {
    let of_a_base = |image: &ContainerImage| {
        let names = image.names.iter().flatten();
        names
            .into_iter()
            .any(|name| bases.iter().any(|base| name.strip_prefix(base.as_str()).is_some_and(|rest| rest.starts_with(['@', ':']))))
    };
    let metadata = &mut node.metadata;
    (metadata.managed_fields, metadata.annotations) = (None, None);
    let known = |label: &str| [BUILD_LABEL, HOST_LABEL].contains(&label);
    metadata.labels = metadata.labels.take().map(|labels| labels.into_iter().filter(|(label, _)| known(label)).collect());
    let NodeSpec { unschedulable, taints, .. } = node.spec.take().unwrap_or_default();
    node.spec = Some(NodeSpec { unschedulable, taints, ..NodeSpec::default() });
    let status = node.status.take().unwrap_or_default();
    let NodeSystemInfo { kernel_version, container_runtime_version, .. } = status.node_info.unwrap_or_default();
    let images = status.images.map(|images| images.into_iter().filter(of_a_base).collect());
    let node_info = Some(NodeSystemInfo { kernel_version, container_runtime_version, ..NodeSystemInfo::default() });
    node.status = Some(NodeStatus { node_info, images, ..NodeStatus::default() });
}

/// What a slim node says; none for one that takes no pods, or of which no version is known.
pub fn windows_node(node: &Node) -> Option<WindowsNode> {
    let takes_pods = node.metadata.deletion_timestamp.is_none() && node.spec.as_ref().and_then(|spec| spec.unschedulable) != Some(true);
    let status = node.status.as_ref()?;
    let kernel = status.node_info.as_ref().map(|info| info.kernel_version.clone()).filter(|version| !version.is_empty());
    // A label says the build alone; with 0 as its fourth number the node counts as the oldest of its release.
    let os_version = kernel.or_else(|| node.labels().get(BUILD_LABEL).map(|build| format!("{build}.0")))?;
    let images = status.images.iter().flatten().map(|image| image.names.clone().unwrap_or_default()).collect();
    let taints = Taint::lasting(node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()));
    let host = node.labels().get(HOST_LABEL).cloned().unwrap_or_else(|| node.name_any());
    let runtime = status.node_info.as_ref().map(|info| info.container_runtime_version.clone()).unwrap_or_default();
    takes_pods.then(|| WindowsNode { name: node.name_any(), os_version, images, taints, host, runtime })
}

/// Whether a node runs images of a Windows build.
pub fn runs_build(node: &WindowsNode, build: u32) -> bool {
    release::four_parts(&node.os_version).is_some_and(|[_, _, host, _]| release::runs(host, build))
}

/// A note on releases that no node runs, by their versions. No error: a node may come, or the image be for elsewhere.
pub fn unused_releases(nodes: &Nodes, os_versions: &[&str], releases: &Releases) -> Option<String> {
    let Nodes::Seen(nodes) = nodes else { return None };
    let unused = os_versions.iter().filter(|version| {
        let build = release::four_parts(version).map(|[_, _, build, _]| build);
        build.is_some_and(|build| !nodes.iter().any(|node| runs_build(node, build)))
    });
    let unused: Vec<String> = unused.map(|version| releases.name(version).unwrap_or(version).to_owned()).collect();
    (!unused.is_empty()).then(|| format!("No Windows node of this cluster runs {}.", unused.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NANO: &str = "r.example/nano";

    fn node(patch: impl FnOnce(&mut Value)) -> Option<WindowsNode> {
        let mut node = json!({
            "metadata": {
                "name": "win-1", "annotations": {"large": "x"}, "managedFields": [],
                "labels": {
                    "kubernetes.io/os": "windows", "node.kubernetes.io/windows-build": "10.0.20348", "team": "x",
                    "kubernetes.io/hostname": "win-1.example.com",
                },
            },
            "spec": {"podCIDR": "10.0.0.0/24", "taints": [{"key": "os", "value": "windows", "effect": "NoSchedule"}]},
            "status": {
                "nodeInfo": {
                    "kernelVersion": "10.0.20348.5499", "osImage": "Windows Server 2022 Datacenter", "architecture": "amd64", "bootID": "b",
                    "containerRuntimeVersion": "containerd://1.7.27", "kubeProxyVersion": "", "kubeletVersion": "k", "machineID": "m", "operatingSystem": "windows",
                    "systemUUID": "u",
                },
                "images": [
                    {"names": ["r.example/nano@sha256:aa", "r.example/nano:ltsc2022"], "sizeBytes": 1},
                    {"names": ["r.example/nano-tools@sha256:bb"]},
                    {"names": ["mcr.example/pause:3"]},
                    {},
                ],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        patch(&mut node);
        let mut node: Node = serde_json::from_value(node).expect("a node");
        slim_node(&mut node, &[NANO.into()]);
        let text = serde_json::to_string(&node).expect("JSON");
        assert!(text.len() < 800 && !text.contains("pause") && !text.contains("team"), "{} bytes: {text}", text.len());
        windows_node(&node)
    }

    #[test]
    fn only_versions_and_bases_are_kept() {
        let images = vec![vec!["r.example/nano@sha256:aa".to_string(), "r.example/nano:ltsc2022".to_string()]];
        let taints = vec![Taint { key: "os".into(), value: "windows".into(), effect: "NoSchedule".into() }];
        let whole = WindowsNode {
            name: "win-1".into(),
            os_version: "10.0.20348.5499".into(),
            images,
            taints,
            host: "win-1.example.com".into(),
            runtime: "containerd://1.7.27".into(),
        };
        assert_eq!(node(|_| {}), Some(whole));
    }

    #[test]
    fn a_node_that_takes_no_pods_does_not_count() {
        assert_eq!(node(|node| node["spec"]["unschedulable"] = json!(true)), None);
        assert_eq!(node(|node| node["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")), None);
    }

    #[test]
    fn the_label_speaks_for_a_node_that_does_not() {
        let silent = node(|node| node["status"]["nodeInfo"]["kernelVersion"] = json!(""));
        assert_eq!(silent.map(|node| node.os_version).as_deref(), Some("10.0.20348.0"));
        assert_eq!(node(|node| (node["status"]["nodeInfo"]["kernelVersion"], node["metadata"]["labels"]) = (json!(""), json!({}))), None);
    }
}
