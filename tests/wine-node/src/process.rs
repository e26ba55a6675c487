//! How is a Windows program started, told to stop, and waited for?
//!
//! It becomes process 1 of its own PID namespace, in the pod's network and host name:
//!
//! ```text
//!   ip netns exec (the pod's network and /etc/hosts) -> nsenter (the pod's host name)
//!       -> unshare (own processes, own /proc) -> wine64 C:\app\server.exe
//! ```
//!
//! so that the kernel ends everything that Wine starts around it (its server, its services) together with it, and ends
//! all of them when this process dies. Wine turns SIGINT into a console control event, which a Go program sees as
//! `os.Interrupt`: what a kubelet on Windows does with CTRL_SHUTDOWN.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::sleep,
};

use crate::{
    command::CommandLine,
    record::{Leftover, Record},
};

/// How often a process that has just been started is looked at.
const STEP: Duration = Duration::from_millis(20);

/// The tools are named in full: the environment that they run in is the program's.
const IP: [&str; 3] = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip"];
const NSENTER: &str = "/usr/bin/nsenter";
pub const UNSHARE: &str = "/usr/bin/unshare";

/// Where a program is started.
#[derive(Debug)]
pub struct Place<'a> {
    /// The name of the pod's network namespace.
    pub network: &'a str,
    /// The file of the pod's host name namespace.
    pub host_name: &'a Path,
    /// The program that loads Windows programs.
    pub loader: &'a Path,
    /// The container's Wine prefix.
    pub root: &'a Path,
    /// What Wine itself reads from the environment.
    pub wine: Vec<(&'static str, OsString)>,
    /// The file that gets what the program writes.
    pub log: &'a Path,
}

/// A running program.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// The program itself, seen from outside of its namespace.
    pid: Pid,
}

impl Program {
    /// Starts what `line` says in `place`. The error reads as the one that containerd gives for Windows.
    pub async fn start(line: &CommandLine, place: &Place<'_>, record: &dyn Record) -> Result<Self> {
        let program = line
            .find_program(place.root)
            .with_context(|| format!("hcs::System::CreateProcess {}: The system cannot find the file specified.: unknown", line.program))?;
        let folder = line
            .find_working_dir(place.root)
            .with_context(|| format!("hcs::System::CreateProcess {}: The directory name is invalid: {}", line.program, line.working_dir))?;
        let log = File::options().create(true).append(true).open(place.log);
        let log = log.with_context(|| format!("open {}", place.log.display()))?;
        let child = Command::new(IP.iter().find(|path| Path::new(path).exists()).context("install the Debian package iproute2")?)
            .args(["netns", "exec", place.network, NSENTER])
            .arg(option("--uts", place.host_name))
            .args(["--", UNSHARE, "--fork", "--kill-child=SIGKILL", "--pid", "--mount-proc"])
            .args(["--propagation", "slave", "--"])
            .arg(place.loader)
            .arg(program)
            .args(&line.arguments)
            .current_dir(folder)
            .env_clear()
            .envs(line.environment.iter().map(|(name, value)| (wine_name(name), value)))
            .envs(place.wine.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for whoever plays the node, not for its programs.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("start ip netns exec")?;
        Self::find(child, record).await
    }

    /// The program is the only child of `unshare`, which has taken the place of `ip` and `nsenter`.
    async fn find(mut child: Child, record: &dyn Record) -> Result<Self> {
        let outer = child.id().context("a program that has already ended")?;
        record.note(Leftover::Process(outer))?;
        loop {
            let children = std::fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap_or_default();
            if let Some(pid) = children.split_whitespace().next() {
                return Ok(Self { child, pid: Pid::from_raw(pid.parse().context("read a process id")?) });
            }
            if let Some(status) = child.try_wait()? {
                bail!("the program could not be started: {status}");
            }
            sleep(STEP).await;
        }
    }

    /// Waits for the end and gives the exit code, 128 + N for one that signal N ended. May be called again.
    pub async fn wait(&mut self) -> Result<i32> {
        let status = self.child.wait().await.context("wait for a program")?;
        let signal = std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or_default();
        Ok(status.code().unwrap_or(128 + signal))
    }

    /// Asks the program to end, and waits at most `grace` for it before it is killed. Gives the exit code.
    pub async fn stop(&mut self, grace: Duration) -> Result<i32> {
        let pid = self.pid;
        let interrupted = async {
            interrupt(pid).await;
            self.wait().await
        };
        match tokio::time::timeout(grace, interrupted).await {
            Ok(code) => code,
            Err(_) => {
                // Its namespace goes with it: nothing of Wine is left when the wait is over.
                let _ = kill(self.pid, Signal::SIGKILL);
                self.wait().await
            }
        }
    }
}

/// A process 1 without a handler never gets a signal, so wait until Wine has set its own.
async fn interrupt(pid: Pid) {
    while !catches_interrupt(pid).unwrap_or(true) {
        sleep(STEP).await;
    }
    let _ = kill(pid, Signal::SIGINT);
}

fn catches_interrupt(pid: Pid) -> Option<bool> {
    let status = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/status"))).ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
    let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
    Some(mask >> (Signal::SIGINT as u32 - 1) & 1 == 1)
}

/// Wine takes the search path from another variable, since PATH has the host's.
fn wine_name(name: &str) -> &str {
    if name.eq_ignore_ascii_case("PATH") { "WINEPATH" } else { name }
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push("=");
    option.push(path);
    option
}
