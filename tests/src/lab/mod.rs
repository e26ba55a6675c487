//! A real cluster on this machine: what are its parts, and in which order do they start?
//!
//! ```text
//! Run (number, directory, lock) ─ Network ─┬─ etcd ─ kube-apiserver ─┬─ controller manager, scheduler, kube-proxy
//!                                          ├─ registry ─ pause image ─ containerd ─┴─ kubelet ─ node Ready
//!                                          └─ git over HTTPS
//! ```
//!
//! Nothing is faked but Windows itself. Everything that a lab starts is in its own network namespace and cgroup and noted in its
//! record, so that it can be taken away without a trace, even by the next lab after a crash.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::{Api, Client};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::clouds::{Cloud, Jwks, Provider, Trust};

mod apiserver;
pub mod builders;
pub mod cgroup;
mod cleaning;
pub mod cni;
mod containerd;
mod control_plane;
mod controller_manager;
mod credentials;
mod etcd;
pub mod faulty_registry;
pub mod git;
mod git_http;
pub mod go;
pub mod host;
pub mod images;
mod kept;
mod kube_proxy;
mod kubelet;
pub mod network;
pub mod oci_layout;
pub mod outage;
pub mod packages;
pub mod pki;
pub mod process;
pub mod progress;
pub mod record;
pub mod registry;
pub mod run;
mod scheduler;
mod site;
mod storage;
pub mod tools;
pub mod windows_base;
mod windows_go;
mod windows_nodes;

pub use control_plane::ControlPlane;
use faulty_registry::FaultyRegistry;
use git::GitServer;
use network::Network;
use process::Process;
use progress::Progress;
use site::Site;

/// Where in a cache's volume the go command keeps what it has compiled.
pub const GO_CACHE: &str = "build";
/// The same where a builder compiles as root (Kaniko).
pub const GO_CACHE_BY_ROOT: &str = "by-root/build";

/// Whether the lab can run here; if not, why.
pub fn available() -> Result<(), String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("the lab runs on Linux on amd64 only".into());
    }
    if !nix::unistd::geteuid().is_root() {
        return Err("the lab needs root: it makes network namespaces, mounts and cgroups".into());
    }
    Ok(())
}

/// A running cluster. Dropping it takes it away.
pub struct Lab {
    client: Client,
    kubeconfig: PathBuf,
    registry: String,
    network_list: PathBuf,
    windows_server: pki::Identity,
    toolchain: go::Toolchain,
    pusher: images::Pusher,
    git: GitServer,
    volumes: storage::Volumes,
    processes: Mutex<Vec<Process>>,
    papers: AtomicU8,
    site: Site,
}

