//! The container runtime of the Linux node.
//!
//! The machine's own containerd, if it has one, is left alone: root, state and socket are the lab's. The root, which holds images
//! and layers, is in memory: it is thrown away with the lab, some disks take half a minute to delete the twenty thousand files of
//! a toolchain, and an overlay can be made on it even where this machine is itself a container on an overlay.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use tokio::net::UnixStream;

use super::packages::program;
use super::process::Process;
use super::record::Thing;
use super::site::{Site, write};
use super::{cni, registry};

/// Starts containerd and waits until it answers. `pause` is the image of a pod's sandbox, `network` the CNI configuration list.
pub(super) async fn start(site: &Site, pause: &str, network: &Path) -> Result<Process> {
    let folder = site.folder("containerd")?;
    mount_root(site)?;
    for registry in [registry::address(&site.network), registry::private_address(&site.network)] {
        write_registry(site, &registry)?;
    }
    let certs = site.folder("containerd/certs.d")?;
    let conf_dir = network.parent().context("the CNI configuration has no directory")?;
    let config = config(&folder, pause, conf_dir, &certs);
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

fn config(folder: &Path, pause: &str, conf_dir: &Path, certs: &Path) -> String {
    let (folder, conf_dir, certs, plugins) = (folder.display(), conf_dir.display(), certs.display(), cni::PLUGINS);
    // Version 2 is read by containerd 1.6 up to 2.x. `restrict_oom_score_adj`: without CAP_SYS_RESOURCE the sandbox's -998 is
    // refused, and every pod dies with "can't get final child's PID from pipe: EOF".
    format!(
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
snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{conf_dir}"

[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{certs}"
"#
    )
}

/// Puts a file system in memory on the root.
fn mount_root(site: &Site) -> Result<()> {
    let root = site.folder("containerd/root")?;
    site.run.record().note(Thing::Mount(root.clone()))?;
    let kind = Some("tmpfs");
    mount(kind, &root, kind, MsFlags::empty(), None::<&str>).with_context(|| format!("cannot mount a tmpfs on {}", root.display()))
}
