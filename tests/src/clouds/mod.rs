//! What do the clouds say? A server that speaks the token exchanges of AWS, Azure and Google, with a registry behind it that nobody enters
//! without the password that came out.
//!
//! It is as strict as the clouds' documentation: tokens are verified by the cluster's published keys, with issuer, audience, subject and
//! times; signatures are computed anew; forms have what they must and nothing else; passwords end. What it cannot show is that the
//! documentation is right.

mod aws;
mod azure;
mod google;
mod tokens;

pub use tokens::{Issuer, Jwks};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// The role of AWS that may be assumed.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/storefront-push";
/// The region of its registry.
pub const REGION: &str = "eu-central-1";
/// The tenant of Azure's application.
pub const TENANT: &str = "72f988bf-0000-0000-0000-2d7cd011db47";
/// Its client id.
pub const CLIENT: &str = "5f1c2e7a-0000-0000-0000-8b0c9d1e2f34";
/// The provider of Google's pool.
pub const PROVIDER: &str = "projects/123456789012/locations/global/workloadIdentityPools/clusters/providers/lab";
/// The account of Google that may be acted as.
pub const ACCOUNT: &str = "push@shop-1234.iam.gserviceaccount.com";
/// No request of an exchange is larger.
const MOST: usize = 64 * 1024;

/// A cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Amazon Web Services.
    Aws,
    /// Microsoft Azure.
    Azure,
    /// Google Cloud.
    Google,
}

/// Whose tokens a cloud accepts.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The cluster's issuer.
    pub issuer: String,
    /// Its published keys.
    pub keys: Jwks,
    /// The one ServiceAccount that may come in.
    pub subject: String,
}

/// One cloud with one registry. It ends with its last owner.
pub struct Cloud {
    /// `host:port` of all its servers and of its registry; plain HTTP.
    pub address: String,
    inner: Arc<Inner>,
    _task: AbortOnDropHandle<()>,
}

struct Inner {
    provider: Provider,
    address: String,
    trust: Trust,
    /// `host:port` of the registry without a login.
    behind: String,
    http: reqwest::Client,
    /// What was given out and opens something, with its kind and end in seconds since 1970.
    given: Mutex<BTreeMap<String, (Kind, u64)>>,
    lasts: AtomicU64,
    exchanged: AtomicU64,
    busy: AtomicBool,
}

/// What something that was given out is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Keys of AWS: the secret and the session.
    Keys { secret: String, session: String },
    /// A token for the next server of the exchange.
    Access,
    /// The registry's password.
    Password,
    /// What the registry's own token server gives for the password.
    Bearer,
}

impl Cloud {
    /// Starts on a listener, in front of a registry without a login.
    pub fn start(listener: TcpListener, provider: Provider, trust: Trust, behind: &str) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        let address = listener.local_addr()?.to_string();
        let inner = Arc::new(Inner {
            provider,
            address: address.clone(),
            trust,
            behind: behind.to_owned(),
            http,
            given: Mutex::default(),
            lasts: AtomicU64::new(3600),
            exchanged: AtomicU64::new(0),
            busy: AtomicBool::new(false),
        });
        let router = Router::new().fallback(answer).with_state(inner.clone());
        // It ends only with the task.
        let serve = async move { drop(axum::serve(listener, router).await) };
        Ok(Self { address, inner, _task: AbortOnDropHandle::new(tokio::spawn(serve)) })
    }

    /// What is given out from now on lasts so long.
    pub fn set_lasts(&self, lasts: Duration) {
        self.inner.lasts.store(lasts.as_secs(), Ordering::SeqCst);
    }

    /// Nothing that was given out opens anything any more.
    pub fn revoke(&self) {
        self.inner.given().clear();
    }

    /// Whether the servers of the exchange are too busy to do anything.
    pub fn set_busy(&self, busy: bool) {
        self.inner.busy.store(busy, Ordering::SeqCst);
    }

    /// How many passwords were given out.
    pub fn exchanged(&self) -> u64 {
        self.inner.exchanged.load(Ordering::SeqCst)
    }

    /// Every secret that was given out and still opens something.
    pub fn secrets(&self) -> Vec<String> {
        let of = |(text, (kind, _)): (&String, &(Kind, u64))| match kind {
            Kind::Keys { secret, session } => vec![secret.clone(), session.clone()],
            Kind::Access | Kind::Password | Kind::Bearer => vec![text.clone()],
        };
        self.inner.given().iter().flat_map(of).collect()
    }
}

