//! Git over HTTPS, as a company hosts it: a private authority, and a login for some repositories.
//!
//! Repositories are made by the lab: the same files, message and date make the same commit id on every machine.

use std::collections::HashMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::git_http::{self, Door};
use super::host;
use super::network::Network;
use super::pki::Authority;

/// The port of the lab's own server.
pub(super) const PORT: u16 = 8443;
/// The port of HTTPS, which addresses need not name.
pub(super) const HTTPS: u16 = 443;

/// Who may read a repository. Nobody may push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Public,
    /// Who gives this user and password (HTTP Basic).
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: String,
    },
    /// Who gives this token (`Authorization: Bearer`).
    Token(String),
}

/// The repositories by name, shared with the server.
pub(super) type Rules = Arc<RwLock<HashMap<String, Access>>>;
/// Every `Authorization` that clients have sent, shared with the server.
pub(super) type Logins = Arc<Mutex<Vec<String>>>;

/// A Git server of the lab. It ends with the lab.
pub struct GitServer {
    root: PathBuf,
    base: String,
    authority: String,
    rules: Rules,
    door: Door,
    logins: Logins,
    _task: AbortOnDropHandle<()>,
}

impl GitServer {
    /// Starts serving what is, and will be, in `root`.
    pub(super) async fn start(root: PathBuf, network: &Network, port: u16) -> Result<Self> {
        Self::serve(root, network.listen(port).await?)
    }

    /// The same on this machine's loopback address, for tests that need no cluster.
    pub async fn start_on_loopback(root: PathBuf) -> Result<Self> {
        Self::serve(root, TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on the loopback address")?)
    }

    fn serve(root: PathBuf, listener: TcpListener) -> Result<Self> {
        let address = listener.local_addr()?;
        let authority = Authority::new("gowindows lab git")?;
        let identity = authority.server("git", &[], &[address.ip()])?;
        let (rules, door, logins) = (Rules::default(), Door::default(), Logins::default());
        let server = git_http::Server { root: root.clone(), rules: rules.clone(), door: door.clone(), logins: logins.clone() };
        let served = git_http::serve(listener, &identity, server)?;
        Ok(Self {
            root,
            base: if address.port() == HTTPS { format!("https://{}", address.ip()) } else { format!("https://{address}") },
            authority: authority.certificate().to_owned(),
            rules,
            door,
            logins,
            _task: AbortOnDropHandle::new(tokio::spawn(served)),
        })
    }

    /// The address of the server, `https://host:port`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The certificate of the authority that a client must trust, PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Makes an empty repository, `https://.../<name>.git`, whose first branch will be `main`.
    pub async fn create(&self, name: &str, access: Access) -> Result<Repository> {
        let repository = Repository {
            url: format!("{}/{name}.git", self.base),
            bare: self.root.join(format!("{name}.git")),
            work: self.root.join(format!("{name}.work")),
        };
        fs::create_dir_all(&repository.work).with_context(|| format!("cannot make {}", repository.work.display()))?;
        let mut init = Command::new("git");
        init.args(["init", "--quiet", "--bare", "--initial-branch=main"]).arg(&repository.bare);
        host::run_async(init).await?;
        // A commit may be asked for by its id, as the big hosts allow.
        repository.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]).await?;
        self.rules.write().map_err(|_| anyhow::anyhow!("the rules are broken"))?.insert(name.to_owned(), access);
        Ok(repository)
    }

    /// Makes the server unreachable (connections are closed at once), or reachable again.
    pub fn set_reachable(&self, reachable: bool) {
        self.door.set_open(reachable);
    }

    /// The `Authorization` of every request that had one, in their order: what whoever runs the server gets to know.
    pub fn logins(&self) -> Vec<String> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A repository on the server.
#[derive(Clone, Debug)]
pub struct Repository {
    url: String,
    bare: PathBuf,
    work: PathBuf,
}

impl Repository {
    /// Its address for clients.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Commits to `main` so that the tree is exactly what is in `folder`, a `.git` in it aside. Returns the commit's id.
    pub async fn commit_folder(&self, folder: &Path, message: &str, date: &str) -> Result<String> {
        fs::remove_dir_all(&self.work).and_then(|()| fs::create_dir_all(&self.work)).context("cannot empty the work tree")?;
        copy(folder, &self.work).with_context(|| format!("cannot copy {}", folder.display()))?;
        self.commit(message, date).await
    }

    /// Commits these files, path and content, on top of what `main` has. Returns the commit's id.
    pub async fn commit_files(&self, files: &[(&str, &str)], message: &str, date: &str) -> Result<String> {
        for (path, content) in files {
            let path = self.work.join(path);
            fs::create_dir_all(path.parent().unwrap_or(&self.work))?;
            fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        }
        self.commit(message, date).await
    }

    /// Runs `git` in the repository, such as `["tag", "v1.0.0"]` or `["branch", "stable"]`, and returns what it prints.
    pub async fn git(&self, arguments: &[&str]) -> Result<String> {
        let mut git = self.command();
        git.args(arguments);
        host::run_async(git).await
    }

    async fn commit(&self, message: &str, date: &str) -> Result<String> {
        self.git(&["add", "--all", "--force", "."]).await?;
        let mut commit = self.command();
        commit.args(["commit", "--quiet", "--allow-empty", "--message", message]);
        commit.env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date);
        host::run_async(commit).await?;
        let id = self.git(&["rev-parse", "HEAD"]).await?.trim().to_owned();
        if id.len() != 40 { bail!("git calls the new commit `{id}`") } else { Ok(id) }
    }

    /// Git without this machine's settings, which would change the commit ids.
    fn command(&self) -> Command {
        let mut git = Command::new("git");
        git.current_dir(&self.work).env("GIT_DIR", &self.bare).env("GIT_WORK_TREE", &self.work);
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "Lab").env(format!("GIT_{role}_EMAIL"), "lab@gowindows.dev");
        }
        git
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if !entry.file_type()?.is_dir() {
            fs::copy(entry.path(), target)?;
        } else if entry.file_name() != ".git" {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        }
    }
    Ok(())
}
