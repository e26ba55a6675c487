//! How does an HTTPS request become a call of `git http-backend`?
//!
//! By CGI (RFC 3875), streamed both ways. Read-only: the backend refuses pushes as long as it is told of no user. The go command is told
//! where the repository of a module is, as the big hosts do.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::serve::Listener;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::TryStreamExt;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{ChildStdout, Command};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::io::{ReaderStream, StreamReader};

use super::git::{Access, Logins, Rules};
use super::pki::Identity;

/// Whether the server lets anybody in. Clones are the same door.
#[derive(Clone, Debug)]
pub(super) struct Door(Arc<AtomicBool>);

impl Default for Door {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Door {
    pub(super) fn set_open(&self, open: bool) {
        self.0.store(open, Ordering::SeqCst);
    }

    fn is_open(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What is served, and what was seen.
#[derive(Clone)]
pub(super) struct Server {
    /// The repositories are below it.
    pub root: PathBuf,
    /// Who may read them.
    pub rules: Rules,
    /// Whether anybody may.
    pub door: Door,
    /// What clients have sent.
    pub logins: Logins,
}

/// Serves repositories on `listener`, for ever.
pub(super) fn serve(listener: TcpListener, identity: &Identity, server: Server) -> Result<impl Future<Output = ()> + use<>> {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
    let config = ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let listener = TlsListener { tcp: listener, acceptor: TlsAcceptor::from(Arc::new(config)), door: server.door.clone() };
    let router = Router::new().fallback(answer).with_state(server);
    Ok(async move {
        // It ends only with the task.
        let _ = axum::serve(listener, router).await;
    })
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    door: Door,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.tcp.accept().await {
                Ok((stream, peer)) if self.door.is_open() => {
                    // A client that does not trust us breaks off here; that is its business.
                    if let Ok(Ok(stream)) = timeout(Duration::from_secs(5), self.acceptor.accept(stream)).await {
                        return (stream, peer);
                    }
                }
                Ok(_) => {}
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    server.note(&request);
    // A connection may be older than the closed door.
    if !server.door.is_open() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    match server.allows(&request) {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(false) => (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"lab\"")]).into_response(),
        Some(true) if asks_for_module(&request) => module(&request),
        Some(true) => match server.call(request).await {
            Ok(response) => response,
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
        },
    }
}

impl Server {
    /// Whether it is let in or not: a login that was sent is known to the server.
    fn note(&self, request: &Request) {
        let login = text(request.headers(), "authorization");
        if !login.is_empty() {
            self.logins.lock().unwrap_or_else(PoisonError::into_inner).push(login.to_owned());
        }
    }

    /// Whether the request may see the repository that it names; none when there is no such repository.
    fn allows(&self, request: &Request) -> Option<bool> {
        let path = request.uri().path().trim_start_matches('/');
        let name = if asks_for_module(request) { path } else { path.split_once(".git/")?.0 };
        let rules = self.rules.read().ok()?;
        let expected = match rules.get(name)? {
            Access::Public => return Some(true),
            Access::Password { user, password } => format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
            Access::Token(token) => format!("Bearer {token}"),
        };
        Some(text(request.headers(), "authorization") == expected)
    }

    async fn call(&self, request: Request) -> Result<Response> {
        let headers = request.headers();
        let mut backend = Command::new("git");
        backend.arg("http-backend").env("GIT_PROJECT_ROOT", &self.root).env("GIT_HTTP_EXPORT_ALL", "1");
        backend.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        backend.env("REQUEST_METHOD", request.method().as_str()).env("PATH_INFO", request.uri().path());
        backend.env("QUERY_STRING", request.uri().query().unwrap_or_default());
        let passed = [
            ("CONTENT_TYPE", "content-type"),
            ("CONTENT_LENGTH", "content-length"),
            ("HTTP_CONTENT_ENCODING", "content-encoding"),
            ("GIT_PROTOCOL", "git-protocol"),
        ];
        for (variable, header) in passed {
            if headers.contains_key(header) {
                backend.env(variable, text(headers, header));
            }
        }
        let mut child = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
        let (mut stdin, stdout) = (child.stdin.take().context("no standard input")?, child.stdout.take().context("no standard output")?);
        let mut body = StreamReader::new(request.into_body().into_data_stream().map_err(io::Error::other));
        tokio::spawn(async move {
            // The backend may end before it has read everything, as for a refused push. Waiting for it leaves no zombie.
            let _ = tokio::io::copy(&mut body, &mut stdin).await;
            drop(stdin);
            let _ = child.wait().await;
        });
        respond(stdout).await
    }
}

fn asks_for_module(request: &Request) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "go-get=1"))
}

/// Where the repository of a module is (`go help importpath`).
fn module(request: &Request) -> Response {
    let module = format!("{}{}", text(request.headers(), "host"), request.uri().path());
    Html(format!("<meta name=\"go-import\" content=\"{module} git https://{module}.git\">\n")).into_response()
}

/// Turns what a CGI program prints into a response.
async fn respond(stdout: ChildStdout) -> Result<Response> {
    let mut output = BufReader::new(stdout);
    let mut response = Response::builder().status(StatusCode::OK);
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).await? == 0 {
            bail!("git http-backend ended before it had answered");
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(response.body(Body::from_stream(ReaderStream::new(output)))?);
        }
        let (name, value) = line.split_once(':').with_context(|| format!("git http-backend printed `{line}`"))?;
        response = match name.eq_ignore_ascii_case("status") {
            true => response.status(value.trim().split(' ').next().unwrap_or_default()),
            false => response.header(name, value.trim()),
        };
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
