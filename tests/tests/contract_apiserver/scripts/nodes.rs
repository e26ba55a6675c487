//! Nodes, as the operator follows them: those of Windows, from everywhere, without a namespace.

use crate::step::{Step, create, delete, get, list, merge, watch};
use anyhow::Result;
use gowindows::observe::WINDOWS;
use serde_json::{Value, json};

/// A node as its kubelet registers it.
fn node(name: &str, system: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/os": system, "node.kubernetes.io/windows-build": "10.0.20348"}},
        "spec": {"taints": [{"key": "os", "value": "windows", "effect": "NoSchedule"}]},
        "status": {"nodeInfo": {
            "kernelVersion": "10.0.20348.5499", "osImage": "Windows Server 2022 Datacenter", "architecture": "amd64", "bootID": "b",
            "containerRuntimeVersion": "containerd://1.7.27", "kubeProxyVersion": "", "kubeletVersion": "v1.34.4", "machineID": "m",
            "operatingSystem": system, "systemUUID": "u",
        }},
    })
}

/// What the operator reads of a node. The taints are not compared: the real server adds one that says the node is not ready.
const READ: [&str; 4] = ["/metadata/labels", "/spec/unschedulable", "/status/nodeInfo/kernelVersion", "/status/images"];

/// A node comes, is drained, learns of an image, is updated, changes its label and goes.
pub fn followed() -> Result<Vec<Step>> {
    let seen = |step: Step| step.sees(&READ);
    let images = json!({"status": {"images": [{"names": ["r.example/nano@sha256:aa", "r.example/nano:ltsc2022"], "sizeBytes": 1}]}});
    let newer = json!({"status": {"nodeInfo": {"kernelVersion": "10.0.20348.6000"}}});
    let label = |system: Value| json!({"metadata": {"labels": {"kubernetes.io/os": system}}});
    let mut steps = vec![
        list("Node", WINDOWS).keeps("empty", "/metadata/resourceVersion").shows(json!({"items": []})),
        seen(create("Node", node("win-1", "windows"))),
        create("Node", node("win-1", "windows")).refused(409, "AlreadyExists").words(),
        create("Node", node("linux-1", "linux")),
        seen(list("Node", WINDOWS)).keeps("full", "/metadata/resourceVersion"),
        seen(get("Node", "win-1")),
        get("Node", "win-2").refused(404, "NotFound").words(),
        seen(merge("Node", "win-1", json!({"spec": {"unschedulable": true}}))),
        // Not through the node itself, which has a status of its own.
        seen(merge("Node", "win-1", newer.clone())),
        seen(merge("Node", "win-1", images).on_status()),
        seen(merge("Node", "win-1", newer).on_status()),
        merge("Node", "win-1", label(json!("linux"))),
        merge("Node", "win-1", label(json!("windows"))),
        delete("Node", "win-1", json!({})),
        create("Node", node("last", "windows")),
    ];
    for from in ["{{empty}}", "{{full}}"] {
        steps.push(seen(watch("Node", WINDOWS, from, "last")));
    }
    steps.push(seen(list("Node", WINDOWS)));
    Ok(steps)
}
