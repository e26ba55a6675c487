//! How does a cluster without Windows get a Windows node?
//!
//! An agent registers a Node and plays kubelet for the pods bound to it; what it runs is real: images pulled from the
//! registry by containerd's rules, programs made for `windows/amd64` started under Wine, each pod in a network namespace of
//! its own with a real address.
//!
//! ```text
//!   agent ── pod ─┬─ sandbox (network, host name), volumes
//!                 └─ container ── images ── registry
//!                        │  ├──── events, status, logs
//!                        │  └──── probe
//!                        └─ overlay over the Wine prefix ── process
//! ```
//!
//! Where only what the API shows counts, as for fleets of many nodes and releases, a second runtime does without Wine: see
//! [`Paper`]. Where only a program counts, [`Alone`] runs it without a node.
//!
//! What it proves: that an image is found, pulled, unpacked and started as a Windows program, and that rollouts, probes
//! and restarts meet the real program. What it does not: Windows' own layer import, access control, job-object limits.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Taint;
use kube::Client;
use tokio::task::JoinSet;

mod agent;
mod alone;
mod backoff;
mod command;
mod container;
mod environment;
mod events;
mod images;
mod layer;
mod logs;
mod network;
mod node;
mod overlay;
mod paper;
mod platform;
mod pod;
mod prefix;
mod probe;
mod process;
mod record;
mod registry;
mod runtime;
mod status;
mod volumes;
mod wine;

use agent::{Agent, Node};
pub use {
    alone::Alone,
    images::{Image, ImageConfig, Images, Pull},
    logs::Identity,
    network::Cni,
    paper::{EXIT, Paper},
    record::{Leftover, Record},
    runtime::Runtime,
    wine::{Machine, Wine},
};

/// What a Windows node is made of.
#[derive(Clone)]
pub struct Options {
    /// A client with a kubelet's rights, and those to read ConfigMaps, Secrets and volumes.
    pub client: Client,
    /// The Node's name.
    pub name: String,
    /// The node's version of Windows, such as `10.0.20348.5499`.
    pub kernel_version: String,
    /// The version of its containerd, such as `1.7.20`: which manifest of an index it takes depends on it.
    pub containerd: String,
    /// Whether registries are spoken to over plain HTTP.
    pub registry_plain_http: bool,
    /// What runs the pods.
    pub runner: Runner,
    /// The Node's taints beside `os=windows:NoSchedule`.
    pub taints: Vec<Taint>,
    /// The Node's InternalIP: an address of this machine that the API server reaches.
    pub address: IpAddr,
    /// The port of the kubelet's endpoint at that address; 0 takes any that is free.
    pub port: u16,
    /// What the kubelet's endpoint shows to the API server: a certificate for `address` by the authority that it trusts.
    pub identity: Identity,
    /// Where images, containers and volumes are kept.
    pub folder: PathBuf,
    /// Where the containers' logs are kept.
    pub logs: PathBuf,
    /// The first wait before a failed container is started, or a failed pull is tried, again: 10 s on a real node. It
    /// doubles up to thirty times as much.
    pub backoff: Duration,
}

/// What runs the pods of a Windows node.
#[derive(Clone, Debug)]
pub enum Runner {
    /// [`Wine`], with what it needs of this machine.
    Wine(Machine),
    /// [`Paper`], with the first three numbers of its pods' addresses, which lead nowhere.
    Paper([u8; 3]),
}

/// A running Windows node. Dropping it kills its programs; [`WindowsNode::stop`] also waits until nothing is left.
pub struct WindowsNode {
    node: Arc<Node>,
    agent: Agent,
    tasks: JoinSet<()>,
}

impl WindowsNode {
    /// Prepares the runtime, registers the Node and begins to look after its pods.
    pub async fn start(options: Options) -> Result<Self> {
        let Options { client, name, kernel_version, containerd, registry_plain_http, runner, taints, .. } = options;
        let Options { address, port, identity, folder, logs, backoff, .. } = options;
        for folder in [&folder, &logs] {
            std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        }
        let (version, order) = (kernel_version.parse()?, platform::Order::of_containerd(&containerd));
        let runtime: Arc<dyn Runtime> = match runner {
            Runner::Wine(machine) => Arc::new(Wine::prepare(&folder, machine, version, order, registry_plain_http).await?),
            Runner::Paper(network) => Arc::new(Paper::new(&folder, network, version, order, registry_plain_http)?),
        };
        let node = Arc::new(Node { client, name, containerd, address, taints, runtime, folder, logs: logs.clone(), backoff });
        let agent = Agent::new(node.clone());
        let (endpoint, serve) = logs::serve(SocketAddr::new(address, port), &identity, agent.clone(), logs).await?;
        node::register(&node, &kernel_version, endpoint.port()).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(serve);
        let (alive, followed) = (node.clone(), agent.clone());
        tasks.spawn(async move { node::keep_alive(&alive).await });
        tasks.spawn(async move { followed.follow().await });
        Ok(Self { node, agent, tasks })
    }

    /// The Node's name.
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// Pulls an image before a pod needs it, as a node image comes with its bases.
    pub async fn pre_pull(&self, reference: &str) -> Result<Pull> {
        let pull = self.node.runtime.images().pull(reference).await?;
        node::tell_images(&self.node).await?;
        Ok(pull)
    }

    /// Every pull so far, oldest first.
    pub fn pulls(&self) -> Vec<Pull> {
        self.node.runtime.images().pulls()
    }

    /// Ends every program and removes what was made for it. The API objects stay as they are.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
        self.agent.stop().await;
    }
}
