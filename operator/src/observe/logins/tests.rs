//! When is an exchange made anew, and what is said where none can be made?

use super::*;
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::atomic::{AtomicU64, Ordering};

/// A cloud that counts, and gives passwords of this many seconds.
#[derive(Default)]
struct Cloud {
    asked: AtomicU64,
    seconds: AtomicU64,
}

impl Clouds for Cloud {
    fn login<'a>(&'a self, identity: &'a Identity, token: &'a str) -> BoxFuture<'a, Result<Login, Miss>> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let lasts = Duration::from_secs(self.seconds.load(Ordering::Relaxed));
        let password = format!("{number} for {token} at {}", identity.host);
        async move { Ok(Login { username: "user".into(), password, lasts }) }.boxed()
    }
}

fn identity(host: &str) -> Identity {
    let exchange = crate::decide::Exchange::Google {
        provider: "//iam.googleapis.com/p".into(),
        account: None,
        sts: "https://sts".into(),
        credentials: "https://iam".into(),
    };
    Identity { host: host.into(), namespace: "team".into(), service_account: "push".into(), audience: "cloud".into(), exchange }
}

/// An API server that gives tokens, if they are for the cloud and of this ServiceAccount.
fn cluster() -> Client {
    let answer = |request: Request| async move {
        let path = request.uri().path().to_owned();
        let body = axum::body::to_bytes(request.into_body(), 4096).await.unwrap_or_default();
        let order: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let refused = |code: u16| {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "X", "message": "no", "code": code});
            (StatusCode::from_u16(code).unwrap_or_default(), axum::Json(status)).into_response()
        };
        let given = |token: &str| -> Response {
            axum::Json(json!({"spec": order["spec"], "status": {"token": token, "expirationTimestamp": "2026-01-01T00:00:00Z"}}))
                .into_response()
        };
        match (path.as_str(), order["spec"]["audiences"] == json!(["cloud"])) {
            ("/api/v1/namespaces/team/serviceaccounts/push/token", true) => given("token"),
            ("/api/v1/namespaces/team/serviceaccounts/forbidden/token", _) => refused(403),
            ("/api/v1/namespaces/team/serviceaccounts/broken/token", _) => refused(500),
            _ => refused(404),
        }
    };
    Client::new(Router::new().fallback(answer), "default")
}

#[tokio::test(start_paused = true)]
async fn a_password_is_kept_until_shortly_before_its_end_and_for_an_hour_at_most() {
    // Lasts, then: still there after, gone after.
    for (lasts, within, after) in [(3600, 3299, 3301), (600, 449, 451), (43_200, 3599, 3601), (0, 0, 0)] {
        let (cloud, client) = (Arc::new(Cloud::default()), cluster());
        cloud.seconds.store(lasts, Ordering::Relaxed);
        let logins = Logins::new(cloud.clone());
        let login = async || logins.login(&client, &identity("r.example.com")).await.map(|login| login.password);
        let first = login().await;
        assert_eq!(first, Ok("0 for token at r.example.com".into()));
        let start = Instant::now();
        if within > 0 {
            tokio::time::advance(Duration::from_secs(within)).await;
            assert_eq!(login().await, first, "{lasts}: after {:?}", start.elapsed());
        }
        tokio::time::advance(Duration::from_secs(after - within)).await;
        assert_eq!(login().await, Ok("1 for token at r.example.com".into()), "{lasts}: after {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn each_identity_has_its_own_and_a_refused_one_is_forgotten() {
    let (cloud, client) = (Arc::new(Cloud::default()), cluster());
    cloud.seconds.store(3600, Ordering::Relaxed);
    let logins = Logins::new(cloud.clone());
    let (one, other) = (identity("one.example.com"), Identity { service_account: "push".into(), ..identity("two.example.com") });
    for identity in [&one, &other, &one, &other] {
        logins.login(&client, identity).await.expect("a password");
    }
    assert_eq!(cloud.asked.load(Ordering::Relaxed), 2);
    logins.forget(&one);
    for identity in [&one, &other, &one, &other] {
        logins.login(&client, identity).await.expect("a password");
    }
    assert_eq!(cloud.asked.load(Ordering::Relaxed), 3, "the other one is as good as before");
}

#[tokio::test(start_paused = true)]
async fn absent_and_forbidden_are_one_message_and_no_cloud_is_asked() {
    let (cloud, client) = (Arc::new(Cloud::default()), cluster());
    let logins = Logins::new(cloud.clone());
    let mut said = Vec::new();
    for name in ["nobody", "forbidden", "broken"] {
        let identity = Identity { service_account: name.into(), ..identity("r.example.com") };
        let miss = logins.login(&client, &identity).await.expect_err("no token");
        assert_eq!(miss.reason, Reason::IdentityUnavailable);
        assert!(miss.message.contains("image.identity.serviceAccountName: "), "{}", miss.message);
        said.push(miss.message.replace(name, "NAME"));
    }
    assert!(said[0] == said[1] && said[0].contains("config/samples/registry-identity.yaml"), "{said:?}");
    assert!(said[2].ends_with("could not be had: no."), "{said:?}");
    assert_eq!(cloud.asked.load(Ordering::Relaxed), 0);
}

#[test]
fn a_password_is_for_its_host_alone() {
    let login = Login { username: "AWS".into(), password: "canary\"}".into(), lasts: Duration::ZERO };
    let data = docker_config(&identity("r.example.com:5000"), &login);
    let credentials = crate::clients::oci::Credentials::from_docker_config(&data[".dockerconfigjson"]).expect("a docker configuration");
    assert!(credentials.of("r.example.com:5000").is_some());
    assert!(credentials.of("r.example.com").is_none() && credentials.of("other.example.com").is_none());
    assert!(!format!("{login:?}").contains("canary"));
}
