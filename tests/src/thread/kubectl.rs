//! How does a person at a terminal talk to the cluster?

use crate::lab::{Lab, host};
use anyhow::Result;
use std::path::PathBuf;
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

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Runs it and returns what it prints.
    ///
    /// # Errors
    /// When it ends with another status than 0; the error holds what it printed.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        host::run_async(self.command(arguments)).await
    }

    /// Applies a manifest with `kubectl apply`, as a person does.
    pub async fn apply(&self, manifest: &str) -> Result<String> {
        self.apply_with(manifest, &[]).await
    }

    /// Applies a manifest by server-side apply, as GitOps tools do: who applies a field this way owns it.
    pub async fn apply_server_side(&self, manifest: &str) -> Result<String> {
        self.apply_with(manifest, &["--server-side"]).await
    }

    async fn apply_with(&self, manifest: &str, flags: &[&str]) -> Result<String> {
        let file = tempfile::NamedTempFile::with_suffix(".yaml")?;
        std::fs::write(file.path(), manifest)?;
        let path = file.path().to_string_lossy();
        self.run(&[&["apply", "-f", &path], flags].concat()).await
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["--namespace", &self.namespace]).args(arguments);
        command
    }
}
