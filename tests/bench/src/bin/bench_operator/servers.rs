//! What stands for the world outside of the cluster? A registry that has nothing, and a git server that never answers.

use anyhow::Result;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use gowindows_tests::lab::progress::Progress;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Both. Dropping them ends them.
pub struct Servers {
    /// The registry's `host:port`. It speaks plain HTTP.
    pub registry: String,
    /// The git server's `host:port`.
    pub git: String,
    tasks: [JoinHandle<()>; 2],
}

impl Servers {
    /// Starts them.
    pub async fn start(progress: &Progress) -> Result<Self> {
        let (registry, git) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
        let addresses = [&registry, &git].map(|listener| listener.local_addr().map(|address| address.to_string()));
        let [registry_address, git_address] = addresses;
        let said = progress.clone();
        let serves = async move {
            if let Err(error) = axum::serve(registry, routes()).await {
                said.say(format!("the registry ended: {error}"));
            }
        };
        Ok(Self { registry: registry_address?, git: git_address?, tasks: [tokio::spawn(serves), tokio::spawn(hang(git))] })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// It answers, and has no image.
fn routes() -> Router {
    let unknown = || async {
        let errors = json!({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]});
        (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/json")], errors.to_string()).into_response()
    };
    Router::new().route("/v2/", axum::routing::get(|| async { "{}" })).fallback(unknown)
}

/// Takes every connection and says nothing.
async fn hang(listener: TcpListener) {
    let mut taken = Vec::new();
    while let Ok((connection, _)) = listener.accept().await {
        taken.push(connection);
    }
}
