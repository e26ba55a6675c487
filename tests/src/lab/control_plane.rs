//! What answers requests to the API? etcd and the API server: the ground that every lab stands on, and by itself enough for what only
//! speaks to the API. No controller, no node: what is created stays as it is, a namespace that is deleted stays terminating.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::runtime::wait::{await_condition, conditions::is_crd_established};
use kube::{Api, Client};
use tokio::process::Command;
use tokio::time::timeout;

use super::credentials::Credentials;
use super::network::Network;
use super::process::Process;
use super::progress::Progress;
use super::run::Run;
use super::site::Site;
use super::tools::{Module, Tools};
use super::{apiserver, available, cgroup, etcd, packages, record, tools};

/// A running API server. Dropping it takes it away.
pub struct ControlPlane {
    client: Client,
    kubeconfig: PathBuf,
    _processes: [Process; 2],
    // Dropped last: it takes away what the processes stand on.
    site: Site,
}

impl ControlPlane {
    /// Starts etcd and the API server; some five seconds once the tools are built.
    pub async fn start(progress: &Progress) -> Result<Self> {
        let (site, credentials) = prepare(&[tools::ETCD, tools::KUBERNETES], progress).await?;
        let (processes, client) = progress.step("kube-apiserver", start(&site, &credentials)).await?;
        Ok(Self { client, kubeconfig: credentials.admin, _processes: processes, site })
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Starts a program that speaks to the API server, in the network of this machine. It is taken away with the lab, if it has not ended by then.
    pub fn spawn(&self, name: &str, command: Command) -> Result<Process> {
        self.site.spawn(name, command)
    }

    /// Installs the definition of `GoWindowsImage` and waits until the API server knows it.
    pub async fn install_definition(&self) -> Result<()> {
        let definition: CustomResourceDefinition = serde_norway::from_str(&gowindows_crds::v1alpha1::crd_yaml()?)?;
        let definitions = Api::<CustomResourceDefinition>::all(self.client());
        let created = definitions.create(&PostParams::default(), &definition).await?;
        let name = created.metadata.name.context("the definition has no name")?;
        let established = await_condition(definitions, &name, is_crd_established());
        timeout(Duration::from_secs(30), established).await.context("the definition is not established after 30 s")??;
        Ok(())
    }
}

/// The place, the tools and the certificates.
pub(super) async fn prepare(modules: &[Module], progress: &Progress) -> Result<(Site, Credentials)> {
    available().map_err(anyhow::Error::msg)?;
    // Clients that do not name a provider take this one; a second lab in the same process finds it in place.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    packages::ensure(packages::CLUSTER, progress).await?;
    let tools = Tools::ensure(modules, progress).await?;
    let site = reserve(tools, progress).await?;
    let credentials = Credentials::create(&site.folder("pki")?, site.run.dir().join("kubeconfig"), &site.network)?;
    Ok((site, credentials))
}

/// Both processes, and a client with all rights.
pub(super) async fn start(site: &Site, credentials: &Credentials) -> Result<([Process; 2], Client)> {
    let etcd = etcd::start(site)?;
    let (apiserver, client) = apiserver::start(site, credentials).await?;
    Ok(([etcd, apiserver], client))
}

/// Takes a number and makes the network and the cgroup.
async fn reserve(tools: Tools, progress: &Progress) -> Result<Site> {
    let speaker = progress.clone();
    let reserve = move || -> Result<Site> {
        let run = Run::reserve(&speaker)?;
        let network = Network::create(run.number(), run.record())?;
        run.record().note(record::Thing::Cgroup(network.name()))?;
        cgroup::create(&network.name())?;
        Ok(Site { run, network, tools })
    };
    progress.step("network and cgroup", async { tokio::task::spawn_blocking(reserve).await.context("the set-up broke")? }).await
}
