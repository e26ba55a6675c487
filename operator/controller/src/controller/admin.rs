//! What can a kubelet or a Prometheus ask the operator itself?

use super::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;

/// Serves `/healthz` (the process answers), `/readyz` (the stores are filled, or the replica stands by) and `/metrics` (OpenMetrics text).
///
/// # Errors
/// When the address cannot be listened on.
pub(super) async fn serve(address: SocketAddr, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, routes(metrics)).await
}

fn routes(metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .with_state(metrics)
}

async fn ready(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    if metrics.is_ready().await {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "neither are the watches filled yet, nor was the Lease read to stand by\n")
    }
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// The status of the answer to a request as a git server would send it, signed and with a token.
    async fn status(address: SocketAddr, line: &str) -> String {
        let body = r#"{"ref": "refs/heads/main"}"#;
        let headers =
            format!("host: operator\r\nauthorization: Bearer e30.e30.\r\nx-hub-signature-256: sha256=00\r\ncontent-length: {}", body.len());
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = format!("{line} HTTP/1.1\r\n{headers}\r\nconnection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// There is no receiver of webhooks: no request of whatever path, method, token or body leads to anything.
    #[tokio::test]
    async fn nothing_but_health_and_metrics_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move { axum::serve(listener, routes(Arc::default())).await });
        for (line, expected) in [
            ("GET /healthz", "200"),
            ("GET /readyz", "503"),
            ("GET /metrics", "200"),
            ("GET /", "404"),
            ("POST /webhook", "404"),
            ("POST /hooks/team/shop", "404"),
            ("POST /hook/sha256:00", "404"),
            ("GET /debug/pprof/", "404"),
            ("GET /metrics/../secrets", "404"),
            ("POST /metrics", "405"),
            ("PUT /healthz", "405"),
            ("DELETE /readyz", "405"),
        ] {
            assert_eq!(status(address, line).await, expected, "{line}");
        }
        server.abort();
    }
}