impl Lab {
    /// Starts a lab and waits until its Linux node is ready. The first start on a machine installs packages and builds the
    /// components, which takes some ten minutes; later ones take less than half a minute.
    pub async fn start(progress: &Progress) -> Result<Self> {
        progress.say("starting a cluster; the first start on a machine also installs packages and builds the components");
        let modules = [tools::ETCD, tools::REGISTRY, tools::PAUSE, tools::KUBERNETES];
        let (site, credentials) = control_plane::prepare(&modules, progress).await?;
        let toolchain = go::Toolchain::find()?;
        let registry = registry::address(&site.network);
        let pusher = images::Pusher::new(&site.tools, registry.clone())?;
        let network_list = cni::write_network(&site)?;

        let control_plane = progress.step("kube-apiserver", control_plane::start(&site, &credentials));
        let node = progress.step("registry and containerd", start_runtime(&site, &pusher, &network_list));
        let ((processes, client), runtime) = tokio::try_join!(control_plane, node)?;
        let mut processes: Vec<Process> = processes.into_iter().chain(runtime).collect();
        processes.push(kubelet::start(&site, &credentials)?);
        processes.push(controller_manager::start(&site, &credentials)?);
        processes.push(scheduler::start(&site, &credentials)?);
        processes.push(kube_proxy::start(&site, &credentials)?);
        let lab = Self {
            git: GitServer::start(site.folder("git")?, &site.network, git::PORT).await?,
            volumes: storage::start(client.clone(), site.folder("volumes")?).await?,
            kubeconfig: credentials.admin,
            windows_server: credentials.windows_server,
            client,
            registry,
            network_list,
            toolchain,
            pusher,
            processes: Mutex::new(processes),
            papers: AtomicU8::new(0),
            site,
        };
        progress.step("the Linux node", lab.settled()).await?;
        Ok(lab)
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The registry's `host:port`, the same for the host, pods and containerd. It speaks plain HTTP.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The `host:port` of the registry with a login, once [`Lab::start_private_registry`] has started it. It speaks plain HTTP.
    pub fn private_registry(&self) -> String {
        registry::private_address(&self.site.network)
    }

    /// The `host:port` of the registry that [`Lab::start_spare_registry`] starts. It speaks plain HTTP.
    pub fn spare_registry(&self) -> String {
        registry::spare_address(&self.site.network)
    }

    /// The `host:port` of the registry that [`Lab::start_faulty_registry`] starts. It speaks plain HTTP.
    pub fn faulty_registry(&self) -> String {
        faulty_registry::address(&self.site.network)
    }

    /// The `host:port` of the registry that [`Lab::start_cloud`] starts.
    pub fn cloud_registry(&self, provider: Provider) -> String {
        format!("{}:{}", self.site.network.address(), cloud_port(provider))
    }

    /// A cloud that trusts one ServiceAccount of this cluster, with the registry without a login behind its own.
    pub async fn start_cloud(&self, provider: Provider, subject: &str) -> Result<Cloud> {
        let keys = axum::http::Request::get("/openid/v1/jwks").body(Vec::new())?;
        let keys = Jwks::read(&self.client.request_text(keys).await.context("read the cluster's published keys")?)?;
        let trust = Trust { issuer: apiserver::ISSUER.into(), keys, subject: subject.into() };
        Cloud::start(self.site.network.listen(cloud_port(provider)).await?, provider, trust, &self.registry)
    }

    /// A registry that fails on demand, in front of the one without a login.
    pub async fn start_faulty_registry(&self) -> Result<FaultyRegistry> {
        FaultyRegistry::start(&self.site.network, &self.registry).await
    }

    /// Another git server, for a test that makes it unreachable.
    pub async fn start_git(&self, name: &str) -> Result<GitServer> {
        GitServer::start(self.site.folder(name)?, &self.site.network, 0).await
    }

    /// A git server that Go modules come from: at the port of HTTPS, for a module's path has room for none. A lab has one at a time.
    pub async fn start_module_host(&self, name: &str) -> Result<GitServer> {
        GitServer::start(self.site.folder(name)?, &self.site.network, git::HTTPS).await
    }

    /// Git over HTTPS.
    pub fn git(&self) -> &GitServer {
        &self.git
    }

    /// The lab's network.
    pub fn network(&self) -> &Network {
        &self.site.network
    }

    /// The configuration list of the pods' network, for the plugins in [`cni::PLUGINS`].
    pub fn network_list(&self) -> &Path {
        &self.network_list
    }

    /// The run directory: all state of the lab, logs in `logs`.
    pub fn dir(&self) -> &Path {
        self.site.run.dir()
    }

    /// The path of a pinned tool, such as `kubectl` or `crane`.
    pub fn tool(&self, name: &str) -> Result<&Path> {
        self.site.tools.path(name)
    }

    /// The machine's Go toolchain.
    pub fn toolchain(&self) -> &go::Toolchain {
        &self.toolchain
    }

    /// Pushes images to the lab's registry.
    pub fn pusher(&self) -> &images::Pusher {
        &self.pusher
    }

    /// Pushes an image like the official `golang` ones and returns its reference by digest.
    pub async fn golang_image(&self) -> Result<String> {
        let toolchain = self.toolchain.clone();
        let layout = tokio::task::spawn_blocking(move || images::golang(&toolchain, None)).await??;
        self.pusher.push(&layout, "golang").await
    }

    /// Pushes the same image with the standard library compiled for programs where BuildKit looks for it, and returns its reference by digest:
    /// each new buildkitd compiles it otherwise, for half a minute.
    pub async fn golang_image_with_cache(&self) -> Result<String> {
        let toolchain = self.toolchain.clone();
        let layout = tokio::task::spawn_blocking(move || images::golang(&toolchain, Some(&toolchain.warm_cache_of_programs()?)));
        self.pusher.push(&layout.await??, "golang-with-cache").await
    }

    /// Pushes an image like the official `golang` ones for this version of Windows and returns its reference by digest. The first one on a
    /// machine takes a minute longer.
    pub async fn windows_golang_image(&self, os_version: &str) -> Result<String> {
        windows_go::publish(self.registry(), &self.toolchain, os_version).await
    }

    /// From now on the volumes of build caches begin with the standard library compiled for programs and for tests, as far as servers use it:
    /// a cluster that has built before. Only a first compile takes long, and few tests are about that. `places` are the folders in which
    /// builders keep it: [`GO_CACHE`], [`GO_CACHE_BY_ROOT`].
    pub async fn with_warm_caches(&self, places: &'static [&'static str]) -> Result<()> {
        let toolchain = self.toolchain.clone();
        self.volumes.begin_with(tokio::task::spawn_blocking(move || toolchain.warm_cache()).await??, places);
        Ok(())
    }

