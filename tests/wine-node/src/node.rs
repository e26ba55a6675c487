//! What does the cluster see of the node itself?
//!
//! A Node object like a real one's, kept alive by a Lease and by its conditions.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use k8s_openapi::{
    api::{
        coordination::v1::{Lease, LeaseSpec},
        core::v1::{
            ContainerImage, DaemonEndpoint, Node as NodeObject, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus,
            NodeSystemInfo, Taint,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{MicroTime, ObjectMeta, Time},
    },
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::{agent::Node, platform::WindowsVersion};

/// What pods may have of the node.
pub const ALLOCATABLE: [(&str, &str); 4] = [("cpu", "16"), ("memory", "64Gi"), ("pods", "110"), ("ephemeral-storage", "100Gi")];

const LEASES: &str = "kube-node-lease";
const LEASE_SECONDS: i32 = 40;
const RENEWAL: Duration = Duration::from_secs(10);
const KUBELET: &str = "v1.34.4";
/// How many images a node tells of: a kubelet's `nodeStatusMaxImages`.
const MOST_IMAGES: usize = 50;

/// Makes the Node object, or takes over the one that an earlier run left.
pub async fn register(node: &Node, kernel: &str, port: u16) -> Result<()> {
    let api: Api<NodeObject> = Api::all(node.client.clone());
    let object = object(node, kernel)?;
    match api.create(&PostParams::default(), &object).await {
        Ok(_) => {}
        Err(kube::Error::Api(error)) if error.code == 409 => {
            let labels = json!({ "metadata": { "labels": object.metadata.labels } });
            api.patch(&node.name, &PatchParams::default(), &Patch::Merge(labels)).await.context("label the Windows node")?;
        }
        Err(error) => return Err(error).context("register the Windows node"),
    }
    renew_lease(node).await?;
    write_status(node, &json!({ "status": status(node, kernel, port) })).await
}

/// Renews the Lease and the conditions for ever.
pub async fn keep_alive(node: &Node) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        let beat = json!({ "status": { "conditions": conditions(None), "images": images(node) } });
        let renewed = renew_lease(node).await;
        if let Err(error) = renewed.and(write_status(node, &beat).await) {
            tracing::warn!(error = format!("{error:#}"), "the Windows node was not renewed");
        }
    }
}

/// Tells the images that the node has, so that it need not be waited for.
pub async fn tell_images(node: &Node) -> Result<()> {
    write_status(node, &json!({ "status": { "images": images(node) } })).await
}

fn object(node: &Node, kernel: &str) -> Result<NodeObject> {
    let build = kernel.parse::<WindowsVersion>()?.build_label();
    let labels = [
        ("beta.kubernetes.io/arch", "amd64"),
        ("beta.kubernetes.io/os", "windows"),
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/hostname", &node.name),
        ("kubernetes.io/os", "windows"),
        ("node.kubernetes.io/windows-build", &build),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let mut taints = vec![Taint { key: "os".into(), value: Some("windows".into()), effect: "NoSchedule".into(), ..Taint::default() }];
    taints.extend(node.taints.clone());
    Ok(NodeObject {
        metadata: ObjectMeta { name: Some(node.name.clone()), labels: Some(labels), ..ObjectMeta::default() },
        spec: Some(NodeSpec { taints: Some(taints), ..NodeSpec::default() }),
        ..NodeObject::default()
    })
}

fn status(node: &Node, kernel: &str, port: u16) -> NodeStatus {
    let resources: BTreeMap<_, _> = ALLOCATABLE.map(|(name, quantity)| (name.to_owned(), Quantity(quantity.to_owned()))).into();
    let address = |type_: &str, address: String| NodeAddress { type_: type_.to_owned(), address };
    NodeStatus {
        addresses: Some(vec![address("InternalIP", node.address.to_string()), address("Hostname", node.name.clone())]),
        allocatable: Some(resources.clone()),
        capacity: Some(resources),
        conditions: Some(conditions(Some(Time(Timestamp::now())))),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port: port.into() }) }),
        node_info: Some(NodeSystemInfo {
            architecture: "amd64".into(),
            boot_id: String::new(),
            container_runtime_version: format!("containerd://{}", node.containerd),
            kernel_version: kernel.to_owned(),
            kube_proxy_version: KUBELET.into(),
            kubelet_version: KUBELET.into(),
            machine_id: node.name.clone(),
            operating_system: "windows".into(),
            os_image: os_image(kernel).into(),
            system_uuid: node.name.clone(),
            swap: None,
        }),
        ..NodeStatus::default()
    }
}

fn os_image(kernel: &str) -> &'static str {
    match kernel.split('.').nth(2) {
        Some("17763") => "Windows Server 2019 Datacenter",
        Some("26100") => "Windows Server 2025 Datacenter",
        _ => "Windows Server 2022 Datacenter",
    }
}

/// The conditions, which never change: `since` is given once, and what is not given later stays.
fn conditions(since: Option<Time>) -> Vec<NodeCondition> {
    let now = Some(Time(Timestamp::now()));
    let condition = |type_: &str, status: &str, reason: &str, message: &str| NodeCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: now.clone(),
        last_transition_time: since.clone(),
    };
    vec![
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]
}

fn images(node: &Node) -> Vec<ContainerImage> {
    let images = node.runtime.images().list().into_iter().take(MOST_IMAGES);
    images
        .map(|(name, image)| ContainerImage { names: Some(vec![image.id.clone(), name]), size_bytes: i64::try_from(image.size).ok() })
        .collect()
}

async fn write_status(node: &Node, status: &serde_json::Value) -> Result<()> {
    let api: Api<NodeObject> = Api::all(node.client.clone());
    let patched = api.patch_status(&node.name, &PatchParams::default(), &Patch::Strategic(status)).await;
    patched.map(drop).context("write the status of the Windows node")
}

async fn renew_lease(node: &Node) -> Result<()> {
    let api: Api<Lease> = Api::namespaced(node.client.clone(), LEASES);
    let lease = Lease {
        metadata: ObjectMeta { name: Some(node.name.clone()), ..ObjectMeta::default() },
        spec: Some(LeaseSpec {
            holder_identity: Some(node.name.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        }),
    };
    let ours = PatchParams::apply("kubelet").force();
    let renewed = api.patch(&lease.name_any(), &ours, &Patch::Apply(&lease)).await;
    renewed.map(drop).context("renew the Lease of the Windows node")
}
