//! What do pods on Windows nodes look like?
//!
//! From a template of their own, never a Linux one that was changed: with `os.name: windows` the API server refuses half of what Linux pods
//! have, and *restricted* asks less (windows-image.md section 7). No Secret is mounted where the go command runs.

use super::stages::{literal, variable};
use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_model::plan::AllowedNodes;
use gowindows_model::request::{BuildRequest, Request};
use k8s_openapi::api::core::v1::{
    Affinity, Container, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodOS, PodSecurityContext, PodSpec,
    ResourceRequirements, Toleration, Volume, WindowsSecurityContextOptions,
};

/// On Windows nodes: their version, three parts.
const VERSION_LABEL: &str = "node.kubernetes.io/windows-build";
/// On every node.
const HOST_LABEL: &str = "kubernetes.io/hostname";
/// An image without a user would run as the administrator, and `runAsNonRoot` would not notice (kubelet, security_context_windows.go).
const USER: &str = "ContainerUser";
/// Taints that say no more than that a node is a Windows node: of the usual guides, of OpenShift, and of GKE.
const USUAL_TAINTS: [(&str, &str); 3] = [("os", "windows"), ("os", "Windows"), ("node.kubernetes.io/os", "windows")];
/// Scratch space.
pub(super) const TMP: &str = r"C:\tmp";
/// Every program's home.
const FIXED: [(&str, &str); 3] = [("TMP", TMP), ("TEMP", TMP), ("USERPROFILE", TMP)];
/// Where the go command keeps what.
const OF_GO: [(&str, &str); 3] = [("GOCACHE", r"C:\cache\build"), ("GOMODCACHE", r"C:\cache\mod"), ("GOPATH", r"C:\cache\go")];
/// Where the cache is mounted.
pub(super) const CACHE: &str = r"C:\cache";

/// A pod with one container.
pub(super) fn pod_spec(request: &Request, container: Container, mut volumes: Vec<Volume>, allowed_nodes: &AllowedNodes) -> PodSpec {
    let build = &request.build;
    let (node_selector, affinity) = build.places(NodeSystem::Windows);
    let affinity = [(VERSION_LABEL, &allowed_nodes.versions), (HOST_LABEL, &allowed_nodes.hosts)].into_iter().fold(affinity, only_on);
    // Modes are of Linux.
    volumes.iter_mut().filter_map(|volume| volume.secret.as_mut()).for_each(|secret| secret.default_mode = None);
    PodSpec {
        affinity,
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

/// An affinity that demands one of these values as well, where there are any.
fn only_on(affinity: Option<Affinity>, (label, values): (&str, &Vec<String>)) -> Option<Affinity> {
    if values.is_empty() {
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
            key: label.into(),
            operator: "In".into(),
            values: Some(values.clone()),
        });
    }
    Some(affinity)
}

/// The go command in a folder.
pub(super) fn go(name: &str, argv: &[String], environment: Vec<(String, String)>, folder: String, request: &Request) -> Container {
    let of_go = OF_GO.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let environment = of_go.chain(environment).collect();
    Container { working_dir: Some(folder), ..program(name, argv, environment, request.build.resources.clone()) }
}

/// A program. Windows' own variables are the image's.
pub(super) fn program(name: &str, argv: &[String], environment: Vec<(String, String)>, mut resources: ResourceRequirements) -> Container {
    let fixed = FIXED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
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
        ..Container::default()
    }
}
