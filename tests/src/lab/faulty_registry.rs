//! How does a registry fail on demand? A door in front of the lab's own one, which passes everything on until it is told otherwise.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::RwLock;
use tokio_util::task::AbortOnDropHandle;

use super::network::Network;

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As the registry behind it.
    Well,
    /// Always with this status.
    Status(u16),
    /// Takes requests and never answers.
    Silent,
    /// With something that is no registry's answer, as a captive portal does.
    Portal,
    /// Reads as the registry behind it, and has no place for what is written: its project was not created yet.
    NoProject,
}

/// A registry that fails on demand. It ends with its last owner.
pub struct FaultyRegistry {
    address: String,
    door: Arc<Door>,
    _task: AbortOnDropHandle<()>,
}

struct Door {
    behind: String,
    mood: RwLock<Mood>,
    asked: AtomicU64,
    http: reqwest::Client,
}

/// Its address, `host:port`.
pub(super) fn address(network: &Network) -> String {
    format!("{}:5003", network.address())
}

impl FaultyRegistry {
    /// Starts it in front of the registry `behind`.
    pub(super) async fn start(network: &Network, behind: &str) -> Result<Self> {
        let listener = network.listen(5003).await?;
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        let door = Arc::new(Door { behind: behind.to_owned(), mood: RwLock::new(Mood::Well), asked: AtomicU64::new(0), http });
        let router = Router::new().fallback(answer).with_state(door.clone());
        // It ends only with the task.
        let serve = async move { drop(axum::serve(listener, router).await) };
        Ok(Self { address: address(network), door, _task: AbortOnDropHandle::new(tokio::spawn(serve)) })
    }

    /// Its `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on it answers so.
    pub async fn set(&self, mood: Mood) {
        *self.door.mood.write().await = mood;
    }

    /// How many requests came.
    pub fn asked(&self) -> u64 {
        self.door.asked.load(Ordering::SeqCst)
    }
}

async fn answer(State(door): State<Arc<Door>>, request: Request) -> Response {
    door.asked.fetch_add(1, Ordering::SeqCst);
    let mood = *door.mood.read().await;
    match mood {
        Mood::NoProject if ![Method::GET, Method::HEAD].contains(request.method()) => {
            (StatusCode::NOT_FOUND, r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no such project"}]}"#).into_response()
        }
        Mood::Well | Mood::NoProject => {
            pass_on(&door, request).await.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
        }
        Mood::Status(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response(),
        Mood::Silent => pending().await,
        Mood::Portal => "<html>Please sign in.</html>".into_response(),
    }
}

/// The `Host` goes along, so that the registry names this door in the addresses of its uploads.
async fn pass_on(door: &Door, request: Request) -> Result<Response> {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("http://{}{path}", door.behind);
    let mut onward = door.http.request(head.method, url).headers(head.headers.clone());
    // Without a body none is announced: HEAD and GET stay what they are.
    if head.headers.contains_key("content-length") || head.headers.contains_key("transfer-encoding") {
        onward = onward.body(reqwest::Body::wrap_stream(body.into_data_stream()));
    }
    let answer = onward.send().await?;
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    Ok(response.body(Body::from_stream(answer.bytes_stream()))?)
}
