//! The container runtime of the Linux node.
//!
//! The machine's own containerd, if it has one, is left alone: root, state and socket are the lab's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
use tokio::net::UnixStream;

use super::packages::program;
use super::process::Process;
use super::site::{Site, write};
use super::{cni, registry};

/// Starts containerd and waits until it answers. `pause` is the image of a pod's sandbox, `network` the CNI configuration list.
pub(super) async fn start(site: &Site, pause: &str, network: &Path) -> Result<Process> {
    let folder = site.folder("containerd")?;
    for registry in [registry::address(&site.network), registry::private_address(&site.network)] {
        write_registry(site, &registry)?;
    }
    let certs = site.folder("containerd/certs.d")?;
    let conf_dir = network.parent().context("the CNI configuration has no directory")?;
    let config = config(&folder, pause, conf_dir, &certs)?;
    let config = write(folder.join("config.toml"), &config)?;

    let mut containerd = site.network.command(program("containerd").context("containerd is not installed")?);
    containerd.arg("--config").arg(config);
    let mut process = site.spawn("containerd", containerd)?;
    let socket = socket(site);
    process.ready(Duration::from_secs(30), || async { UnixStream::connect(&socket).await.is_ok() }).await?;
    Ok(process)
}

/// Its socket.
pub(super) fn socket(site: &Site) -> PathBuf {
    site.run.dir().join("containerd/containerd.sock")
}

/// Tells containerd that a registry of the lab speaks plain HTTP.
fn write_registry(site: &Site, registry: &str) -> Result<()> {
    let folder = site.folder(&format!("containerd/certs.d/{registry}"))?;
    // The table may say no more than the first line, but containerd 1.6 rejects a file without one.
    let url = format!("http://{registry}");
    let hosts = format!("server = \"{url}\"\n\n[host.\"{url}\"]\ncapabilities = [\"pull\", \"resolve\"]\n");
    write(folder.join("hosts.toml"), &hosts)?;
    Ok(())
}

fn config(folder: &Path, pause: &str, conf_dir: &Path, certs: &Path) -> Result<String> {
    let (folder, conf_dir, certs, plugins) = (folder.display(), conf_dir.display(), certs.display(), cni::PLUGINS);
    let snapshotter = snapshotter(&folder.to_string())?;
    // Version 2 is read by containerd 1.6 up to 2.x. `restrict_oom_score_adj`: without CAP_SYS_RESOURCE the sandbox's -998 is
    // refused, and every pod dies with "can't get final child's PID from pipe: EOF".
    Ok(format!(
        r#"version = 2
root = "{folder}/root"
state = "{folder}/state"

[grpc]
address = "{folder}/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{conf_dir}"

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{certs}"
"#
    ))
}

/// Overlays cannot be stacked on the overlay that a container's own files often are.
fn snapshotter(folder: &str) -> Result<&'static str> {
    let kind = statfs(folder).with_context(|| format!("cannot look at the file system of {folder}"))?.filesystem_type();
    Ok(if kind == OVERLAYFS_SUPER_MAGIC { "native" } else { "overlayfs" })
}
