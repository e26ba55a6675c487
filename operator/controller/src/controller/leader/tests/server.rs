//! An API server that knows one Lease, and the line on which a candidate reaches it.

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Client;
use std::sync::{Arc, Mutex};

/// What happens to requests on a line.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Line {
    /// They are answered.
    Up,
    /// They never arrive.
    Cut,
    /// Reads are answered; writes arrive, but their answers never do.
    Deaf,
    /// Reads are answered; writes arrive half a second later, whether or not somebody still waits for the answer.
    Late,
    /// They are answered with 500.
    Broken,
}

/// The Lease as stored, and how often it was written.
#[derive(Clone, Default)]
pub(super) struct Server(Arc<Mutex<Stored>>);

#[derive(Default)]
struct Stored {
    lease: Option<Lease>,
    version: u64,
    refused: usize,
}

/// A line to the server, for one candidate.
#[derive(Clone)]
pub(super) struct Wire {
    server: Server,
    line: Arc<Mutex<Line>>,
}

impl Server {
    pub(super) fn wire(&self) -> Wire {
        Wire { server: self.clone(), line: Arc::new(Mutex::new(Line::Up)) }
    }

    pub(super) fn spec(&self) -> LeaseSpec {
        self.0.lock().expect("stored").lease.clone().and_then(|lease| lease.spec).unwrap_or_default()
    }

    pub(super) fn holder(&self) -> String {
        self.spec().holder_identity.unwrap_or_default()
    }

    /// How many writes met a newer version.
    pub(super) fn refused(&self) -> usize {
        self.0.lock().expect("stored").refused
    }

    /// Somebody else writes, or deletes.
    pub(super) fn edit(&self, edit: impl FnOnce(&mut Option<Lease>)) {
        let mut stored = self.0.lock().expect("stored");
        edit(&mut stored.lease);
        stored.version += 1;
        let version = stored.version.to_string();
        if let Some(lease) = &mut stored.lease {
            lease.metadata.resource_version = Some(version);
        }
    }

    fn answer(&self, method: &Method, body: &Bytes) -> Response {
        let mut stored = self.0.lock().expect("stored");
        let found = stored.lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        let written: Option<Lease> = serde_json::from_slice(body).ok();
        match (method, found, written) {
            (&Method::GET, Some(_), _) => axum::Json(&stored.lease).into_response(),
            (&Method::GET, None, _) => status(StatusCode::NOT_FOUND, "NotFound"),
            (&Method::POST, None, Some(mut lease)) => stored.store(&mut lease),
            (&Method::POST, Some(_), Some(_)) => stored.refuse("AlreadyExists"),
            (&Method::PUT, None, Some(_)) => status(StatusCode::NOT_FOUND, "NotFound"),
            (&Method::PUT, Some(version), Some(mut lease)) if lease.metadata.resource_version.as_ref() == Some(&version) => {
                stored.store(&mut lease)
            }
            (&Method::PUT, Some(_), Some(_)) => stored.refuse("Conflict"),
            (method, ..) => panic!("a candidate sends {method}"),
        }
    }
}

impl Stored {
    fn store(&mut self, lease: &mut Lease) -> Response {
        self.version += 1;
        lease.metadata.resource_version = Some(self.version.to_string());
        self.lease = Some(lease.clone());
        axum::Json(lease).into_response()
    }

    fn refuse(&mut self, reason: &str) -> Response {
        self.refused += 1;
        status(StatusCode::CONFLICT, reason)
    }
}

fn status(code: StatusCode, reason: &str) -> Response {
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code.as_u16(),
    });
    (code, axum::Json(body)).into_response()
}

impl Wire {
    pub(super) fn set(&self, line: Line) {
        *self.line.lock().expect("a line") = line;
    }

    pub(super) fn client(&self) -> Client {
        Client::new(Router::new().fallback(carry).with_state(self.clone()), "default")
    }
}

async fn carry(State(wire): State<Wire>, request: Request) -> Response {
    let line = *wire.line.lock().expect("a line");
    let method = request.method().clone();
    let body = to_bytes(request.into_body(), 1 << 20).await.expect("a body");
    match line {
        Line::Up => wire.server.answer(&method, &body),
        Line::Broken => status(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        Line::Deaf | Line::Late if method == Method::GET => wire.server.answer(&method, &body),
        Line::Late => {
            let arrives = async move {
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                wire.server.answer(&method, &body)
            };
            tokio::spawn(arrives).await.expect("an answer")
        }
        Line::Cut => std::future::pending().await,
        Line::Deaf => {
            drop(wire.server.answer(&method, &body));
            std::future::pending().await
        }
    }
}
