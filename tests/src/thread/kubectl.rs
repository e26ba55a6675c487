//! How does a person at a terminal talk to the cluster?

use crate::lab::{Lab, host};
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `kubectl` with the lab's kubeconfig, in one namespace.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
}

impl Kubectl {
    /// For a namespace of a lab.
    pub fn new(lab: &Lab, namespace: &str) -> Result<Self> {
        Ok(Self { program: lab.tool("kubectl")?.to_owned(), kubeconfig: lab.kubeconfig().to_owned(), namespace: namespace.to_owned() })
    }

    /// Runs it and returns what it prints.
    ///
    /// # Errors
    /// When it ends with another status than 0; the error holds what it printed.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        host::run_async(self.command(arguments)).await
    }

    /// Applies a manifest by server-side apply, as GitOps tools do.
    pub async fn apply(&self, manifest: &str) -> Result<String> {
        let file = tempfile::NamedTempFile::with_suffix(".yaml")?;
        std::fs::write(file.path(), manifest)?;
        self.apply_path("-f", file.path()).await
    }

    /// Applies a file (`-f`) or a kustomization (`-k`).
    pub async fn apply_path(&self, flag: &str, path: &Path) -> Result<String> {
        self.run(&["apply", "--server-side", flag, &path.to_string_lossy()]).await
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["--namespace", &self.namespace]).args(arguments);
        command
    }
}
