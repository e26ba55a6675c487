//! Which Debian packages does the lab need, and are they here?
//!
//! A package counts as present when a file of it that the lab uses is there, so other ways to install a program are as good.
//! Nothing of the system's own containerd is used but the programs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use tokio::sync::Mutex;

use super::host;
use super::progress::Progress;

/// A Debian package and one of its files that the lab cannot do without: a program's name, or an absolute path.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    name: &'static str,
    file: &'static str,
}

const fn package(name: &'static str, file: &'static str) -> Package {
    Package { name, file }
}

/// What the cluster, its Linux node, the registry and git need.
pub const CLUSTER: &[Package] = &[
    package("ca-certificates", "/etc/ssl/certs/ca-certificates.crt"),
    package("containerd", "containerd"),
    package("containernetworking-plugins", "/usr/lib/cni/bridge"),
    package("git", "git"),
    package("iproute2", "ip"),
    package("iptables", "iptables"),
    package("libc-bin", "ldd"),
    package("mount", "mount"),
    package("procps", "sysctl"),
    package("runc", "runc"),
    package("util-linux", "nsenter"),
];

/// What the Windows node's Wine runner needs, and what makes the one library that Wine lacks.
pub const WINE: &[Package] = &[
    package("gcc-mingw-w64-x86-64-win32", "x86_64-w64-mingw32-gcc-win32"),
    package("wine", "wine"),
    package("wine64", "/usr/lib/wine/wine64"),
];

/// What shows programs another time than the machine's.
pub const OTHER_TIMES: &[Package] = &[package("libfaketime", FAKE_CLOCK), package("util-linux", "taskset")];

/// The library that does it.
pub const FAKE_CLOCK: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// What the daemon of another image builder needs, and the images of others.
pub const BUILDERS: &[Package] = &[package("busybox-static", "busybox"), package("runc", "runc"), package("util-linux", "unshare")];

/// What maps the users of a daemon without root.
pub const ROOTLESS: &[Package] = &[package("uidmap", "newuidmap")];

/// What documentation has people make certificates with.
pub const CERTIFICATES: &[Package] = &[package("openssl", "openssl")];

/// Another image builder, for comparisons.
pub const BUILDAH: &[Package] = &[package("buildah", "buildah"), package("netavark", "/usr/lib/podman/netavark")];

/// Installs those of `wanted` that are missing, with progress.
pub async fn ensure(wanted: &[Package], progress: &Progress) -> Result<()> {
    // The package lists have a lock that nobody waits for.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
    let _one = ONE_AT_A_TIME.lock().await;
    let missing = || wanted.iter().filter(|package| !package.is_present()).map(|package| package.name).collect::<Vec<_>>();
    let names = missing();
    if names.is_empty() {
        return Ok(());
    }
    if program("apt-get").is_none() {
        bail!("{} missing and there is no apt-get: install what your system calls these Debian packages", names.join(", "));
    }
    progress.step("apt-get update", host::run_async(apt_get(&["update"]))).await.context("cannot read the package lists")?;
    let install = [&["install", "--yes", "--no-install-recommends"], names.as_slice()].concat();
    let what = format!("apt-get install {}", names.join(" "));
    progress.step(&what, host::run_async(apt_get(&install))).await.context("cannot install packages")?;
    match missing().as_slice() {
        [] => Ok(()),
        still => bail!("{} installed, but the files that the lab looks for are still missing", still.join(", ")),
    }
}

/// Where a program is: in the search path, or where Debian keeps those of the administrator.
pub fn program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let always = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    let folders = std::env::split_paths(&path).chain(always.iter().map(Into::into));
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

impl Package {
    fn is_present(&self) -> bool {
        if self.file.starts_with('/') { Path::new(self.file).exists() } else { program(self.file).is_some() }
    }
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    // Two labs that start at once, or the machine's own updates, wait for each other.
    command.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}
