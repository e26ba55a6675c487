//! How does the operator run outside of the cluster, where a test can end it at any moment?
//!
//! As a program of this machine with the token of its ServiceAccount, hence with the rights that it has in its pod and no others.
//! A kubelet would wait longer and longer before it starts a container again that was killed; here the next one starts at once.

use super::Operator;
use crate::lab::Lab;
use crate::lab::process::Process;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// An operator outside of the cluster. It ends with the lab, or when it is stopped.
pub struct Outside(Process);

impl Operator {
    /// Starts one more operator, for these namespaces, which the one in the cluster should not watch.
    pub async fn outside(&self, lab: &Lab, name: &str, namespaces: &[&str]) -> Result<Outside> {
        let folder = lab.dir().join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let mut settings: Value = serde_norway::from_str(&std::fs::read_to_string(&self.settings.file)?)?;
        settings["watchNamespaces"] = json!(namespaces);
        let settings_file = folder.join("settings.yaml");
        std::fs::write(&settings_file, serde_norway::to_string(&settings)?)?;
        let kubeconfig = self.kubeconfig(lab, &folder).await.context("make a kubeconfig of the operator's ServiceAccount")?;
        Ok(Outside(lab.spawn(name, self.command(name, &settings_file, &kubeconfig))?))
    }

    /// The one place where the command line is built.
    fn command(&self, name: &str, settings: &Path, kubeconfig: &Path) -> Command {
        let mut command = Command::new(&self.program);
        // It is not to wait for the replicas in the cluster: they work in other namespaces.
        command.args(["controller", "--leader-elect=false", "--config"]).arg(settings);
        command.args(["--listen", "127.0.0.1:0", "--log-format", "text"]);
        // As in a container: nothing of this process's environment, and the name stays the same from start to start.
        command.env_clear().env("KUBECONFIG", kubeconfig).env("POD_NAME", name).env("POD_NAMESPACE", self.kubectl.namespace());
        command
    }

    async fn kubeconfig(&self, lab: &Lab, folder: &Path) -> Result<PathBuf> {
        let token = self.kubectl.run(&["create", "token", "gowindows", "--duration=1h"]).await?;
        let mut config: Value = serde_norway::from_str(&std::fs::read_to_string(lab.kubeconfig())?)?;
        config["users"][0]["user"] = json!({"token": token.trim()});
        let path = folder.join("kubeconfig");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path)?;
        file.write_all(serde_norway::to_string(&config)?.as_bytes())?;
        Ok(path)
    }
}

impl Outside {
    /// Kills it, and starts the next one at once.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub async fn crash(&mut self) -> Result<()> {
        self.0.kill().await?;
        self.0.start_again()
    }

    /// Ends it.
    pub async fn stop(self) -> Result<()> {
        self.0.stop().await
    }
}
