//! How long does a program run, and how much memory does it take? And how much of it is the Go compiler's?
//!
//! The peak is `VmHWM` of the process itself, looked at until it ends: `getrusage` would add what its children took. The compiler is timed
//! from outside: `go` in the builders' `PATH` is this program, which starts the real one and notes how long it took.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gowindows_tests::lab::host::tail;
use tokio::process::Command;

/// Looked at so often: a peak in the last moments of a program may be missed by as much.
const LOOK: Duration = Duration::from_millis(2);
const REAL_GO: &str = "BENCH_GO";
const NOTES: &str = "BENCH_GO_NOTES";

/// What a program took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// From start to end.
    pub took: Duration,
    /// The largest resident set, in bytes.
    pub peak: u64,
}

impl Cost {
    /// One after the other.
    pub fn then(self, next: Self) -> Self {
        Self { took: self.took + next.took, peak: self.peak.max(next.peak) }
    }
}

/// Runs a program to its end. With `child`, the memory that counts is that of the program that it starts.
pub async fn cost(mut command: Command, child: bool) -> Result<Cost> {
    let log = tempfile::NamedTempFile::new()?;
    command.stdin(Stdio::null()).stdout(log.reopen()?).stderr(log.reopen()?).kill_on_drop(true);
    let began = Instant::now();
    let mut running = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let id = running.id().context("it has ended at once")?;
    let mut peak = 0;
    let status = loop {
        let looked_at = if child { child_of(id) } else { Some(id) };
        peak = peak.max(looked_at.and_then(peak_of).unwrap_or_default());
        if let Ok(status) = tokio::time::timeout(LOOK, running.wait()).await {
            break status?;
        }
    };
    let took = began.elapsed();
    let said = fs::read(log.path())?;
    ensure!(status.success(), "{command:?}: {status}\n{}", tail(&String::from_utf8_lossy(&said), 4000));
    Ok(Cost { took, peak })
}

/// The largest resident set of a running program, in bytes.
pub fn peak_of(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

fn child_of(id: u32) -> Option<u32> {
    fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?.split_whitespace().next()?.parse().ok()
}

/// A folder whose `go` is timed.
pub struct TimedGo {
    folder: PathBuf,
    notes: PathBuf,
    real: OsString,
}

impl TimedGo {
    /// Makes it in `folder`. `real` is the machine's own.
    pub fn new(folder: &Path, real: impl Into<OsString>) -> Result<Self> {
        std::os::unix::fs::symlink(std::env::current_exe()?, folder.join("go"))?;
        Ok(Self { notes: folder.join("notes"), folder: folder.to_owned(), real: real.into() })
    }

    /// Runs a builder that calls `go`; what compiling took is not counted.
    pub async fn cost(&self, mut command: Command) -> Result<Cost> {
        fs::write(&self.notes, "")?;
        let usual = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(self.folder.clone()).chain(std::env::split_paths(&usual)))?;
        command.env("PATH", path).env(REAL_GO, &self.real).env(NOTES, &self.notes);
        let all = cost(command, false).await?;
        let notes = fs::read_to_string(&self.notes)?;
        ensure!(!notes.is_empty(), "the builder compiled nothing: was another go called?");
        let compiling = notes.lines().filter_map(|line| line.parse().ok()).map(Duration::from_nanos).sum();
        Ok(Cost { took: all.took.saturating_sub(compiling), peak: all.peak })
    }
}

/// Whether this program was started as `go`.
pub fn is_go() -> bool {
    std::env::args_os().next().is_some_and(|name| Path::new(&name).file_name() == Some("go".as_ref())) && std::env::var_os(NOTES).is_some()
}

/// Does as `go` does.
pub fn be_go() -> Result<ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let real = std::env::var_os(REAL_GO).context("nobody says where go is")?;
    let began = Instant::now();
    let status = std::process::Command::new(real).args(&arguments).status()?;
    if arguments.first().is_some_and(|word| word == "build") {
        let notes = std::env::var_os(NOTES).context("nobody says where notes are taken")?;
        writeln!(fs::File::options().append(true).create(true).open(notes)?, "{}", began.elapsed().as_nanos())?;
    }
    Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}
