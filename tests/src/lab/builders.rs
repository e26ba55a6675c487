//! How does the lab offer BuildKit and Kaniko to the cluster?
//!
//! As a company would: a buildkitd outside of the cluster, which lets in who has a certificate of its authority, and the images of `buildctl`
//! and of Kaniko's executor in the registry. All of it is the real thing, built from pinned Go modules.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::pki::{Authority, Identity};
use super::process::Process;
use super::progress::Progress;
use super::tools::{BUILDCTL_FOR_WINDOWS, BUILDKIT, KANIKO, ROOTLESSKIT, Tools};
use super::windows_base::{self, WindowsLayer};
use super::{Lab, host, images, packages};
use crate::peers::buildkit::Setup;
use crate::peers::pinned;

/// Where its sources are.
const BUILDKIT_MODULE: &str = "github.com/moby/buildkit";

/// Each buildkitd of a lab has a port of its own, from here on.
static PORT: AtomicU16 = AtomicU16::new(1234);

/// What builds in place of the go command.
pub struct Builders {
    /// The image of `buildctl`, by digest.
    pub buildctl: String,
    /// The image of Kaniko's executor, by digest.
    pub kaniko: String,
    /// A buildkitd.
    pub buildkitd: Buildkitd,
}

/// A buildkitd in the lab's network that wants a certificate of its clients. It ends with the lab.
pub struct Buildkitd {
    process: Process,
    buildctl: PathBuf,
    certificates: PathBuf,
    host: String,
    authority: Authority,
}

impl Lab {
    /// Starts a buildkitd and pushes the images. The first time on a machine builds the programs, which takes some six minutes.
    pub async fn builders(&self, progress: &Progress) -> Result<Builders> {
        packages::ensure(packages::BUILDERS, progress).await?;
        let tools = Tools::ensure(&[BUILDKIT, KANIKO], progress).await?;
        let layout = |name: &str| Ok::<_, anyhow::Error>(self.site.folder("images")?.join(name));
        let (buildctl, kaniko) = (layout("buildctl")?, layout("kaniko")?);
        images::buildctl(tools.path("buildctl")?, &buildctl)?;
        let busybox = packages::program("busybox").context("busybox is not installed")?;
        images::kaniko([tools.path("executor")?, &busybox], &kaniko)?;
        let (buildctl, kaniko) = tokio::try_join!(self.pusher.push(&buildctl, "buildctl"), self.pusher.push(&kaniko, "kaniko"))?;
        let buildkitd = progress.step("buildkitd", self.buildkitd("buildkitd", &tools)).await?;
        Ok(Builders { buildctl, kaniko, buildkitd })
    }

    /// Starts another buildkitd, for who takes one away or has to find nothing in it.
    pub async fn start_buildkitd(&self, name: &str, progress: &Progress) -> Result<Buildkitd> {
        let tools = Tools::ensure(&[BUILDKIT], progress).await?;
        self.buildkitd(name, &tools).await
    }

    /// Pushes an image like BuildKit's own and returns its reference by digest.
    pub async fn buildkitd_image(&self, progress: &Progress) -> Result<String> {
        packages::ensure(packages::BUILDERS, progress).await?;
        let tools = Tools::ensure(&[BUILDKIT], progress).await?;
        let layout = self.site.folder("images")?.join("buildkitd");
        let runc = packages::program("runc").context("runc is not installed")?;
        images::buildkitd([tools.path("buildkitd")?, tools.path("buildctl")?, &runc], &layout)?;
        self.pusher.push(&layout, "buildkitd").await
    }

    /// Pushes an image like BuildKit's own rootless one and returns its reference by digest.
    pub async fn rootless_buildkit_image(&self, progress: &Progress) -> Result<String> {
        packages::ensure(packages::BUILDERS, progress).await?;
        packages::ensure(packages::ROOTLESS, progress).await?;
        let tools = Tools::ensure(&[BUILDKIT, ROOTLESSKIT], progress).await?;
        let installed = |name: &str| packages::program(name).with_context(|| format!("{name} is not installed"));
        let (runc, busybox, mappers) = (installed("runc")?, installed("busybox")?, [installed("newuidmap")?, installed("newgidmap")?]);
        let sources = self.toolchain().download(&format!("{BUILDKIT_MODULE}@{}", pinned("buildkit", BUILDKIT_MODULE)?)).await?;
        let parts = images::Rootless {
            buildkit: [tools.path("buildkitd")?, tools.path("buildctl")?, &runc],
            rootlesskit: tools.path("rootlesskit")?,
            daemonless: &sources.join("examples/buildctl-daemonless/buildctl-daemonless.sh"),
            busybox: &busybox,
            mappers: mappers.each_ref().map(PathBuf::as_path),
        };
        let layout = self.site.folder("images")?.join("buildkit-rootless");
        images::rootless_buildkit(&parts, &layout)?;
        self.pusher.push(&layout, "buildkit-rootless").await
    }

