//! How does Kaniko run without its container?
//!
//! It unpacks the base to `/`, looks there for what a step changed, and deletes all of it between stages. So it never sees the root of
//! this machine: the executor is started with a root folder of its own, which holds nothing but itself and the build context, and
//! with mounts and processes of its own.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::lab::packages::program;
use crate::lab::tools::Tools;

use super::pinned;

/// A root folder, for one build. Dropping it removes it.
pub struct Executor {
    root: TempDir,
}

impl Executor {
    /// Makes a root folder of the executor and the files of `context`, one of which is the Dockerfile. `tools` are those of
    /// [`crate::lab::tools::KANIKO`].
    pub fn new(tools: &Tools, context: &Path) -> Result<Self> {
        let root = tempfile::tempdir()?;
        // `proc` is mounted there, inside alone.
        for folder in ["kaniko", "workspace", "proc", "tmp"] {
            fs::create_dir(root.path().join(folder))?;
        }
        fs::copy(tools.path("executor")?, root.path().join("kaniko/executor")).context("copy the executor")?;
        copy(context, &root.path().join("workspace"))?;
        Ok(Self { root })
    }

    /// The command that builds for windows/amd64 and pushes the image to a registry that speaks plain HTTP. `options` are further
    /// arguments. Needs root.
    pub fn command(&self, image: &str, options: &[&str]) -> Result<Command> {
        let mut command = Command::new(program("unshare").context("unshare is not installed")?);
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--root"]).arg(self.root.path());
        command.args(["--wd", "/", "--", "/kaniko/executor", "--force", "--context", "dir:///workspace", "--destination", image]);
        command.args(["--insecure", "--insecure-pull", "--custom-platform", "windows/amd64"]).args(options);
        command.env_clear().envs([("PATH", "/kaniko"), ("HOME", "/kaniko"), ("DOCKER_CONFIG", "/kaniko")]);
        Ok(command)
    }
}

/// Its name and version.
pub fn version() -> Result<String> {
    Ok(format!("Kaniko {}", pinned("kaniko", "github.com/GoogleContainerTools/kaniko")?))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&to)?;
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to).with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
