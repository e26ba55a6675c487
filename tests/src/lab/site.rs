//! What does every component of one lab need to start?

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::network::Network;
use super::process::{Home, Process};
use super::record::Record;
use super::run::Run;
use super::tools::Tools;

/// The reserved place of a lab: its run directory, its network and its tools.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) run: Run,
    pub(super) network: Network,
    pub(super) tools: Tools,
}

impl Site {
    /// A directory of the lab below its run directory; made when it is not there.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.run.dir().join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// A command that runs one of the pinned tools in the lab's network.
    pub(super) fn tool(&self, name: &str) -> Result<Command> {
        let mut tool = self.network.command(self.tools.path(name)?);
        // Programs of Go collect their garbage when half of their memory is that: processors are scarcer here.
        tool.env("GOGC", "400");
        Ok(tool)
    }

    /// Starts a component.
    pub(super) fn spawn(&self, name: &str, command: Command) -> Result<Process> {
        let home = Home { logs: self.folder("logs")?, record: Record::open(self.run.dir())?, cgroup: self.network.name() };
        Process::spawn(name, command, home)
    }
}

/// Writes a configuration file and returns its path.
pub(super) fn write(path: PathBuf, content: &str) -> Result<PathBuf> {
    fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