/// A request of an exchange, read to its end.
struct Asked {
    method: String,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The parameters of a form that has exactly these, each once.
    fn form(&self, names: &[&str]) -> Result<BTreeMap<String, String>, String> {
        if self.header("content-type") != "application/x-www-form-urlencoded" {
            return Err(format!("a content type {:?}", self.header("content-type")));
        }
        let pairs: Vec<(String, String)> = form_urlencoded::parse(&self.body).into_owned().collect();
        let form: BTreeMap<String, String> = pairs.iter().cloned().collect();
        let known = names.iter().all(|name| form.contains_key(*name));
        if known && pairs.len() == names.len() { Ok(form) } else { Err(format!("the parameters are {:?}", form.keys())) }
    }

    /// User and password.
    fn basic(&self) -> Option<(String, String)> {
        let encoded = self.header("authorization").strip_prefix("Basic ")?;
        let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        decoded.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
    }

    fn query(&self, name: &str) -> Option<String> {
        let query = self.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl Inner {
    fn given(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Kind, u64)>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lasts(&self) -> u64 {
        self.lasts.load(Ordering::SeqCst)
    }

    fn give(&self, text: &str, kind: Kind) {
        if kind == Kind::Password {
            self.exchanged.fetch_add(1, Ordering::SeqCst);
        }
        self.given().insert(text.to_owned(), (kind, now() + self.lasts()));
    }

    fn opens(&self, text: &str, kind: &Kind) -> bool {
        self.given().get(text).is_some_and(|(known, end)| known == kind && *end > now())
    }

    /// The answer of the exchange's servers and of the registry's own token server; none for the registry itself.
    fn exchange(&self, asked: &Asked) -> Option<Response> {
        match self.provider {
            Provider::Aws => aws::answer(self, asked),
            Provider::Azure => azure::answer(self, asked),
            Provider::Google => google::answer(self, asked),
        }
    }

    /// Whether a request enters the registry.
    fn enters(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match self.provider {
            Provider::Aws => {
                let decoded = value.strip_prefix("Basic ").and_then(|encoded| STANDARD.decode(encoded).ok());
                let password = decoded.and_then(|bytes| String::from_utf8(bytes).ok()?.strip_prefix("AWS:").map(str::to_owned));
                password.is_some_and(|password| self.opens(&password, &Kind::Password))
            }
            Provider::Azure | Provider::Google => value.strip_prefix("Bearer ").is_some_and(|token| self.opens(token, &Kind::Bearer)),
        }
    }

    fn challenge(&self) -> String {
        let address = &self.address;
        match self.provider {
            Provider::Aws => format!("Basic realm=\"https://{address}/\",service=\"ecr.amazonaws.com\""),
            Provider::Azure => format!("Bearer realm=\"http://{address}/oauth2/token\",service=\"{address}\""),
            Provider::Google => format!("Bearer realm=\"http://{address}/v2/token\",service=\"{address}\""),
        }
    }

    /// The registry's own token server: a token for the scopes that are asked for, where user and password are right.
    fn bearer(&self, asked: &Asked, user: &str, field: &str) -> Response {
        let known = asked.basic().is_some_and(|(name, password)| name == user && self.opens(&password, &Kind::Password));
        let scoped = asked.query("scope").is_some() && asked.query("service").as_deref() == Some(self.address.as_str());
        if asked.method != "GET" || !known || !scoped {
            return (StatusCode::UNAUTHORIZED, r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
                .into_response();
        }
        let token = random();
        self.give(&token, Kind::Bearer);
        axum::Json(serde_json::json!({field: token})).into_response()
    }

    /// The `Host` goes along, so that the registry names this door in the addresses of its uploads; the password stays here.
    async fn pass_on(&self, request: Request) -> Result<Response> {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = head.headers.clone();
        headers.remove(header::AUTHORIZATION);
        let mut onward = self.http.request(head.method, format!("http://{}{path}", self.behind)).headers(headers);
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
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let path = request.uri().path();
    if path.starts_with("/v2/") && path != "/v2/token" {
        if !inner.enters(request.headers()) {
            return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, inner.challenge())]).into_response();
        }
        return inner.pass_on(request).await.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response());
    }
    if inner.busy.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let asked = Asked { method: head.method.to_string(), uri: head.uri, headers: head.headers, body };
    inner.exchange(&asked).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What nobody can guess.
fn random() -> String {
    let mut bytes = [0; 30];
    // Without randomness the machine has other troubles, and every comparison fails.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
