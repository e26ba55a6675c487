//! The runtime that really runs Windows programs: under Wine.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures::future::{BoxFuture, FutureExt};
use nix::mount::{MntFlags, umount2};
use tokio::process::Command;

use crate::{
    command::{CommandLine, on_drive},
    images::Images,
    layer::Stack,
    network::{Cni, PodNetwork},
    overlay::Overlay,
    platform::{Order, WindowsVersion},
    prefix::{self, Prefix},
    process::{Place, Program},
    record::{Leftover, Record},
    registry::Client,
    runtime::{Container, NewContainer, Runtime, Sandbox},
};

/// The longest host name that Linux takes.
const HOST_NAME: usize = 63;

/// What this machine has for Windows programs.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The network that pods are plugged into.
    pub cni: Cni,
    /// The folder of Wine prefixes, which is kept from one node to the next.
    pub prefixes: PathBuf,
    /// Where is noted what would outlive a crash.
    pub record: Arc<dyn Record>,
}

/// Runs Windows programs under Wine.
#[derive(Debug)]
pub struct Wine {
    shared: Arc<Shared>,
    images: Images,
}

/// What every pod and container needs.
#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    prefix: Prefix,
    cni: Cni,
    record: Arc<dyn Record>,
}

impl Wine {
    /// Prepares the runtime of a node of version `host`: it keeps its images and containers in `folder` and pulls from
    /// registries over plain HTTP if `plain_http`. The Wine prefix is made if `machine` has none.
    pub async fn prepare(folder: &Path, machine: Machine, host: WindowsVersion, order: Order, plain_http: bool) -> Result<Self> {
        let Machine { cni, prefixes, record } = machine;
        let prefix = Prefix::prepare(&prefixes).await?;
        cni.clean();
        let registry = Client::new(plain_http)?;
        let images = Images::new(folder.join("images"), Some(prefix.folder.clone()), host, order, registry)?;
        Ok(Self { shared: Arc::new(Shared { folder: folder.to_path_buf(), prefix, cni, record }), images })
    }
}

impl Runtime for Wine {
    fn sandbox<'a>(&'a self, name: &'a str, uid: &'a str) -> BoxFuture<'a, Result<Box<dyn Sandbox>>> {
        async move {
            let host_name = HostName::new(&self.shared, name, uid).await?;
            let network = self.shared.cni.add(name, uid, &*self.shared.record).await?;
            Ok(Box::new(Pod { shared: self.shared.clone(), network, host_name }) as Box<dyn Sandbox>)
        }
        .boxed()
    }

    fn images(&self) -> &Images {
        &self.images
    }
}

struct Pod {
    shared: Arc<Shared>,
    network: PodNetwork,
    host_name: HostName,
}

impl Sandbox for Pod {
    fn ip(&self) -> IpAddr {
        self.network.ip
    }

    fn create(&self, new: NewContainer) -> Result<Box<dyn Container>> {
        let Shared { folder, prefix, record, .. } = &*self.shared;
        let overlay = Overlay::mount(&folder.join("containers").join(&new.id), &prefix.folder, &new.image.layers, &**record)?;
        let container = WineContainer {
            shared: self.shared.clone(),
            network: self.network.name().to_owned(),
            host_name: self.host_name.file.clone(),
            program: None,
            overlay,
            new,
        };
        container.lay_out()?;
        Ok(Box::new(container))
    }

    fn remove(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.network.remove().boxed()
    }
}

/// A container; its program is dropped, hence killed, before its disk.
struct WineContainer {
    shared: Arc<Shared>,
    network: String,
    host_name: PathBuf,
    program: Option<Program>,
    overlay: Overlay,
    new: NewContainer,
}

impl WineContainer {
    /// Puts the volumes in place, as links: Wine follows them without a word.
    fn lay_out(&self) -> Result<()> {
        for (path, source) in &self.new.mounts {
            let target = self.path(path);
            if target.is_dir() {
                fs::remove_dir_all(&target)?;
            }
            fs::create_dir_all(target.parent().unwrap_or(&target))?;
            std::os::unix::fs::symlink(source, &target).with_context(|| format!("mount a volume at {path}"))?;
        }
        let log = self.path(&self.new.termination_log);
        fs::create_dir_all(log.parent().unwrap_or(&log)).context("make room for the termination log")
    }

    /// A Windows path as a path on this machine.
    fn path(&self, path: &str) -> PathBuf {
        let root = self.overlay.root();
        root.join(Stack::new(vec![root.clone()]).spelled(&on_drive(path)))
    }

    fn program(&mut self) -> Result<&mut Program> {
        self.program.as_mut().context("the container is not started")
    }
}

impl Container for WineContainer {
    fn start(&mut self) -> BoxFuture<'_, Result<()>> {
        async move {
            let root = self.overlay.root();
            let loader = &self.shared.prefix.loader;
            let place = Place {
                network: &self.network,
                host_name: &self.host_name,
                loader,
                root: &root,
                wine: prefix::environment(loader, &root, &self.overlay.temporary()),
                log: &self.new.log,
            };
            let line = for_wine(&self.new.line);
            self.program = Some(Program::start(&line, &place, &*self.shared.record).await?);
            Ok(())
        }
        .boxed()
    }

    fn wait(&mut self) -> BoxFuture<'_, Result<i32>> {
        async move { self.program()?.wait().await }.boxed()
    }

    fn stop(&mut self, grace: Duration) -> BoxFuture<'_, Result<i32>> {
        async move { self.program()?.stop(grace).await }.boxed()
    }

    fn termination_message(&self, path: &str) -> Option<String> {
        let message = fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&message).into_owned()).filter(|message| !message.is_empty())
    }
}

/// Wine 8 cannot delete a program that has just run ("unlinkat ...: Invalid function"), on which the go command fails at its very end: it is
/// told to leave its folder of work, which ends with the container anyway.
fn for_wine(line: &CommandLine) -> CommandLine {
    let mut line = line.clone();
    if line.program == "go" {
        let flags = line.environment.entry("GOFLAGS".into()).or_default();
        *flags = format!("{flags} -work").trim_start().to_owned();
    }
    line
}

/// A namespace in which the host is called as the pod is, held by a mounted file.
#[derive(Debug)]
struct HostName {
    file: PathBuf,
}

impl HostName {
    async fn new(shared: &Shared, name: &str, uid: &str) -> Result<Self> {
        let folder = shared.folder.join("host-names");
        fs::create_dir_all(&folder)?;
        let file = folder.join(uid);
        fs::write(&file, "")?;
        shared.record.note(Leftover::Mount(file.clone()))?;
        let name: String = name.chars().take(HOST_NAME).collect();
        let mut option = std::ffi::OsString::from("--uts=");
        option.push(&file);
        let output = Command::new("unshare").arg(option).args(["--", "hostname", &name]).output().await?;
        if !output.status.success() {
            bail!("the host name {name} was not set: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(Self { file })
    }
}

impl Drop for HostName {
    fn drop(&mut self) {
        let unmounted = umount2(&self.file, MntFlags::MNT_DETACH);
        if let Err(error) = unmounted.map_err(Into::into).and_then(|()| fs::remove_file(&self.file)) {
            tracing::debug!(file = %self.file.display(), %error, "a host name was not removed");
        }
    }
}
