//! Where must a secret not be found? A value that is nowhere else, and all places where it could have come to.

use super::{Stage, Tenant};
use crate::lab::host;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use memchr::memmem;
use serde_json::Value;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::Command;

/// A value in every form in which it is looked for.
#[derive(Clone, Debug)]
pub struct Canary(Vec<String>);

impl Canary {
    /// A value as it is, and as a Secret has it.
    pub fn new(value: &str) -> Self {
        Self(vec![value.to_owned(), STANDARD.encode(value)])
    }

    /// A password, also as it travels in HTTP.
    pub fn of_login(user: &str, password: &str) -> Self {
        let mut canary = Self::new(password);
        canary.0.push(STANDARD_NO_PAD.encode(format!("{user}:{password}")));
        canary
    }

    /// The value.
    pub fn value(&self) -> &str {
        &self.0[0]
    }

    /// Looks for it where others may look: objects and events, logs of pods and of the operator.
    pub async fn is_not_told(&self, stage: &Stage, tenant: &Tenant) -> Result<()> {
        let mut seen = Vec::new();
        let mut look = |place: &str, content: &[u8]| {
            ensure!(!content.is_empty(), "there is nothing to look at in {place}");
            ensure!(!self.is_in(content), "{} is in {place}", self.value());
            seen.push(place.to_owned());
            anyhow::Ok(())
        };
        for kind in ["gwi", "jobs", "pods", "events", "configmaps"] {
            look(kind, tenant.kubectl.run(&["get", kind, "--output", "yaml", "--show-managed-fields"]).await?.as_bytes())?;
        }
        look("what is described", tenant.kubectl.run(&["describe", "gwi,jobs,pods"]).await?.as_bytes())?;
        let pods: Value = serde_json::from_str(&tenant.kubectl.run(&["get", "pods", "--output", "json"]).await?)?;
        for pod in pods["items"].as_array().into_iter().flatten() {
            let name = pod["metadata"]["name"].as_str().context("a pod's name")?;
            // After a stage that failed the next ones do not start, and have no log.
            let statuses = ["initContainerStatuses", "containerStatuses"].map(|list| pod["status"][list].as_array().into_iter().flatten());
            for status in statuses.into_iter().flatten().filter(|status| status["state"]["waiting"].is_null()) {
                let container = status["name"].as_str().context("a container's name")?;
                let log = tenant.kubectl.run(&["logs", name, "--container", container, "--timestamps"]).await?;
                look(&format!("{name}/{container}"), format!("{container}\n{log}").as_bytes())?;
            }
        }
        look("the operator's log", stage.operator.log().await.as_bytes())?;
        eprintln!("{}: {} is in none of {}", tenant.namespace, self.value(), seen.join(", "));
        Ok(())
    }

    /// Looks for it in an image and its layers.
    pub async fn is_not_in_image(&self, stage: &Stage, image: &str) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut crane = Command::new(stage.lab.tool("crane")?);
        crane.args(["pull", "--insecure", "--format=oci", image]).arg(folder.path());
        host::run_async(crane).await.with_context(|| format!("pull {image}"))?;
        self.is_not_below(folder.path())
    }

    /// Looks for it in every file below a folder, unpacked where it is compressed.
    pub fn is_not_below(&self, folder: &Path) -> Result<()> {
        tokio::task::block_in_place(|| self.search(folder))
    }

    fn search(&self, folder: &Path) -> Result<()> {
        let (mut folders, mut files) = (vec![folder.to_owned()], 0);
        while let Some(folder) = folders.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error).with_context(|| format!("list {}", folder.display())),
            };
            for entry in entries {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    let content = match std::fs::read(entry.path()) {
                        Ok(content) => content,
                        // Builds of others go on meanwhile; what is gone is not kept.
                        Err(error) if error.kind() == ErrorKind::NotFound => continue,
                        Err(error) => return Err(error).with_context(|| format!("read {}", entry.path().display())),
                    };
                    let mut plain = Vec::new();
                    // What is no gzip is looked at as it is.
                    if flate2::read::MultiGzDecoder::new(content.as_slice()).read_to_end(&mut plain).is_err() {
                        plain.clear();
                    }
                    ensure!(![content, plain].iter().any(|all| self.is_in(all)), "{} is in {}", self.value(), entry.path().display());
                    files += 1;
                }
            }
        }
        ensure!(files > 0, "there is no file below {}", folder.display());
        Ok(())
    }

    fn is_in(&self, content: &[u8]) -> bool {
        self.0.iter().any(|form| memmem::find(content, form.as_bytes()).is_some())
    }
}