    /// Pushes an image with `buildctl.exe` in its path for this version of Windows and returns its reference by digest.
    pub async fn windows_buildctl_image(&self, os_version: &str, progress: &Progress) -> Result<String> {
        let tools = Tools::ensure(&[BUILDCTL_FOR_WINDOWS], progress).await?;
        let mut layer = WindowsLayer::new();
        for folder in ["Files", "Files/buildkit"] {
            layer.directory(folder)?;
        }
        layer.content("Files/buildkit/buildctl.exe", &std::fs::read(tools.path("buildctl.exe")?)?)?;
        let path = r"PATH=C:\Windows\system32;C:\Windows;C:\buildkit";
        windows_base::publish_tools(self.registry(), "lab/buildctl-windows", os_version, layer.finish()?, path).await
    }

    async fn buildkitd(&self, name: &str, tools: &Tools) -> Result<Buildkitd> {
        let folder = self.site.folder(name)?;
        let (address, authority) = (self.network().address(), Authority::new(&format!("gowindows lab {name}"))?);
        let (certificate, key) = authority.server(name, &[], &[address.into()])?.write(&folder, "server")?;
        let trusted = super::pki::write_private(folder.join("ca.crt"), authority.certificate())?;
        let host = format!("{address}:{}", PORT.fetch_add(1, Ordering::Relaxed));
        let setup =
            Setup { folder: &folder, address: &format!("tcp://{host}"), registries: &[self.registry()], cgroup: &self.network().name() };
        let mut command = setup.command(tools, |program| self.network().command(program))?;
        command.arg("--tlscert").arg(certificate).arg("--tlskey").arg(key).arg("--tlscacert").arg(trusted);
        let mut process = self.spawn(name, command)?;
        listens(&mut process, &host).await?;
        let certificates = self.site.folder(&format!("{name}/client"))?;
        authority.client("lab", None)?.write(&certificates, "tls")?;
        super::pki::write_private(certificates.join("ca.crt"), authority.certificate())?;
        Ok(Buildkitd { process, buildctl: tools.path("buildctl")?.to_owned(), certificates, host, authority })
    }
}

async fn listens(process: &mut Process, host: &str) -> Result<()> {
    process.ready(Duration::from_secs(60), || async { TcpStream::connect(host).await.is_ok() }).await
}

impl Buildkitd {
    /// Its address, as `build.buildkit.address` has it.
    pub fn address(&self) -> String {
        format!("tcp://{}", self.host)
    }

    /// The data of a Secret that opens it.
    pub fn secret(&self) -> Result<Value> {
        let Identity { certificate, key } = self.authority.client("gowindows", None)?;
        Ok(json!({"ca.crt": self.authority.certificate(), "tls.crt": certificate, "tls.key": key}))
    }

    /// The data of a Secret of somebody else's authority: neither side trusts the other.
    pub fn foreign_secret() -> Result<Value> {
        let authority = Authority::new("another authority")?;
        let Identity { certificate, key } = authority.client("somebody", None)?;
        Ok(json!({"ca.crt": authority.certificate(), "tls.crt": certificate, "tls.key": key}))
    }

    /// `buildctl` on this machine, for it; the rest of its arguments is still to come.
    pub fn client(&self) -> Command {
        let mut buildctl = Command::new(&self.buildctl);
        buildctl.arg("--addr").arg(self.address()).arg("--tlsdir").arg(&self.certificates);
        buildctl
    }

    /// Deletes all that it keeps.
    pub async fn prune(&self) -> Result<()> {
        let mut buildctl = self.client();
        buildctl.args(["prune", "--all"]);
        host::run_async(buildctl).await.context("prune buildkitd").map(drop)
    }

    /// Ends it as a crash does.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.context("kill buildkitd")
    }

    /// Starts it again and waits until it listens.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process.start_again()?;
        listens(&mut self.process, &self.host).await
    }
}
