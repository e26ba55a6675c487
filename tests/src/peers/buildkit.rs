//! How do BuildKit's daemon and its client run?
//!
//! The daemon is a program of this machine: with mounts of its own, so that none outlives it, and with its state in a folder that is
//! taken away with it. What is built here runs nothing (`FROM` a Windows base and `COPY`), yet the daemon does not start without
//! a worker, which is runc.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::UnixStream;
use tokio::process::Command;

use crate::lab::cgroup;
use crate::lab::packages::{self, program};
use crate::lab::process::{Home, Process};
use crate::lab::progress::Progress;
use crate::lab::record::{Record, Thing};
use crate::lab::run::Run;
use crate::lab::tools::{BUILDKIT, Tools};

use super::pinned;

/// How a daemon is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The folder of its state.
    pub folder: &'a Path,
    /// Where it listens: `unix:///path` or `tcp://host:port`.
    pub address: &'a str,
    /// Registries, `host:port`, that speak plain HTTP.
    pub registries: &'a [&'a str],
    /// The cgroup below which build steps run.
    pub cgroup: &'a str,
}

impl Setup<'_> {
    /// The command that starts the daemon, and becomes it: what starts is what has to be ended. `start` makes the command of a program,
    /// in whatever network the daemon is to be.
    pub fn command(&self, tools: &Tools, start: impl FnOnce(PathBuf) -> Command) -> Result<Command> {
        let Self { folder, address, registries, cgroup } = self;
        let runc = program("runc").context("runc is not installed")?;
        let (root, traces, runc) = (folder.join("root"), folder.join("traces.sock"), runc.display());
        // Every path of its own: two daemons run side by side, and the default socket for traces is one for the whole machine.
        let mut settings = format!(
            "root = {root:?}\n\n[otel]\nsocketPath = {traces:?}\n\n[grpc]\naddress = [{address:?}]\n\n[worker.containerd]\nenabled = false\n\n[worker.oci]\nenabled = true\n\
             gc = false\nnetworkMode = \"host\"\nbinary = \"{runc}\"\ndefaultCgroupParent = \"{cgroup}\"\n"
        );
        for registry in *registries {
            settings.push_str(&format!("\n[registry.{registry:?}]\nhttp = true\n"));
        }
        let file = folder.join("buildkitd.toml");
        std::fs::write(&file, settings).with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = start(program("unshare").context("unshare is not installed")?);
        command.args(["--mount", "--"]).arg(tools.path("buildkitd")?).arg("--config").arg(file);
        Ok(command)
    }
}

/// A running daemon. Dropping it takes it away, with its state.
pub struct Buildkit {
    address: String,
    tools: Tools,
    process: Process,
    // Dropped last: it ends the process and removes the folder.
    _run: Run,
}

impl Buildkit {
    /// Starts a daemon that knows these registries, `host:port`, as ones that speak plain HTTP. Needs root.
    pub async fn start(registries: &[&str], progress: &Progress) -> Result<Self> {
        packages::ensure(packages::BUILDERS, progress).await?;
        let tools = Tools::ensure(&[BUILDKIT], progress).await?;
        // Numbered, recorded and taken away as a lab is, even by the next one after a crash.
        let (run, cgroup) = reserve(progress).await?;
        let folder = run.dir().join("buildkit");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let socket = folder.join("buildkitd.sock");
        let address = format!("unix://{}", socket.display());
        let setup = Setup { folder: &folder, address: &address, registries, cgroup: &cgroup };
        let home = Home { logs: run.dir().join("logs"), record: Record::open(run.dir())?, cgroup: cgroup.clone() };
        let mut process = Process::spawn("buildkitd", setup.command(&tools, Command::new)?, home)?;
        process.ready(Duration::from_secs(60), || async { UnixStream::connect(&socket).await.is_ok() }).await?;
        Ok(Self { address, tools, process, _run: run })
    }

    /// The daemon's process id.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// The client's command of [`build`].
    pub fn command(&self, context: &Path, image: &str, output: &[&str], options: &[&str]) -> Result<Command> {
        let mut client = Command::new(self.tools.path("buildctl")?);
        client.args(["--addr", &self.address]);
        Ok(build(client, context, image, output, options))
    }
}

/// Has a client, which knows how to reach its daemon, build the Dockerfile in `context` for windows/amd64 and push the image. `output` are
/// further settings of its output, such as `rewrite-timestamp=true`, and `options` further arguments, such as `--no-cache`.
pub fn build(mut client: Command, context: &Path, image: &str, output: &[&str], options: &[&str]) -> Command {
    let folder = context.display();
    client.args(["build", "--progress", "plain", "--frontend", "dockerfile.v0"]);
    client.args([format!("--local=context={folder}"), format!("--local=dockerfile={folder}")]);
    client.args(["--opt", "platform=windows/amd64", "--output"]);
    let name = format!("name={image}");
    let output = [&["type=image", &name, "push=true", "oci-mediatypes=true"], output].concat();
    client.arg(output.join(",")).args(options);
    client
}

/// Its name and version.
pub fn version() -> Result<String> {
    Ok(format!("BuildKit {}", pinned("buildkit", "github.com/moby/buildkit")?))
}

async fn reserve(progress: &Progress) -> Result<(Run, String)> {
    let progress = progress.clone();
    let reserved = tokio::task::spawn_blocking(move || {
        let run = Run::reserve(&progress)?;
        let cgroup = format!("gwlab{}", run.number());
        run.record().note(Thing::Cgroup(cgroup.clone()))?;
        cgroup::create(&cgroup)?;
        anyhow::Ok((run, cgroup))
    });
    reserved.await?
}
