//! What does a team have whose modules not everybody may read? A module behind a login, and a program that needs it.

use super::Canary;
use crate::lab::Lab;
use crate::lab::git::{Access, GitServer, Repository};
use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, MutexGuard};

const USER: &str = "builder";
const VERSION: &str = "v1.0.0";
const MONEY: &str = "package money\n\n// Format writes cents.\nfunc Format(cents int) string { return string(rune('0' + cents%10)) }\n";
const DATE: &str = "2026-01-02T03:04:05Z";

/// There is one port of HTTPS.
static TURN: Mutex<()> = Mutex::const_new(());

/// A module that only who has its password may read. Its server ends with it.
pub struct PrivateModule {
    /// Its password, which nobody must see.
    pub canary: Canary,
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
        Ok(Self { canary: Canary::of_login(USER, password), host, _turn: turn, password: password.to_owned(), path, go_mod })
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
}

/// How `go.sum` locks files (`golang.org/x/mod/sumdb/dirhash`).
fn h1(files: &[(&str, &str)]) -> String {
    let lines: String = files.iter().map(|(name, content)| format!("{}  {name}\n", hex::encode(Sha256::digest(content)))).collect();
    format!("h1:{}", STANDARD.encode(Sha256::digest(lines)))
}
