//! What do other image builders make of the same program? Each is the real one, built from its pinned Go module as the lab's own
//! components are; here is how each is started, without a daemon of this machine and without a public registry.
//!
//! | builder | how it runs |
//! |---|---|
//! | ko | a program like any other |
//! | BuildKit | its daemon on this machine, with mounts of its own and a state folder that goes with it |
//! | Kaniko | in a root folder of its own: it unpacks the base to `/` and deletes what is there |
//!
//! Kaniko is the last release of Google's repository (v1.24.0; archived since June 2025). The maintained forks cannot be built here: the Go
//! module proxy, from which the lab's components come, refuses them.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::lab::go::MODULES;
use crate::lab::host::tail;

pub mod buildkit;
pub mod kaniko;
pub mod ko;
pub mod recordings;
pub mod registry;
pub mod workshop;

/// Longer than any build on a slow machine.
const PATIENCE: Duration = Duration::from_secs(540);

/// Runs a builder to its end and returns its standard output.
///
/// # Errors
/// It failed: with the end of what it said.
pub async fn finished(mut command: Command) -> Result<String> {
    let output = tokio::time::timeout(PATIENCE, command.stdin(Stdio::null()).kill_on_drop(true).output()).await;
    let output = output.with_context(|| format!("{command:?} has not ended after {PATIENCE:?}"))??;
    let said = |bytes: &[u8]| tail(&String::from_utf8_lossy(bytes), 4000).to_owned();
    ensure!(output.status.success(), "{command:?}: {}\n{}\n{}", output.status, said(&output.stdout), said(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Which version of the Go module `path` does a folder of `tests/tools` pin?
pub fn pinned(module: &str, path: &str) -> Result<String> {
    let text = std::fs::read_to_string(Path::new(MODULES).join(module).join("go.mod"))?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix(path)?.strip_prefix(' '));
    let version = line.and_then(|rest| rest.split(' ').next()).with_context(|| format!("{module} does not pin {path}"))?;
    Ok(version.to_owned())
}
