//! How is everything of a lab taken away again?
//!
//! The same way after a normal end, after Ctrl-C and after a crash: by the record, programs first, then what they held. A lab is
//! thrown away as a whole, so nothing is asked to end gracefully. What the components themselves left behind is found by its
//! place: mounts below the run directory, and the few files that containerd, the network plugins and the kubelet keep in fixed
//! places of the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::record::{Record, Thing};
use super::{cgroup, host};

/// Takes away all of the lab whose run directory is `dir`, the directory included; its logs move to `logs`. Whoever calls this
/// holds the lab's lock. Goes on after a failure, so that as much as possible is gone, and returns the first one.
pub fn clean(dir: &Path, logs: &Path) -> Result<()> {
    let things = Record::read(dir)?;
    let mut first = Ok(());
    for step in [end_programs, unmount, remove_shim_sockets, remove_networks, remove_cgroups, remove_log_links, remove_network_results] {
        let result = step(&things, dir);
        first = first.and(result);
    }
    first?;
    keep_logs(dir, logs)?;
    fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))
}

fn end_programs(things: &[Thing], _: &Path) -> Result<()> {
    let recorded = || things.iter().filter_map(|thing| if let Thing::Pid(id) = thing { Some(id) } else { None });
    for id in recorded().filter(|id| id.is_alive()) {
        // It may end between the look and the signal; the wait below is what counts.
        let _ = kill(Pid::from_raw(id.pid.cast_signed()), Signal::SIGKILL);
    }
    for thing in things {
        if let Thing::Cgroup(name) = thing {
            cgroup::kill_all(name)?;
        }
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Some(id) = recorded().find(|id| id.is_alive()) {
        if Instant::now() > deadline {
            bail!("process {} does not end although it was killed", id.pid);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Unmounts what was recorded and everything below the run directory, the last mounted first.
fn unmount(things: &[Thing], dir: &Path) -> Result<()> {
    let recorded: Vec<&PathBuf> =
        things.iter().filter_map(|thing| if let Thing::Mount(path) = thing { Some(path) } else { None }).collect();
    let ours = |path: &PathBuf| path.starts_with(dir) || recorded.iter().any(|one| path.starts_with(one));
    for path in mounts()?.into_iter().filter(ours).rev() {
        // One unmount may take others along (shared mounts); what counts is the look at the table below.
        let _ = umount2(&path, MntFlags::MNT_DETACH);
    }
    match mounts()?.into_iter().find(ours) {
        Some(path) => bail!("{} is still mounted: unmount it, so that {} can be removed", path.display(), dir.display()),
        None => Ok(()),
    }
}

/// All mount points in the order in which they were mounted.
fn mounts() -> Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    Ok(table.lines().filter_map(|line| line.split(' ').nth(4)).map(|path| unescape(path).into()).collect())
}

/// The mount table writes blanks, tabs, line breaks and backslashes as three octal digits.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// containerd puts the sockets of its shims into one directory of the machine, whatever its state directory is; each shim's
/// bundle names its own.
fn remove_shim_sockets(_: &[Thing], dir: &Path) -> Result<()> {
    let bundles = dir.join("containerd/state/io.containerd.runtime.v2.task/k8s.io");
    for bundle in fs::read_dir(bundles).into_iter().flatten().flatten() {
        let address = fs::read_to_string(bundle.path().join("address")).unwrap_or_default();
        if let Some(socket) = address.trim().strip_prefix("unix://").filter(|path| path.starts_with("/run/containerd/s/")) {
            // A shim that ended by itself has removed it.
            let _ = fs::remove_file(socket);
        }
    }
    Ok(())
}

fn remove_networks(things: &[Thing], _: &Path) -> Result<()> {
    for thing in things {
        match thing {
            Thing::Link(name) => delete(&Path::new("/sys/class/net").join(name), &["link", "delete", name])?,
            Thing::Netns(name) => delete(&Path::new("/run/netns").join(name), &["netns", "delete", name])?,
            Thing::Iptables(rule) => remove_rule(rule),
            _ => {}
        }
    }
    Ok(())
}

/// Runs `ip` with `arguments` until `file` is gone. The kernel may be deleting the same at this very moment: a cable goes with
/// the namespace that holds its other end.
fn delete(file: &Path, arguments: &[&str]) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while file.exists() {
        let deleted = host::run(Command::new("ip").args(arguments));
        if Instant::now() > deadline {
            return deleted.and_then(|_| bail!("{} does not go away", file.display()));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Deletes a rule as often as it is there; iptables fails when it is not there any more, which is what is wanted.
fn remove_rule(rule: &[String]) {
    let Some((table, rule)) = rule.split_first() else { return };
    let delete = || host::run(Command::new("iptables").args(["-w", "10", "-t", table, "-D"]).args(rule));
    while delete().is_ok() {}
}

fn remove_cgroups(things: &[Thing], _: &Path) -> Result<()> {
    for thing in things {
        if let Thing::Cgroup(name) = thing {
            cgroup::remove(name)?;
        }
    }
    Ok(())
}

/// The kubelet links every container's log in one fixed directory of the machine.
fn remove_log_links(_: &[Thing], dir: &Path) -> Result<()> {
    for entry in fs::read_dir("/var/log/containers").into_iter().flatten().flatten() {
        if fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(dir)) {
            fs::remove_file(entry.path()).with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// The network plugins' library remembers every pod's addresses in one directory of the machine, under the network's name, which
/// is that of the cgroup, or `cni-loopback`.
fn remove_network_results(things: &[Thing], _: &Path) -> Result<()> {
    let folder = Path::new("/var/lib/cni/results");
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let files: Vec<String> = files.collect();
    for thing in things {
        let Thing::Cgroup(network) = thing else { continue };
        let pods = files.iter().filter_map(|file| file.strip_prefix(network.as_str())?.strip_prefix('-')?.strip_suffix("-eth0"));
        for file in pods.flat_map(|pod| [format!("{network}-{pod}-eth0"), format!("cni-loopback-{pod}-lo")]) {
            // A pod that has ended has no result any more.
            let _ = fs::remove_file(folder.join(file));
        }
    }
    Ok(())
}

fn keep_logs(dir: &Path, logs: &Path) -> Result<()> {
    if !dir.join("logs").exists() {
        return Ok(());
    }
    if logs.exists() {
        fs::remove_dir_all(logs).with_context(|| format!("cannot remove {}", logs.display()))?;
    }
    fs::create_dir_all(logs.parent().unwrap_or(logs))?;
    fs::rename(dir.join("logs"), logs).with_context(|| format!("cannot move the logs to {}", logs.display()))
}
