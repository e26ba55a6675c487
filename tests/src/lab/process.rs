//! How does a component of the lab run?
//!
//! As a child of this process with a log file, its own process group (so that Ctrl-C reaches only the lab's owner), noted in the
//! record and put into the lab's cgroup.

use std::fs::{self, File};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::cgroup;
use super::host::tail;
use super::record::Record;

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// A program of the lab that runs until it is stopped. Dropping it leaves it to the cleaning of the whole lab.
#[derive(Debug)]
pub struct Process {
    name: String,
    command: Command,
    child: Child,
    log: PathBuf,
    home: Home,
}

/// What every program of one lab shares.
#[derive(Debug)]
pub struct Home {
    /// The directory of the log files.
    pub logs: PathBuf,
    /// Where the program is noted.
    pub record: Record,
    /// The lab's cgroup.
    pub cgroup: String,
}

impl Home {
    /// Starts `command` and notes the program.
    fn start(&self, name: &str, command: &mut Command) -> Result<Child> {
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        if let Some(pid) = child.id() {
            self.record.note_pid(pid)?;
            cgroup::enter(&self.cgroup, pid)?;
        }
        Ok(child)
    }
}

impl Process {
    /// Starts `command`; what it prints goes to `<logs>/<name>.log`.
    pub fn spawn(name: &str, mut command: Command, home: Home) -> Result<Self> {
        let log = home.logs.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).with_context(|| format!("cannot open {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let child = home.start(name, &mut command)?;
        Ok(Self { name: name.into(), command, child, log, home })
    }

    /// The component's name, such as `kube-apiserver`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program's process id; none when it has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The file that holds what the program printed.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Waits until `probe` says yes, at most `limit`. When the program ends first, or the time is over, the error carries the
    /// end of its log.
    pub async fn ready<F: Future<Output = bool>>(&mut self, limit: Duration, mut probe: impl FnMut() -> F) -> Result<()> {
        let deadline = Instant::now() + limit;
        // A probe may hang on a connection that nobody answers.
        while !timeout(Duration::from_secs(2), probe()).await.unwrap_or(false) {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}; the end of {}:\n{}", self.name, self.log.display(), self.last_words());
            }
            if Instant::now() > deadline {
                let limit = limit.as_secs();
                bail!("{} is not ready after {limit} s; the end of {}:\n{}", self.name, self.log.display(), self.last_words());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Ends the program as a crash does, by SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// When it had ended by itself: the error carries the end of its log.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} had already ended with {status}; the end of {}:\n{}", self.name, self.log.display(), self.last_words());
        }
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// Starts the program again after [`Process::kill`], as it was started before.
    pub fn start_again(&mut self) -> Result<()> {
        self.child = self.home.start(&self.name, &mut self.command)?;
        Ok(())
    }

    /// Ends the program: SIGTERM, and SIGKILL when it takes longer than five seconds.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.child.id() {
            // It may end by itself at this very moment.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        match timeout(GRACE, self.child.wait()).await {
            Ok(status) => status.map(drop),
            Err(_) => self.child.kill().await,
        }
        .with_context(|| format!("cannot stop {}", self.name))
    }

    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        tail(&String::from_utf8_lossy(&log), 3000).to_owned()
    }
}
