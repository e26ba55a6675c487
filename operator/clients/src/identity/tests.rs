//! Servers that misbehave. Those that behave, and check every word, are those of the crate `gowindows-tests`.

use super::*;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use gowindows_crds::conditions::Reason;
use gowindows_model::call_error::CallError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Nobody may see it.
const TOKEN: &str = "canary-of-the-service-account";

type Answer = fn(u32, Request) -> Response;

struct Server {
    url: String,
    asked: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// `answer` is told how often it was asked before.
    async fn start(answer: Answer) -> Self {
        let asked = Arc::new(AtomicU32::new(0));
        let handle = |State((answer, asked)): State<(Answer, Arc<AtomicU32>)>, request: Request| async move {
            answer(asked.fetch_add(1, Ordering::SeqCst), request)
        };
        let router = Router::new().fallback(handle).with_state((answer, asked.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        Self { url, asked, task: tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") }) }
    }

    fn identities(&self) -> [Identity; 3] {
        let url = || self.url.clone();
        let aws = Exchange::Aws { role: "arn:aws:iam::123456789012:role/push".into(), region: "x".into(), sts: url(), ecr: url() };
        let azure = Exchange::Azure { tenant: "tenant".into(), client: "client".into(), login: url(), registry: url() };
        let google = Exchange::Google { provider: "//iam/p".into(), account: Some("push@p".into()), sts: url(), credentials: url() };
        [aws, azure, google].map(|exchange| Identity {
            host: "r.example.com".into(),
            namespace: "team".into(),
            service_account: "push".into(),
            audience: "cloud".into(),
            exchange,
        })
    }

    async fn fails(&self, identity: &Identity) -> IdentityError {
        let error = Exchanger::new(vec![]).login(identity, TOKEN).await.expect_err("no password");
        let (shown, debugged) =
            (CallError::from(Exchanger::new(vec![]).login(identity, TOKEN).await.expect_err("no password")), format!("{error:?}"));
        let host = self.url.trim_start_matches("http://");
        assert!(shown.message.starts_with("image.identity: ") && shown.message.contains(host), "{}", shown.message);
        assert!(!shown.message.contains("canary") && !debugged.contains("canary"), "{} {debugged}", shown.message);
        error
    }
}

#[tokio::test]
async fn a_refusal_names_server_words_and_remedy_and_shows_no_token() {
    let refusal: Answer =
        |_, _| (StatusCode::BAD_REQUEST, format!(r#"{{"error":"invalid_grant","error_description":"got {TOKEN}"}}"#)).into_response();
    let server = Server::start(refusal).await;
    for (identity, remedy) in server.identities().iter().zip(["trust policy", "federated credential", "trust this cluster's issuer"]) {
        let error = server.fails(identity).await;
        assert_eq!((error.reason(), error.transient()), (Reason::IdentityRefused, false));
        let text = error.to_string();
        assert!(text.contains("HTTP 400, invalid_grant: got ***") && text.contains(remedy), "{text}");
        assert!(text.contains("cloud"), "the audience is a part of the remedy: {text}");
    }
}

#[tokio::test]
async fn the_second_server_has_a_remedy_of_its_own() {
    let half: Answer = |_, request| {
        let keys = "<AccessKeyId>a</AccessKeyId><SecretAccessKey>canary-key</SecretAccessKey><SessionToken>canary-session</SessionToken>";
        match request.uri().path() {
            "/" if request.headers().contains_key("x-amz-target") => {
                (StatusCode::FORBIDDEN, r#"{"__type":"AccessDeniedException","message":"canary-key canary-session"}"#).into_response()
            }
            "/" => keys.into_response(),
            "/tenant/oauth2/v2.0/token" => r#"{"access_token":"canary-access"}"#.into_response(),
            "/v1/token" => r#"{"access_token":"canary-access","expires_in":3599}"#.into_response(),
            _ => (StatusCode::FORBIDDEN, "you sent canary-access").into_response(),
        }
    };
    let server = Server::start(half).await;
    for (identity, remedy) in server.identities().iter().zip(["ecr:GetAuthorizationToken", "AcrPush", "workloadIdentityUser"]) {
        let error = server.fails(identity).await;
        assert_eq!((error.reason(), error.transient()), (Reason::IdentityRefused, false));
        assert!(error.to_string().contains(remedy) && error.to_string().contains("***"), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_followed_and_nothing_endless_is_read() {
    let portal: Answer = |_, _| "<html>Please sign in.</html>".into_response();
    let endless: Answer = |_, _| axum::body::Body::from(vec![b' '; 1 << 20]).into_response();
    let elsewhere: Answer = |_, _| (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/elsewhere")]).into_response();
    for (answer, says) in [(portal, "it has no"), (endless, "longer than 64 KiB"), (elsewhere, "names another server")] {
        let server = Server::start(answer).await;
        for identity in &server.identities() {
            let error = server.fails(identity).await;
            assert_eq!((error.reason(), error.transient()), (Reason::IdentityUnreachable, false));
            assert!(error.to_string().contains(says), "{error}");
        }
        assert_eq!(server.asked.load(Ordering::SeqCst), 6, "three identities, twice each, one request each");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let busy: Answer = |_, _| StatusCode::SERVICE_UNAVAILABLE.into_response();
    let throttled: Answer = |_, _| (StatusCode::BAD_REQUEST, r#"{"__type":"ThrottlingException","message":"slow"}"#).into_response();
    for answer in [busy, throttled] {
        let server = Server::start(answer).await;
        let error = server.fails(&server.identities()[0]).await;
        assert_eq!((error.reason(), error.transient()), (Reason::IdentityUnreachable, true), "{error}");
    }
    let at_last: Answer = |asked, _| match asked {
        0 => StatusCode::BAD_GATEWAY.into_response(),
        _ => r#"{"access_token":"password","expires_in":3599}"#.into_response(),
    };
    let server = Server::start(at_last).await;
    let [.., google] = server.identities();
    let Exchange::Google { provider, sts, credentials, .. } = google.exchange.clone() else { panic!("Google's") };
    let own = Identity { exchange: Exchange::Google { provider, account: None, sts, credentials }, ..google };
    let login = Exchanger::new(vec![]).with_tries(2).login(&own, TOKEN).await.expect("the second time");
    assert_eq!((login.username.as_str(), login.password.as_str(), login.lasts.as_secs()), ("oauth2accesstoken", "password", 3599));
}

#[tokio::test]
async fn nobody_there_is_told_with_the_cause() {
    let server = Server::start(|_, _| StatusCode::OK.into_response()).await;
    let [aws, ..] = server.identities();
    server.task.abort();
    tokio::task::yield_now().await;
    let Exchange::Aws { role, region, ecr, .. } = aws.exchange.clone() else { panic!("of AWS") };
    let closed = Identity { exchange: Exchange::Aws { role, region, sts: "http://127.0.0.1:1".into(), ecr }, ..aws };
    let error = Exchanger::new(vec![]).login(&closed, TOKEN).await.expect_err("nobody");
    assert_eq!((error.reason(), error.transient()), (Reason::IdentityUnreachable, true));
    assert!(error.to_string().contains("127.0.0.1:1 could not be reached"), "{error}");
}
