//! What did a program write, and how does `kubectl logs` get it?
//!
//! Each run of a container has a plain file of its own. The kubelet's `/containerLogs` endpoint serves them over TLS. Everyone
//! who reaches the port may read: a test's network is its own. `follow`, `previous` and `tailLines` are known, times are not.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Body,
    extract::{self, Query},
    http::StatusCode,
    routing::get,
};
use futures::{Stream, stream};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{agent::Agent, status::Now};

/// How much of a log a kubelet takes as a termination message.
const TAIL_LINES: usize = 80;
const TAIL_BYTES: usize = 2048;
/// How often a followed log is looked at.
const STEP: Duration = Duration::from_millis(200);

/// A server's certificate and its private key, both PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS#8.
    pub key: String,
}

/// The log of a container's run number `restarts`.
pub fn file(folder: &Path, namespace: &str, pod: &str, container: &str, restarts: i32) -> PathBuf {
    folder.join(format!("{namespace}_{pod}_{container}_{restarts}.log"))
}

/// The end of a log as a termination message.
pub fn tail(log: &Path) -> Option<String> {
    let text = String::from_utf8_lossy(&std::fs::read(log).ok()?).into_owned();
    let mut start = text.len().saturating_sub(TAIL_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    Some(last_lines(&text[start..], TAIL_LINES).to_owned()).filter(|tail| !tail.is_empty())
}

fn last_lines(text: &str, count: usize) -> &str {
    let ends = text.strip_suffix('\n').unwrap_or(text).rmatch_indices('\n');
    let start = ends.take(count).last().filter(|_| text.lines().count() > count).map_or(0, |(position, _)| position + 1);
    if count == 0 { "" } else { &text[start..] }
}

/// Serves the logs of `agent`'s pods on `address` for ever, as `identity`; gives the address that was bound.
pub async fn serve(
    address: SocketAddr,
    identity: &Identity,
    agent: Agent,
    folder: PathBuf,
) -> Result<(SocketAddr, impl Future<Output = ()> + use<>)> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    let bound = listener.local_addr()?;
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).context("read a certificate")?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).context("read a private key")?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let source = Source { agent, folder };
    let logs = move |path, query| answer(source.clone(), path, query);
    let router = Router::new().route("/containerLogs/{namespace}/{pod}/{container}", get(logs));
    let listener = TlsListener { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
    let serve = async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::warn!(%error, "the logs are not served any more");
        }
    };
    Ok((bound, serve))
}

#[derive(Clone)]
struct Source {
    agent: Agent,
    folder: PathBuf,
}

type Names = extract::Path<(String, String, String)>;

async fn answer(source: Source, names: Names, Query(query): Query<HashMap<String, String>>) -> (StatusCode, Body) {
    let extract::Path((namespace, pod, container)) = names;
    let flag = |name: &str| query.get(name).is_some_and(|value| value == "true");
    let tracked = source.agent.container(&namespace, &pod, &container);
    let restarts = tracked.map(|tracked| tracked.restarts - i32::from(flag("previous")));
    let path = restarts.map(|restarts| file(&source.folder, &namespace, &pod, &container, restarts));
    let Some(path) = path.filter(|path| path.exists()) else {
        return (StatusCode::NOT_FOUND, Body::from(format!("container {container:?} in pod {pod:?} has no such log\n")));
    };
    let Ok(text) = tokio::fs::read(&path).await else { return (StatusCode::NOT_FOUND, Body::empty()) };
    let position = text.len() as u64;
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines = query.get("tailLines").and_then(|lines| lines.parse().ok()).unwrap_or(usize::MAX);
    let shown = last_lines(&text, lines).to_owned();
    if !flag("follow") {
        return (StatusCode::OK, Body::from(shown));
    }
    let following = Following { source, names: [namespace, pod, container], restarts: restarts.unwrap_or_default(), path, position };
    (StatusCode::OK, Body::from_stream(following.stream(shown)))
}

struct Following {
    source: Source,
    names: [String; 3],
    restarts: i32,
    path: PathBuf,
    position: u64,
}

impl Following {
    fn stream(self, shown: String) -> impl Stream<Item = io::Result<String>> {
        stream::unfold((Some(shown), self), |(shown, mut this)| async move {
            if let Some(shown) = shown {
                return Some((Ok(shown), (None, this)));
            }
            loop {
                // Asked before the file is read, so that the last words are not lost.
                let [namespace, pod, container] = &this.names;
                let tracked = this.source.agent.container(namespace, pod, container);
                let runs = tracked.is_some_and(|now| now.restarts == this.restarts && matches!(now.state, Now::Running(_)));
                match this.more().await {
                    Ok(more) if more.is_empty() && !runs => return None,
                    Ok(more) if more.is_empty() => tokio::time::sleep(STEP).await,
                    more => return Some((more, (None, this))),
                }
            }
        })
    }

    async fn more(&mut self) -> io::Result<String> {
        let mut file = File::open(&self.path).await?;
        file.seek(io::SeekFrom::Start(self.position)).await?;
        let mut more = Vec::new();
        self.position += file.read_to_end(&mut more).await? as u64;
        Ok(String::from_utf8_lossy(&more).into_owned())
    }
}

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((connection, peer)) = self.listener.accept().await else {
                tokio::time::sleep(STEP).await;
                continue;
            };
            match self.acceptor.accept(connection).await {
                Ok(connection) => return (connection, peer),
                Err(error) => tracing::debug!(%peer, %error, "a connection was not secured"),
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_whole() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last_lines("a\nb\nc", 5), "a\nb\nc");
        assert_eq!(last_lines("a\nb\n", usize::MAX), "a\nb\n");
        assert_eq!(last_lines("a\nb\n", 0), "");
    }
}
