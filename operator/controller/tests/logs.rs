//! What is logged at the highest level? No credential, no header and no content of a Secret, whatever library has a say in it (docs/security.md,
//! SE4).

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gowindows_clients::oci::{Credentials, Registry, parse_reference};
use gowindows_model::settings::RegistrySettings;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, Config};
use serde_json::json;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::fmt::MakeWriter;

/// What opens the API server, the registry and what the registry gives for it; and what is in a Secret. `Y2FuYXJ5` is base64 of `canary`.
const SECRETS: [&str; 5] = ["canary-of-the-operator", "canary-of-the-registry", "canary-of-the-token", "canary-of-the-secret", "Y2FuYXJ5"];

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// An API server and a registry in one. Where the registry refuses, it says what it was sent.
async fn answer(request: Request) -> Response {
    let opened_by =
        |headers: &HeaderMap| headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (given, path) = (opened_by(request.headers()), request.uri().path().to_owned());
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    match (path.as_str(), given.as_str()) {
        ("/api/v1/namespaces/team/secrets/push", "Bearer canary-of-the-operator") => {
            let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "push"}, "data": {"password": "Y2FuYXJ5LW9mLXRoZS1zZWNyZXQ="}});
            axum::Json(secret).into_response()
        }
        ("/api/v1/namespaces/team/secrets/another", _) => {
            let status =
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "message": "no", "code": 403});
            (StatusCode::FORBIDDEN, axum::Json(status)).into_response()
        }
        ("/token", basic) if basic.starts_with("Basic ") => axum::Json(json!({"token": "canary-of-the-token"})).into_response(),
        ("/v2/shop/manifests/v1", "Bearer canary-of-the-token") => {
            ([("content-type", "application/vnd.oci.image.index.v1+json")], r#"{"schemaVersion":2,"manifests":[]}"#).into_response()
        }
        ("/v2/shop/manifests/v1", _) => {
            let challenge = format!(r#"Bearer realm="http://{host}/token",service="s""#);
            (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], "").into_response()
        }
        _ => (StatusCode::FORBIDDEN, format!("you sent {given}")).into_response(),
    }
}

#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let log = Log::default();
    // As the operator sets it up, with what libraries say by way of `log`.
    tracing_subscriber::fmt().with_env_filter("trace").with_writer(log.clone()).init();
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("the first");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    let server = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });

    let mut config = Config::new(format!("http://{host}").parse().expect("an address"));
    config.auth_info.token = Some("canary-of-the-operator".to_owned().into());
    let client = Client::try_from(config).expect("a client");
    let secret = Api::<Secret>::namespaced(client.clone(), "team").get("push").await.expect("a Secret");
    assert_eq!(secret.data.expect("data")["password"].0, b"canary-of-the-secret");
    Api::<Secret>::namespaced(client, "team").get("another").await.expect_err("refused");

    let settings = RegistrySettings { host: host.clone(), plain_http: true, ..RegistrySettings::default() };
    let auths = json!({"auths": {&host: {"username": "alice", "password": "canary-of-the-registry"}}}).to_string();
    let registry = Registry::new(&[settings], Credentials::from_docker_config(auths.as_bytes()).expect("credentials")).expect("a registry");
    registry.manifest(&parse_reference(&format!("{host}/shop:v1")).expect("a reference")).await.expect("a manifest");
    let refused = registry.manifest(&parse_reference(&format!("{host}/other:v1")).expect("a reference")).await.expect_err("refused");
    tracing::error!(error = &refused as &dyn std::error::Error, "as the operator tells of it");
    server.abort();

    let text = log.text();
    for spoken in ["requesting", "starting new connection", "as the operator tells of it"] {
        assert!(text.contains(spoken), "{spoken:?} is not in the log, which is not all then: {text}");
    }
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(!text.to_ascii_lowercase().contains("authorization:"), "{text}");
}
