//! A real registry, and doors to it that break what a test wants broken.

use std::convert::Infallible;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use gowindows_model::settings::RegistrySettings;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::tools::{REFERRERS, REGISTRY, Tools};
use gowindows_tests::lab::windows_base::{Base, Flavor, Repository, manifest_list};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixStream};
use tokio::process::{Child, Command};
use tokio_util::task::AbortOnDropHandle;

/// The base that images of these tests stand on, in every registry of theirs.
pub const BASE: &str = "windows/nanoserver:ltsc2022";
pub const OS_VERSION: &str = "10.0.20348.5499";
/// No body of these tests is larger.
const MOST: usize = 8 << 20;

/// A running registry with a base in it.
pub struct RealRegistry {
    socket: PathBuf,
    _process: Child,
    _root: TempDir,
}

impl RealRegistry {
    /// It listens at a socket file: no port can be taken by somebody else. It does not list referrers.
    pub async fn start() -> Result<Self> {
        let tools = Tools::ensure(&[REGISTRY], &Progress::stderr()).await?;
        let root = tempfile::tempdir()?;
        let config = root.path().join("config.yml");
        let content = json!({
            "version": "0.1",
            "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": root.path().join("data")}},
            "http": {"net": "unix", "addr": root.path().join("socket")},
        });
        // JSON is YAML as well.
        std::fs::write(&config, content.to_string())?;
        let mut command = Command::new(tools.path("registry")?);
        command.arg("serve").arg(&config);
        Self::run(command, root).await
    }

    /// Another one, which lists referrers; `unfiltered` ones of every type, as registries may.
    pub async fn start_listing(unfiltered: bool) -> Result<Self> {
        let tools = Tools::ensure(&[REFERRERS], &Progress::stderr()).await?;
        let root = tempfile::tempdir()?;
        let mut command = Command::new(tools.path("referrers")?);
        command.arg("-socket").arg(root.path().join("socket")).arg(format!("-unfiltered={unfiltered}"));
        Self::run(command, root).await
    }

    async fn run(mut command: Command, root: TempDir) -> Result<Self> {
        let socket = root.path().join("socket");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut process = command.spawn().context("start the registry")?;
        let began = Instant::now();
        while UnixStream::connect(&socket).await.is_err() {
            ensure!(process.try_wait()?.is_none(), "the registry ended at once");
            ensure!(began.elapsed() < Duration::from_secs(60), "the registry does not listen after 60 s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let registry = Self { socket, _process: process, _root: root };
        registry.publish(OS_VERSION).await?;
        Ok(registry)
    }

    /// Points the base's tag at a base of another version, as the vendor does each month. Returns what it points at then.
    pub async fn publish(&self, os_version: &str) -> Result<String> {
        let (door, (name, tag)) = (self.door().await?, BASE.split_once(':').context("a tag")?);
        let repository = Repository::new(&door.host, name)?;
        let base = Base::generate(Flavor::Nanoserver, os_version, 4096)?;
        for blob in base.layers.iter().chain([&base.config]) {
            repository.push_blob(blob).await?;
        }
        repository.push_manifest(&base.manifest.digest, &base.manifest).await?;
        let list = manifest_list(&[&base])?;
        repository.push_manifest(tag, &list).await?;
        Ok(list.digest)
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A new door to it, in good order.
    pub async fn door(&self) -> Result<Door> {
        Door::open(&self.socket).await
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is answered so and not passed on.
    Status(u16, &'static str),
    /// Never answered.
    Silent,
    /// Answered by something that is no registry, as a captive portal does.
    Portal,
    /// Taken with a success, and forgotten.
    Swallowed,
    /// The answer's head comes and its body does not.
    Stalled,
    /// The connection breaks in the middle of the answer.
    Cut,
    /// Half the answer is all of it.
    Truncated,
    /// The answer has another content of good form.
    Changed,
    /// Five megabytes.
    Huge,
    /// The answer's header states another digest.
    OtherDigest,
}

/// Which requests break, and how.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// One, or several with spaces between.
    pub method: &'static str,
    /// Part of their paths.
    pub path: &'static str,
    /// So many of them pass before.
    pub after: u64,
    pub how: How,
}

/// A request that went through a door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    pub method: Method,
    /// With its query.
    pub path: String,
    /// Bytes of its body.
    pub sent: usize,
    pub status: StatusCode,
}

/// A way to the registry that can be broken.
pub struct Door {
    pub host: String,
    inner: Arc<Inner>,
    _task: AbortOnDropHandle<()>,
}

struct Inner {
    http: reqwest::Client,
    /// Each with how many requests it has met.
    faults: Mutex<Vec<(Fault, u64)>>,
    passed: Mutex<Vec<Passed>>,
}

impl Door {
    async fn open(socket: &Path) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().unix_socket(socket).redirect(reqwest::redirect::Policy::none()).build()?;
        let inner = Arc::new(Inner { http, faults: Mutex::default(), passed: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let host = listener.local_addr()?.to_string();
        let router = Router::new().fallback(answer).with_state(inner.clone());
        // It ends only with the task.
        let serve = async move { drop(axum::serve(listener, router).await) };
        Ok(Self { host, inner, _task: AbortOnDropHandle::new(tokio::spawn(serve)) })
    }

    /// From now on this breaks; nothing without a fault.
    pub fn set(&self, faults: impl IntoIterator<Item = Fault>) {
        *self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults.into_iter().map(|fault| (fault, 0)).collect();
    }

    /// How many requests were broken since the last change.
    pub fn struck(&self) -> u64 {
        let faults = self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().map(|(fault, met)| met.saturating_sub(fault.after)).sum()
    }

    /// The requests that went through since this was asked before.
    pub fn passed(&self) -> Vec<Passed> {
        std::mem::take(&mut self.inner.passed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How the operator's settings name it.
    pub fn settings(&self) -> Vec<RegistrySettings> {
        vec![RegistrySettings { host: self.host.clone(), plain_http: true, ..RegistrySettings::default() }]
    }

    /// What the registry itself answers for a manifest, whatever is broken here.
    pub async fn status_behind(&self, repository: &str, reference: &str) -> Result<StatusCode> {
        let url = format!("http://{}/v2/{repository}/manifests/{reference}", self.host);
        let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
        Ok(self.inner.http.get(url).header(header::ACCEPT, accept).send().await?.status())
    }
}

impl Inner {
    fn how(&self, request: &Request) -> Option<How> {
        let hits = |fault: &Fault| {
            fault.method.split(' ').any(|method| method == request.method().as_str()) && request.uri().path().contains(fault.path)
        };
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let (fault, met) = faults.iter_mut().find(|(fault, _)| hits(fault))?;
        *met += 1;
        (*met > fault.after).then_some(fault.how)
    }

    /// The `Host` goes along, so that the registry names this door in the addresses of its uploads.
    async fn pass_on(&self, request: Request) -> Result<(StatusCode, HeaderMap, Bytes)> {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut onward = self.http.request(head.method.clone(), format!("http://registry{path}")).headers(head.headers);
        let mut sent = 0;
        if ![Method::GET, Method::HEAD].contains(&head.method) {
            let body = to_bytes(body, MOST).await?;
            sent = body.len();
            onward = onward.body(body);
        }
        let answer = onward.send().await?;
        let passed = Passed { method: head.method, path: path.to_owned(), sent, status: answer.status() };
        self.passed.lock().unwrap_or_else(PoisonError::into_inner).push(passed);
        Ok((answer.status(), answer.headers().clone(), answer.bytes().await?))
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let how = inner.how(&request);
    match how {
        Some(How::Silent) => pending().await,
        Some(how @ (How::Status(..) | How::Portal | How::Swallowed | How::Huge)) => {
            // Read to its end: a connection that is closed early may hide the answer.
            drop(to_bytes(request.into_body(), MOST).await);
            instead(how)
        }
        _ => match inner.pass_on(request).await {
            Ok((status, headers, body)) => broken(how, status, headers, &body),
            Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}")).into_response(),
        },
    }
}

fn instead(how: How) -> Response {
    match how {
        How::Status(status, body) => {
            (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body.to_owned()).into_response()
        }
        How::Portal => ([(header::CONTENT_TYPE, "text/html")], "<html>Please sign in.</html>").into_response(),
        How::Huge => {
            let megabytes = stream::repeat(Bytes::from(vec![b' '; 1 << 20])).take(5).map(Ok::<_, Infallible>);
            Body::from_stream(megabytes).into_response()
        }
        _ => StatusCode::CREATED.into_response(),
    }
}

fn broken(how: Option<How>, status: StatusCode, mut headers: HeaderMap, body: &Bytes) -> Response {
    let half = body.slice(..body.len() / 2);
    let body = match how {
        Some(How::Truncated) => half.into(),
        Some(How::Changed) => br#"{"schemaVersion":2,"manifests":[]}"#.as_slice().into(),
        Some(How::Cut) => Body::from_stream(stream::iter([Ok(half), Err(std::io::Error::other("cut"))])),
        Some(How::Stalled) => Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()),
        Some(How::OtherDigest) => {
            let other = format!("sha256:{}", "0".repeat(64));
            if let Ok(other) = other.parse() {
                headers.insert("docker-content-digest", other);
            }
            body.clone().into()
        }
        _ => body.clone().into(),
    };
    headers.remove(header::TRANSFER_ENCODING);
    if matches!(how, Some(How::Truncated | How::Changed | How::Cut | How::Stalled)) {
        headers.remove(header::CONTENT_LENGTH);
    }
    (status, headers, body).into_response()
}
