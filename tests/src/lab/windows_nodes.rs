//! How does a lab get its Windows nodes? The crate `gowindows-wine-node` plays them; here is what they get of the lab.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use gowindows_wine_node::{Cni, Identity, Leftover, Machine, Options, Runner, WindowsNode};
use k8s_openapi::api::core::v1::Taint;

use super::progress::Progress;
use super::record::{Record, Thing};
use super::{Lab, cni, packages, run};

/// The containerd of Windows nodes, where a test asks for no other.
const CONTAINERD: &str = "1.7.20";
/// The first wait of a Windows node before it tries again: a fifth of a kubelet's, so that tests do not sleep.
const BACKOFF: Duration = Duration::from_secs(2);

impl Lab {
    /// Adds a Windows node, which runs the programs of its pods under Wine. `kernel_version` is its version of Windows, such as
    /// `10.0.20348.5499`. The first one on a machine takes some 15 s longer than the others.
    pub async fn windows_node(&self, name: &str, kernel_version: &str, progress: &Progress) -> Result<WindowsNode> {
        packages::ensure(packages::WINE, progress).await?;
        let machine = Machine {
            cni: Cni { netns: self.network().name(), plugins: cni::PLUGINS.into(), configuration: self.network_list.clone() },
            prefixes: run::cache()?.join("wine"),
            record: Arc::new(Record::open(self.dir())?),
        };
        let options = self.windows_options(name, kernel_version, Runner::Wine(machine))?;
        progress.step(&format!("the Windows node {name}"), WindowsNode::start(options)).await
    }

    /// Adds a Windows node that runs nothing but on paper (see [`gowindows_wine_node::Paper`]), in a moment. `taints` are those that it
    /// has beside the usual `os=windows:NoSchedule`.
    pub async fn paper_node(&self, name: &str, kernel_version: &str, taints: &[Taint]) -> Result<WindowsNode> {
        self.paper_node_with(name, kernel_version, CONTAINERD, taints).await
    }

    /// The same with another containerd than the usual one.
    pub async fn paper_node_with(&self, name: &str, kernel_version: &str, containerd: &str, taints: &[Taint]) -> Result<WindowsNode> {
        let number = self.papers.fetch_add(1, Ordering::Relaxed);
        let options = self.windows_options(name, kernel_version, Runner::Paper(self.network().paper_pods(number)))?;
        WindowsNode::start(Options { containerd: containerd.to_owned(), taints: taints.to_vec(), ..options }).await
    }

    fn windows_options(&self, name: &str, kernel_version: &str, runner: Runner) -> Result<Options> {
        let identity = &self.windows_server;
        Ok(Options {
            client: self.client(),
            name: name.to_owned(),
            kernel_version: kernel_version.to_owned(),
            containerd: CONTAINERD.into(),
            registry_plain_http: true,
            runner,
            taints: Vec::new(),
            address: self.network().host_address().into(),
            port: 0,
            identity: Identity { certificate: identity.certificate.clone(), key: identity.key.clone() },
            folder: self.site.folder(name)?,
            logs: self.site.folder("logs")?,
            backoff: BACKOFF,
        })
    }
}

/// What a node would leave behind goes with the lab.
impl gowindows_wine_node::Record for Record {
    fn note(&self, leftover: Leftover) -> Result<()> {
        match leftover {
            Leftover::Process(pid) => self.note_pid(pid),
            Leftover::Mount(path) => self.note(Thing::Mount(path)),
            Leftover::Netns(name) => self.note(Thing::Netns(name)),
        }
    }
}
