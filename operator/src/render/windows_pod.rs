//! What do pods on Windows nodes look like?
//!
//! From a template of their own, never a Linux one that was changed: with `os.name: windows` the API server refuses half of what Linux pods
//! have, and *restricted* asks less (windows-image.md section 7). No Secret is ever mounted in one.

use super::stages::{literal, variable};
use crate::decide::{BuildRequest, Request};
use gowindows_crds::v1alpha1::NodeSystem;
use k8s_openapi::api::core::v1::{
    Affinity, Container, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodOS, PodSecurityContext, PodSpec,
    Toleration, Volume, WindowsSecurityContextOptions,
};

/// On Windows nodes: their version, three parts.
const VERSION_LABEL: &str = "node.kubernetes.io/windows-build";
/// An image without a user would run as the administrator, and `runAsNonRoot` would not notice (kubelet, security_context_windows.go).
const USER: &str = "ContainerUser";
/// Taints that say no more than that a node is a Windows node: of the usual guides, of OpenShift, and of GKE.
const USUAL_TAINTS: [(&str, &str); 3] = [("os", "windows"), ("os", "Windows"), ("node.kubernetes.io/os", "windows")];
/// Scratch space.
pub(super) const TMP: &str = r"C:\tmp";
/// Where the go command keeps what.
const FIXED: [(&str, &str); 6] = [
    ("TMP", TMP),
    ("TEMP", TMP),
    ("USERPROFILE", TMP),
    ("GOCACHE", r"C:\cache\build"),
    ("GOMODCACHE", r"C:\cache\mod"),
    ("GOPATH", r"C:\cache\go"),
];
/// Where the cache is mounted.
pub(super) const CACHE: &str = r"C:\cache";

/// A pod with one container, on a node of one of these versions of Windows, where they are known.
pub(super) fn pod_spec(request: &Request, container: Container, volumes: Vec<Volume>, versions: &[String]) -> PodSpec {
    let build = &request.build;
    let (node_selector, affinity) = build.places(NodeSystem::Windows);
    PodSpec {
        affinity: on_versions(affinity, versions),
        automount_service_account_token: Some(false),
        containers: vec![container],
        enable_service_links: Some(false),
        node_selector: Some(node_selector),
        os: Some(PodOS { name: "windows".into() }),
        priority_class_name: build.nodes.priority_class_name.clone(),
        restart_policy: Some("Never".into()),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            windows_options: Some(WindowsSecurityContextOptions {
                run_as_user_name: Some(USER.into()),
                ..WindowsSecurityContextOptions::default()
            }),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(10),
        tolerations: Some(tolerations(build)),
        volumes: Some(volumes),
        ..PodSpec::default()
    }
}

/// Those of the object, and of the taints that only mark Windows nodes.
pub(crate) fn tolerations(build: &BuildRequest) -> Vec<Toleration> {
    let usual = USUAL_TAINTS.map(|(key, value)| Toleration {
        key: Some(key.into()),
        operator: Some("Equal".into()),
        value: Some(value.into()),
        ..Toleration::default()
    });
    build.nodes.tolerations.iter().cloned().chain(usual).collect()
}

/// An affinity that these versions of Windows are demanded of as well.
fn on_versions(affinity: Option<Affinity>, versions: &[String]) -> Option<Affinity> {
    if versions.is_empty() {
        return affinity;
    }
    let mut affinity = affinity.unwrap_or_default();
    let nodes = affinity.node_affinity.get_or_insert_with(NodeAffinity::default);
    let required = nodes.required_during_scheduling_ignored_during_execution.get_or_insert_with(|| NodeSelector {
        // One of these must hold: without any, none would.
        node_selector_terms: vec![NodeSelectorTerm::default()],
    });
    for term in &mut required.node_selector_terms {
        term.match_expressions.get_or_insert_default().push(NodeSelectorRequirement {
            key: VERSION_LABEL.into(),
            operator: "In".into(),
            values: Some(versions.to_vec()),
        });
    }
    Some(affinity)
}

/// The go command in a folder. Windows' own variables are the image's.
pub(super) fn go(name: &str, argv: &[String], environment: Vec<(String, String)>, folder: String, request: &Request) -> Container {
    let fixed = FIXED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut resources = request.build.resources.clone();
    // Nothing is evicted or killed there: whoever takes more than was set aside makes the node swap.
    if let Some(limit) = resources.limits.as_ref().and_then(|limits| limits.get("memory")).cloned() {
        resources.requests.get_or_insert_default().insert("memory".into(), limit);
    }
    Container {
        name: name.into(),
        command: Some(argv.iter().map(|word| literal(word)).collect()),
        env: Some(fixed.chain(environment).map(variable).collect()),
        resources: Some(resources),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        working_dir: Some(folder),
        ..Container::default()
    }
}
