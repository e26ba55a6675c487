//! The servers of these tests: the lab's own, and one that says whatever a test wants.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use gowindows_clients::git::{Credentials, GitAuth, Secret};
use gowindows_tests::lab::git::{Access, GitServer, Repository};
use gowindows_tests::lab::pki::Authority;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::AbortOnDropHandle;

/// The date of every commit, and what it is in seconds since 1970.
pub const DATE: &str = "2026-01-02T03:04:05Z";
pub const DATE_SECONDS: i64 = 1_767_323_045;

/// The lab's git server.
pub struct Git {
    pub server: GitServer,
    pub root: TempDir,
}

impl Git {
    pub async fn start() -> Result<Self> {
        let root = tempfile::tempdir()?;
        Ok(Self { server: GitServer::start_on_loopback(root.path().to_owned()).await?, root })
    }

    /// Whom a client must be, to trust the server and be known to it.
    pub fn auth(&self, credentials: Credentials) -> GitAuth {
        GitAuth { credentials, ca_pem: Some(self.server.authority().as_bytes().to_vec()) }
    }

    pub fn anonymous(&self) -> GitAuth {
        self.auth(Credentials::Anonymous)
    }

    /// A repository with a Go program in its root, a branch, a tag and an annotated tag. Returns its two commits too.
    pub async fn storefront(&self, name: &str, access: Access) -> Result<(Repository, [String; 2])> {
        let repository = self.server.create(name, access).await?;
        let module = "module example.com/storefront\n\ngo 1.26\n";
        let first = repository.commit_files(&[("go.mod", module), ("main.go", "package main\n\nfunc main() {}\n")], "first", DATE).await?;
        repository.git(&["tag", "v1.0.0"]).await?;
        repository.git(&["tag", "-a", "-m", "Release", "v1.1.0"]).await?;
        repository.git(&["branch", "release/1"]).await?;
        let second = repository.commit_files(&[("README.md", "Storefront\r\n")], "second", DATE).await?;
        Ok((repository, [first, second]))
    }
}

pub fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic { username: username.to_owned(), password: Secret::new(password) }
}

pub fn bearer(token: &str) -> Credentials {
    Credentials::Bearer { token: Secret::new(token) }
}

/// What a server of a test does with a request.
pub enum Say {
    /// A whole response, head and body; the connection ends after it.
    Response(Vec<u8>),
    /// Nothing, for ever.
    Nothing,
    /// What `git http-backend` says about the repositories below this folder to a client that does not know version 2.
    OldGit(std::path::PathBuf),
}

/// An HTTPS server on loopback that says what it is told to and remembers what it was asked.
pub struct Oracle {
    pub url: String,
    pub auth: GitAuth,
    asked: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Oracle {
    /// `answer` gets the head of a request: its first line and its headers.
    pub async fn start(answer: impl Fn(&str) -> Say + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}", listener.local_addr()?);
        let authority = Authority::new("oracle")?;
        let identity = authority.server("oracle", &[], &["127.0.0.1".parse()?])?;
        let config = ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes())?],
                PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?,
            )?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, remembered) = (Arc::new(answer), asked.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answer, asked) = (acceptor.clone(), answer.clone(), remembered.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Ok((head, body)) = read_request(&mut stream).await else { return };
                    asked.lock().expect("a sound lock").push(head.clone());
                    let said = match answer(&head) {
                        Say::Nothing => return std::future::pending().await,
                        Say::Response(response) => Ok(response),
                        Say::OldGit(root) => old_git(&root, &head, &body).await,
                    };
                    if let Ok(response) = said {
                        let _ = stream.write_all(&response).await;
                        let _ = stream.shutdown().await;
                    }
                });
            }
        });
        let auth = GitAuth { credentials: Credentials::Anonymous, ca_pem: Some(authority.certificate().as_bytes().to_vec()) };
        Ok(Self { url, auth, asked, _task: AbortOnDropHandle::new(task) })
    }

    /// The heads of the requests so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("a sound lock").clone()
    }

    /// The authority of this server, and these credentials.
    pub fn auth(&self, credentials: Credentials) -> GitAuth {
        GitAuth { credentials, ..self.auth.clone() }
    }
}

/// A response that ends with its connection.
pub fn response(status: &str, headers: &[(&str, &str)], body: &str) -> Say {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    Say::Response(format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\n\r\n{body}").into_bytes())
}

/// Lines as git packs them; an empty one is a flush.
pub fn pkt_lines(lines: &[&str]) -> String {
    let pack = |line: &&str| if line.is_empty() { "0000".to_owned() } else { format!("{:04x}{line}", line.len() + 4) };
    lines.iter().map(pack).collect()
}

async fn read_request(stream: &mut TlsStream<TcpStream>) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            anyhow::bail!("the request has no end");
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length: usize = header(&head, "content-length").parse().unwrap_or_default();
    while bytes.len() < end + 4 + length {
        stream.read_buf(&mut bytes).await?;
    }
    Ok((head, bytes.split_off(end + 4)))
}

/// A header in the head of a request.
pub fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let of_that_name = |line: &'a str| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name));
    head.lines().find_map(of_that_name).map(|(_, value)| value).unwrap_or_default()
}

/// CGI (RFC 3875) without `GIT_PROTOCOL`.
async fn old_git(root: &Path, head: &str, body: &[u8]) -> Result<Vec<u8>> {
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut backend = Command::new("git");
    backend.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    backend.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    backend.env("REQUEST_METHOD", method).env("PATH_INFO", path).env("QUERY_STRING", query);
    backend.env("CONTENT_TYPE", header(head, "content-type")).env("CONTENT_LENGTH", body.len().to_string());
    let mut child = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    child.stdin.take().context("no standard input")?.write_all(body).await?;
    let output = child.wait_with_output().await?.stdout;
    Ok([b"HTTP/1.1 200 OK\r\nconnection: close\r\n", output.as_slice()].concat())
}
