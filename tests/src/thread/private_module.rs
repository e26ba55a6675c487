//! What does a team have whose modules not everybody may read? A module behind a login, and a program that needs it. And where must the
//! password not be found?

use super::{Stage, Tenant};
use crate::lab::git::{Access, GitServer, Repository};
use crate::lab::{Lab, host};
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use memchr::memmem;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::Command;
use tokio::sync::{Mutex, MutexGuard};

const USER: &str = "builder";
const VERSION: &str = "v1.0.0";
const MONEY: &str = "package money\n\n// Format writes cents.\nfunc Format(cents int) string { return string(rune('0' + cents%10)) }\n";
const DATE: &str = "2026-01-02T03:04:05Z";

/// There is one port of HTTPS.
static TURN: Mutex<()> = Mutex::const_new(());

/// A module that only who has its password may read. Its server ends with it.
pub struct PrivateModule {
    host: GitServer,
    _turn: MutexGuard<'static, ()>,
    password: String,
    path: String,
    go_mod: String,
}

impl PrivateModule {
    /// Starts a host for modules, named so that each has files of its own, with one module. Waits until there is no other host.
    pub async fn publish(lab: &Lab, name: &str, password: &str) -> Result<Self> {
        let turn = TURN.lock().await;
        let host = lab.start_module_host(name).await?;
        let repository = host.create("team/money", Access::Password { user: USER.into(), password: password.into() }).await?;
        let path = format!("{}/team/money", host.base().trim_start_matches("https://"));
        let go_mod = format!("module {path}\n\ngo 1.22\n");
        repository.commit_files(&[("go.mod", &go_mod), ("money.go", MONEY)], "Count", DATE).await?;
        repository.git(&["tag", VERSION]).await?;
        Ok(Self { host, _turn: turn, password: password.to_owned(), path, go_mod })
    }

    /// Its pattern in `go.modules.private`.
    pub fn private(&self) -> &str {
        self.path.trim_end_matches("/money")
    }

    /// A repository with a program that needs it, locked by `go.sum`.
    pub async fn program(&self, git: &GitServer, name: &str, access: Access) -> Result<Repository> {
        let path = &self.path;
        let go_mod = format!("module example.com/till\n\ngo 1.22\n\nrequire {path} {VERSION}\n");
        let whole = h1(&[(&format!("{path}@{VERSION}/go.mod"), &self.go_mod), (&format!("{path}@{VERSION}/money.go"), MONEY)]);
        let go_sum = format!("{path} {VERSION} {whole}\n{path} {VERSION}/go.mod {}\n", h1(&[("go.mod", &self.go_mod)]));
        let main = format!(
            "package main\n\nimport money \"{path}\"\n\nvar version = \"dev\"\n\nfunc main() {{ println(version, money.Format(7)) }}\n"
        );
        let repository = git.create(name, access).await?;
        repository.commit_files(&[("go.mod", &go_mod), ("go.sum", &go_sum), ("main.go", &main)], "Open the till", DATE).await?;
        Ok(repository)
    }

    /// The Secret `modules-auth` with this password, and the authority of the host.
    pub fn secret(&self, password: &str) -> String {
        let host = self.host.base().trim_start_matches("https://");
        let data = json!({"netrc": format!("machine {host} login {USER} password {password}\n"), "ca.crt": self.host.authority()});
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "modules-auth"}, "stringData": data}).to_string()
    }

    /// The Secret that opens the door.
    pub fn right_secret(&self) -> String {
        self.secret(&self.password)
    }

    /// Looks for the password where others may look: objects and events, logs of pods and of the operator, the image with its layers.
    pub async fn is_not_seen_in(&self, stage: &Stage, tenant: &Tenant, image: &str) -> Result<()> {
        let mut seen = Vec::new();
        let mut look = |place: &str, content: &[u8]| {
            ensure!(!content.is_empty(), "there is nothing to look at in {place}");
            ensure!(!self.is_in(content), "the password of modules is in {place}");
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
        let folder = tempfile::tempdir()?;
        let mut crane = Command::new(stage.lab.tool("crane")?);
        crane.args(["pull", "--insecure", "--format=oci", image]).arg(folder.path());
        host::run_async(crane).await.with_context(|| format!("pull {image}"))?;
        self.is_not_below(folder.path())?;
        eprintln!("{}: the password is in none of {}, {image}", tenant.namespace, seen.join(", "));
        Ok(())
    }

    /// Looks for the password in every file below a folder, unpacked where it is compressed.
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
                    ensure!(
                        ![content, plain].iter().any(|all| self.is_in(all)),
                        "the password of modules is in {}",
                        entry.path().display()
                    );
                    files += 1;
                }
            }
        }
        ensure!(files > 0, "there is no file below {}", folder.display());
        Ok(())
    }

    /// As it is, and as it travels in HTTP and in a Secret.
    fn is_in(&self, content: &[u8]) -> bool {
        let login = format!("{USER}:{}", self.password);
        let forms = [self.password.clone(), STANDARD.encode(&self.password), STANDARD_NO_PAD.encode(&login)];
        forms.iter().any(|form| memmem::find(content, form.as_bytes()).is_some())
    }
}

/// How `go.sum` locks files (`golang.org/x/mod/sumdb/dirhash`).
fn h1(files: &[(&str, &str)]) -> String {
    let lines: String = files.iter().map(|(name, content)| format!("{}  {name}\n", hex::encode(Sha256::digest(content)))).collect();
    format!("h1:{}", STANDARD.encode(Sha256::digest(lines)))
}
