//! How does one request reach a registry? Addresses, TLS, credentials, time limits, limits of size.

use super::credentials::{Credential, Credentials, DOCKER_HUB};
use super::error::{OciError, remote_text};
use super::token::{Challenge, TokenRequest, challenge, token, token_request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gowindows_model::settings::RegistrySettings;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Connecting and the answer to one request for metadata.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const MOST_REDIRECTS: usize = 5;
/// Error bodies and tokens: longer ones are not read to their end.
const SMALL_BODY: usize = 64 * 1024;

/// What a request is for: whose credential, which token scopes, and the words for its errors.
#[derive(Clone, Debug)]
pub(super) struct Purpose {
    pub(super) host: String,
    pub(super) scopes: Vec<String>,
    /// Fits after "cannot": `read manifest shop/app:latest`.
    pub(super) attempt: String,
    /// Whether something is to be written: a 404 then means that its place is missing.
    pub(super) writes: bool,
}

/// One HTTP client for all registries, and one for each host with an authority of its own: each reads the system's certificates when it is
/// made, and keeps its connections. Credentials are of a request and of no client.
pub(super) struct Connections {
    settings: BTreeMap<String, RegistrySettings>,
    client: Client,
    private_clients: BTreeMap<String, Client>,
}

impl Connections {
    pub(super) fn new(registries: &[RegistrySettings]) -> Result<Self, OciError> {
        let mut private_clients = BTreeMap::new();
        for registry in registries {
            if let Some(pem) = &registry.ca_pem {
                private_clients.insert(registry.host.clone(), client(&registry.host, Some(pem))?);
            }
        }
        let settings = registries.iter().map(|registry| (registry.host.clone(), registry.clone())).collect();
        Ok(Self { settings, client: client("registries", None)?, private_clients })
    }
}

/// How requests are made with the credentials of one caller.
pub(super) struct Transport {
    connections: Arc<Connections>,
    credentials: Credentials,
    /// Ready `Authorization` values by host and scopes. Losing them costs one request.
    authorizations: Mutex<HashMap<(String, Vec<String>), HeaderValue>>,
    pub(super) tries: u32,
}

impl Transport {
    pub(super) fn new(connections: Arc<Connections>, credentials: Credentials, tries: u32) -> Self {
        Self { connections, credentials, authorizations: Mutex::new(HashMap::new()), tries: tries.max(1) }
    }

    fn plain_http(&self, host: &str) -> bool {
        self.connections.settings.get(host).is_some_and(|settings| settings.plain_http)
    }

    /// Where the content of a registry is mirrored: `host[:port][/folder]`.
    pub(super) fn mirror(&self, host: &str) -> Option<&str> {
        self.connections.settings.get(host)?.mirror.as_deref()
    }

    /// `https://<host>/v2/<path>`
    pub(super) fn url(&self, purpose: &Purpose, path: &str) -> Result<Url, OciError> {
        let scheme = if self.plain_http(&purpose.host) { "http" } else { "https" };
        let host = if purpose.host == DOCKER_HUB { "registry-1.docker.io" } else { &purpose.host };
        Url::parse(&format!("{scheme}://{host}/v2/{path}")).map_err(|error| OciError::local(&purpose.attempt, error))
    }

    /// An address that the registry gave us (`Location`). On its own host it never leaves TLS; the flag says whether it is
    /// there, because no other host may see our credential.
    pub(super) fn location(&self, purpose: &Purpose, headers: &HeaderMap) -> Result<(Url, bool), OciError> {
        let text = headers.get(reqwest::header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let base = self.url(purpose, "")?;
        let mut url = base.join(text).ok().filter(|_| !text.is_empty()).ok_or_else(|| invalid(purpose, "no usable Location"))?;
        if url.scheme() == "http" && base.scheme() == "https" && url.set_scheme("https").is_err() {
            return Err(invalid(purpose, "a Location without TLS"));
        }
        if !["http", "https"].contains(&url.scheme()) {
            return Err(invalid(purpose, "a Location that is no web address"));
        }
        let ours = url.host_str() == base.host_str() && url.port_or_known_default() == base.port_or_known_default();
        Ok((url, ours))
    }

    pub(super) fn client(&self, host: &str) -> &Client {
        self.connections.private_clients.get(host).unwrap_or(&self.connections.client)
    }

    /// Sends a request without a large body, as often as it takes, and gives the answer if it is a success or one of `also`.
    pub(super) async fn send(
        &self,
        purpose: &Purpose,
        also: &[StatusCode],
        build: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Response, OciError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let error = match self.send_once(purpose, also, &build).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if !error.transient() || tried >= self.tries {
                return Err(error);
            }
            tracing::debug!(%error, tried, "registry call failed; it is tried again");
            tokio::time::sleep(error.pause(tried)).await;
        }
    }

    /// The same without another try, for callers that repeat more than this one request.
    pub(super) async fn send_once(
        &self,
        purpose: &Purpose,
        also: &[StatusCode],
        build: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Response, OciError> {
        let client = self.client(&purpose.host);
        let response = self.answer(purpose, self.authorized(purpose, build(client))).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.accept(purpose, also, response).await;
        }
        let authorization = self.authorize(purpose, response).await?;
        let key = (purpose.host.clone(), purpose.scopes.clone());
        self.authorizations.lock().unwrap_or_else(PoisonError::into_inner).insert(key, authorization);
        let response = self.answer(purpose, self.authorized(purpose, build(client))).await?;
        self.accept(purpose, also, response).await
    }

    /// Adds what convinced the registry last time.
    pub(super) fn authorized(&self, purpose: &Purpose, request: RequestBuilder) -> RequestBuilder {
        let key = (purpose.host.clone(), purpose.scopes.clone());
        match self.authorizations.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    async fn answer(&self, purpose: &Purpose, request: RequestBuilder) -> Result<Response, OciError> {
        match tokio::time::timeout(ANSWER_LIMIT, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failed(purpose, &error)),
            Err(_) => Err(late(purpose, ANSWER_LIMIT)),
        }
    }

    /// Turns an answer that is no success into the error that it means.
    pub(super) async fn accept(&self, purpose: &Purpose, also: &[StatusCode], mut response: Response) -> Result<Response, OciError> {
        let status = response.status();
        if status.is_success() || also.contains(&status) {
            return Ok(response);
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let body = tokio::time::timeout(ANSWER_LIMIT, start_of_body(&mut response)).await.unwrap_or_default();
        let detail = remote_text(&body, &self.secrets(purpose));
        let (host, attempt) = (purpose.host.clone(), purpose.attempt.clone());
        Err(match status.as_u16() {
            401 | 403 => OciError::AuthRefused { remedy: self.remedy(purpose), host, attempt, status: status.as_u16(), detail },
            404 if !purpose.writes => OciError::NotFound { host, attempt, detail },
            408 | 425 | 429 | 500.. => OciError::Unavailable { host, attempt, status: status.as_u16(), detail, retry_after },
            status => OciError::Refused { host, attempt, status, remedy: remedy_of(status, &detail), detail },
        })
    }

    async fn authorize(&self, purpose: &Purpose, response: Response) -> Result<HeaderValue, OciError> {
        let header = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let challenge = challenge(header, self.plain_http(&purpose.host)).map_err(|problem| invalid(purpose, &problem))?;
        let credential = self.credentials.of(&purpose.host);
        let value = match (challenge, credential) {
            (Challenge::Bearer { realm, service }, _) => {
                let request = token_request(&realm, service.as_deref(), &purpose.scopes, credential);
                format!("Bearer {}", self.fetch_token(purpose, request, credential).await?)
            }
            (Challenge::Basic, Some(Credential::Password { username, password })) => basic(username, password),
            (Challenge::Basic, _) => {
                return self.accept(purpose, &[], response).await.and(Err(invalid(purpose, "a 401 that is a success")));
            }
        };
        let mut value = HeaderValue::from_str(&value).map_err(|_| invalid(purpose, "a token that is no header value"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn fetch_token(&self, purpose: &Purpose, request: TokenRequest, credential: Option<&Credential>) -> Result<String, OciError> {
        let client = self.client(&purpose.host);
        let request = match (request, credential) {
            (TokenRequest::PostForm(url, form), _) => client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form),
            (TokenRequest::Get(url), Some(Credential::Password { username, password })) => {
                client.get(url).headers(sensitive(basic(username, password)))
            }
            (TokenRequest::Get(url), _) => client.get(url),
        };
        let purpose = Purpose { attempt: format!("get a token to {}", purpose.attempt), writes: false, ..purpose.clone() };
        let response = self.answer(&purpose, request).await?;
        let response = self.accept(&purpose, &[], response).await?;
        let body = self.body(&purpose, response, SMALL_BODY).await?;
        token(&body).ok_or_else(|| invalid(&purpose, "its token server's answer holds no token"))
    }

    /// Reads a whole body of at most `most` bytes, in time.
    pub(super) async fn body(&self, purpose: &Purpose, mut response: Response, most: usize) -> Result<Vec<u8>, OciError> {
        let too_large = || invalid(purpose, &format!("more than {most} bytes"));
        if response.content_length().is_some_and(|length| length > most as u64) {
            return Err(too_large());
        }
        let read = async {
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| failed(purpose, &error))? {
                if body.len() + chunk.len() > most {
                    return Err(too_large());
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        };
        tokio::time::timeout(ANSWER_LIMIT, read).await.unwrap_or_else(|_| Err(late(purpose, ANSWER_LIMIT)))
    }

    fn secrets(&self, purpose: &Purpose) -> Vec<String> {
        let mut secrets = self.credentials.of(&purpose.host).map(Credential::secrets).unwrap_or_default();
        let authorizations = self.authorizations.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.extend(authorizations.values().filter_map(|value| Some(value.to_str().ok()?.split_once(' ')?.1.to_string())));
        secrets
    }

    fn remedy(&self, purpose: &Purpose) -> String {
        match self.credentials.of(&purpose.host) {
            Some(_) => "check that the credentials for this host are valid and may do this in this repository".into(),
            None => {
                "there are no credentials for exactly this host; add them to the docker configuration (the Secret of image.pushSecretRef in a cluster)".into()
            }
        }
    }
}

fn client(whose: &str, ca_pem: Option<&str>) -> Result<Client, OciError> {
    let failed = |error: reqwest::Error| OciError::local(format!("prepare connections to {whose}"), innermost(&error));
    // A redirect to another host loses the credential (reqwest removes it); one that leaves TLS is not followed at all.
    let policy = Policy::custom(|attempt| {
        let leaves_tls = attempt.url().scheme() != "https" && attempt.previous().iter().any(|url| url.scheme() == "https");
        match attempt.previous().len() {
            _ if leaves_tls => attempt.error("a redirect away from https is not followed"),
            hops if hops > MOST_REDIRECTS => attempt.error("too many redirects"),
            _ => attempt.follow(),
        }
    });
    let mut builder =
        Client::builder().connect_timeout(CONNECT_LIMIT).redirect(policy).user_agent(concat!("gowindows/", env!("CARGO_PKG_VERSION")));
    if let Some(pem) = ca_pem {
        let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(failed)?;
        if certificates.is_empty() {
            return Err(OciError::local(format!("prepare connections to {whose}"), "its caPem (or caFile) holds no PEM certificate"));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(failed)
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

fn sensitive(value: String) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(mut value) = HeaderValue::from_str(&value) {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    headers
}

async fn start_of_body(response: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > SMALL_BODY {
            break;
        }
    }
    body
}

pub(super) fn invalid(purpose: &Purpose, detail: &str) -> OciError {
    OciError::Invalid { host: purpose.host.clone(), attempt: purpose.attempt.clone(), detail: detail.into() }
}

pub(super) fn late(purpose: &Purpose, limit: Duration) -> OciError {
    OciError::Unreachable {
        host: purpose.host.clone(),
        attempt: purpose.attempt.clone(),
        cause: format!("no answer within {} s", limit.as_secs()),
    }
}

/// What an HTTP error means. Name, network and certificates are to blame only until a connection is there.
pub(super) fn failed(purpose: &Purpose, error: &reqwest::Error) -> OciError {
    let (host, attempt, cause) = (purpose.host.clone(), purpose.attempt.clone(), innermost(error));
    match () {
        () if error.is_redirect() => OciError::Invalid { host, attempt, detail: cause },
        () if error.is_connect() || error.is_timeout() => OciError::Unreachable { host, attempt, cause },
        () => OciError::Broken { host, attempt, cause },
    }
}

fn remedy_of(status: u16, detail: &str) -> &'static str {
    match status {
        404 if detail.contains("BLOB_UPLOAD_UNKNOWN") => {
            "it forgets uploads that it has begun: look whether the servers behind this name share one storage"
        }
        404 => "create the repository, or the project that it belongs to, or correct its name (image.repository)",
        413 => "let the registry, and a proxy in front of it, take larger bodies",
        _ => "look at the registry, or at a proxy in front of it",
    }
}

/// The outer layers of an HTTP error only repeat the address, which may hold a signed query.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