    /// Pushes an image with the same cache in `/cache`, for Dockerfiles, and returns its reference by digest.
    pub async fn warm_cache_image(&self) -> Result<String> {
        let toolchain = self.toolchain.clone();
        let layout = tokio::task::spawn_blocking(move || images::go_cache(&toolchain.warm_cache()?)).await??;
        self.pusher.push(&layout, "go-cache").await
    }

    /// Pushes an image with `binary`, the libraries that it needs, and the certificate authorities of the machine and of the
    /// lab's git server (as a company puts its own into images) to `lab/<name>`, and returns its reference by digest.
    pub async fn program_image(&self, binary: &Path, name: &str) -> Result<String> {
        let (binary, layout) = (binary.to_owned(), self.site.folder("images")?.join(name));
        let (written, authority) = (layout.clone(), self.git.authority().to_owned());
        tokio::task::spawn_blocking(move || images::program(&binary, &authority, &written)).await??;
        self.pusher.push(&layout, name).await
    }

    /// Starts a second registry, which wants a login, and returns its `host:port`.
    pub async fn start_private_registry(&self) -> Result<String> {
        let process = registry::start_private(&self.site).await?;
        self.processes.lock().await.push(process);
        Ok(self.private_registry())
    }

    /// Starts a registry without a login that a test may take away ([`outage::Part::SpareRegistry`]), and returns its `host:port`.
    pub async fn start_spare_registry(&self) -> Result<String> {
        let process = registry::start_spare(&self.site).await?;
        self.processes.lock().await.push(process);
        Ok(self.spare_registry())
    }

    /// Starts a program of a test on this machine, noted as the lab's own are, so that it ends with the lab.
    pub fn spawn(&self, name: &str, command: tokio::process::Command) -> Result<Process> {
        self.site.spawn(name, command)
    }

    /// Kills every program of a pod of the Linux node, by its uid, as a crash would: none of them notices.
    pub async fn kill_pod(&self, uid: &str) -> Result<()> {
        let (group, uid) = (self.site.network.name().to_owned(), uid.to_owned());
        tokio::task::spawn_blocking(move || cgroup::kill_pod(&group, &uid)).await?
    }

    /// Copies the logs to where they outlive the lab, and returns that folder.
    pub fn keep_logs(&self) -> Result<PathBuf> {
        let kept = run::cache()?.join("kept-logs").join(self.site.run.number().to_string());
        if kept.exists() {
            std::fs::remove_dir_all(&kept)?;
        }
        std::fs::create_dir_all(&kept)?;
        for entry in std::fs::read_dir(self.dir().join("logs"))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), kept.join(entry.file_name()))?;
            }
        }
        Ok(kept)
    }

    /// Waits until pods can run: the node is ready, and the default namespace has the account that they run as.
    async fn settled(&self) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let accounts: Api<ServiceAccount> = Api::default_namespaced(self.client.clone());
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let node = nodes.get_opt(credentials::LINUX_NODE).await?;
            if node.as_ref().is_some_and(is_ready) && accounts.get_opt("default").await?.is_some() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let conditions = node.and_then(|node| node.status).and_then(|status| status.conditions);
                let logs = self.dir().join("logs");
                bail!("the Linux node is not ready after 90 s: {conditions:?}; see kubelet.log in {}", logs.display());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The registries, the one image that every pod needs, and containerd.
async fn start_runtime(site: &Site, pusher: &images::Pusher, network_list: &Path) -> Result<[Process; 2]> {
    let registry = registry::start(site).await?;
    let pause = pusher.push(&images::pause(&site.tools)?, "pause").await?;
    Ok([registry, containerd::start(site, &pause, network_list).await?])
}

fn cloud_port(provider: Provider) -> u16 {
    match provider {
        Provider::Aws => 5004,
        Provider::Azure => 5005,
        Provider::Google => 5006,
    }
}
