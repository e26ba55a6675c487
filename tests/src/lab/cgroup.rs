//! Where do the lab's programs and pods live in the cgroup tree?
//!
//! Everything that belongs to lab N is below `/gwlabN`: the components in `/gwlabN/components`, the pods in `/gwlabN/kubepods`,
//! so two kubelets never meet, and the shims and containers that containerd starts are found again without knowing their ids.
//! With cgroup v1 the group is made in every hierarchy (also in the hybrid layout), with v2 in the one root.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The controllers that a kubelet needs.
const NEEDED: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];
/// What all containers of a lab weigh together where the components are not in its group for processors (cgroup v1). There a group weighs
/// as much as one thread of the many outside, unless it is told otherwise, and compilers starve.
const SHARES: &str = "8192";

/// Makes the group `name` wherever a kubelet and runc look for it.
pub fn create(name: &str) -> Result<()> {
    for root in roots()? {
        let controllers = root.join("cgroup.controllers");
        if root == Path::new("/sys/fs/cgroup") && controllers.exists() {
            delegate(&root, &fs::read_to_string(&controllers)?)?;
        }
        for path in [root.join(name), root.join(name).join("components")] {
            fs::create_dir_all(&path).with_context(|| format!("cannot make the cgroup {}", path.display()))?;
        }
        let shares = root.join(name).join("cpu.shares");
        if shares.exists() {
            fs::write(&shares, SHARES).with_context(|| format!("cannot set {}", shares.display()))?;
        }
    }
    Ok(())
}

/// Moves the program `pid` into the components' part of the group `name`. What it starts from now on is there as well.
pub fn enter(name: &str, pid: u32) -> Result<()> {
    let roots = roots()?;
    // One hierarchy is enough to find a program again; `pids` needs no settings before it takes one.
    let Some(root) = roots.iter().find(|root| root.ends_with("pids")).or(roots.first()) else {
        bail!("no cgroup hierarchy is mounted below /sys/fs/cgroup: mount one");
    };
    let procs = root.join(name).join("components/cgroup.procs");
    match fs::write(&procs, pid.to_string()) {
        // It has already ended; whoever waits for it will say so.
        Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(()),
        other => other.with_context(|| format!("cannot move process {pid} into {}", procs.display())),
    }
}

/// Kills every program in the group `name` and below, and waits until all are gone.
pub fn kill_all(name: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut pids = Vec::new();
        for root in roots()? {
            members(&root.join(name), &mut pids);
        }
        if pids.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("processes {pids:?} of the cgroup {name} do not end although they were killed");
        }
        for pid in pids {
            // It may have ended meanwhile, and the next round looks again.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Kills every program of a pod of the group `name`, as a crash would. The kubelet starts it again.
pub fn kill_pod(name: &str, uid: &str) -> Result<()> {
    let qualities = ["kubepods", "kubepods/burstable", "kubepods/besteffort"];
    let groups = qualities.map(|quality| format!("{name}/{quality}/pod{uid}"));
    let roots = roots()?;
    match groups.iter().find(|group| roots.iter().any(|root| root.join(group).exists())) {
        Some(group) => kill_all(group),
        None => bail!("there is no cgroup of a pod {uid}"),
    }
}

/// Removes the group `name` and all below it, which must be empty of programs.
pub fn remove(name: &str) -> Result<()> {
    for root in roots()? {
        let path = root.join(name);
        if path.exists() {
            remove_tree(&path).with_context(|| format!("cannot remove the cgroup {}", path.display()))?;
        }
    }
    Ok(())
}

/// The root of every hierarchy of this machine: one with cgroup v2, one per controller and more with v1. Containers may have
/// mounted the same ones elsewhere once more.
fn roots() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let groups = fields.filter(|fields| matches!(fields.get(2), Some(&"cgroup" | &"cgroup2")));
    Ok(groups.map(|fields| PathBuf::from(fields[1])).filter(|root| root.starts_with("/sys/fs/cgroup")).collect())
}

/// Hands the needed controllers of a v2 root on to the groups below it.
fn delegate(root: &Path, available: &str) -> Result<()> {
    for controller in NEEDED {
        if !available.split_whitespace().any(|name| name == controller) {
            bail!("cgroup v2 has no `{controller}` controller here, which a kubelet needs: the lab cannot run in this container");
        }
        fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"))
            .with_context(|| format!("cannot hand the cgroup controller `{controller}` on to the groups below {}", root.display()))?;
    }
    Ok(())
}

fn members(group: &Path, pids: &mut Vec<i32>) {
    let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    pids.extend(procs.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    for child in children(group) {
        members(&child, pids);
    }
}

fn children(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// A cgroup is removed by removing its directory, children first; its files go by themselves.
fn remove_tree(group: &Path) -> io::Result<()> {
    for child in children(group) {
        remove_tree(&child)?;
    }
    let mut attempt = 0;
    loop {
        match fs::remove_dir(group) {
            // A killed program is still being torn down by the kernel.
            Err(error) if error.raw_os_error() == Some(nix::libc::EBUSY) && attempt < 100 => {
                attempt += 1;
                thread::sleep(Duration::from_millis(20));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
    }
}
