//! How is one HTTPS request made, and where do credentials go?
//!
//! - Credentials and requests go to the repository's own scheme, host and port, redirects within it included, and nowhere else.
//! - Every wait ends when the work is stopped, every answer at a limit of bytes.
//! - A failure is a [`GitError`] with the status, the certificate or the redirect that caused it.

use super::auth::{GitAuth, Secret};
use super::error::{GitError, remote_text};
use super::stop::Stop;
use gowindows_crds::patterns;
use regex::Regex;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, Request, Response, Url};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// To establish a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a single byte from the server.
const STALL_TIMEOUT: Duration = Duration::from_secs(120);
/// How git servers are told who asks.
pub(super) const AGENT: &str = concat!("git/gowindows-", env!("CARGO_PKG_VERSION"));
/// How many redirects within a host are followed.
const REDIRECTS: usize = 5;
/// How much of an error's body is read.
const ERROR_BODY_LIMIT: usize = 4096;

/// HTTP clients, one for each bundle of authorities: each reads the system's certificates when it is made, and keeps its connections. Credentials
/// are of a request and of no client.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients(Arc<Mutex<HashMap<Option<[u8; 32]>, Client>>>);

/// Authorities are named by tenants: so many clients are kept, and none whose bundle is longer than so many bytes.
const KEPT_CLIENTS: usize = 64;
const KEPT_BUNDLE: usize = 64 * 1024;

impl Clients {
    fn of(&self, ca_pem: Option<&[u8]>) -> Result<Client, String> {
        if ca_pem.is_some_and(|pem| pem.len() > KEPT_BUNDLE) {
            return client(ca_pem);
        }
        let authority = ca_pem.map(|pem| Sha256::digest(pem).into());
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = kept().get(&authority) {
            return Ok(client.clone());
        }
        let client = client(ca_pem)?;
        let mut kept = kept();
        let over = kept.keys().find(|key| key.is_some()).filter(|_| kept.len() >= KEPT_CLIENTS).copied();
        if let Some(over) = over {
            kept.remove(&over);
        }
        kept.insert(authority, client.clone());
        Ok(client)
    }
}

fn client(ca_pem: Option<&[u8]>) -> Result<Client, String> {
    let authorities = ca_pem.map(Certificate::from_pem_bundle).transpose().map_err(|error| error.to_string())?;
    let builder = Client::builder()
        .https_only(true)
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(STALL_TIMEOUT)
        .tls_certs_merge(authorities.unwrap_or_default());
    builder.build().map_err(|error| super::error::causes(&error).join(": "))
}

/// A repository's address and how to introduce oneself there.
#[derive(Clone, Debug)]
pub(super) struct Door {
    url: String,
    client: Client,
    authorization: Option<HeaderValue>,
    secrets: Vec<Secret>,
}

impl Door {
    /// `url` must be https, without user and password.
    pub fn new(url: &str, auth: &GitAuth, clients: &Clients) -> Result<Self, GitError> {
        check_address(url)?;
        let client = clients.of(auth.ca_pem.as_deref()).map_err(|detail| GitError::Prepare { url: url.to_owned(), detail })?;
        let secrets = auth.secrets().into_iter().map(Secret::new).collect();
        Ok(Self { url: url.to_owned(), client, authorization: auth.authorization(), secrets })
    }

    /// The repository as messages name it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What must not appear in a message.
    pub fn secrets(&self) -> Vec<&str> {
        self.secrets.iter().map(Secret::reveal).collect()
    }
}

/// Requests to one repository, from a thread that may block.
pub(super) struct Https {
    door: Door,
    runtime: Handle,
    stop: Stop,
    limit: u64,
}

/// An answer of which the body has not been read yet.
pub(super) struct Reply {
    response: Response,
    received: u64,
}

impl Https {
    /// `limit` is that of the bytes in one answer. Must be called within a runtime.
    pub fn new(door: Door, stop: Stop, limit: u64) -> Self {
        Self { door, runtime: Handle::current(), stop, limit }
    }

    /// A request with these `Name: value` lines.
    pub fn request(&self, method: Method, url: &str, lines: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Request, GitError> {
        let url = Url::parse(url).map_err(|_| GitError::Address { url: self.door.url.clone() })?;
        let mut request = Request::new(method, url);
        let headers = request.headers_mut();
        for line in lines {
            let Some((name, value)) = line.as_ref().split_once(':') else { continue };
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value.trim())) {
                headers.insert(name, value);
            }
        }
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if let Some(authorization) = &self.door.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }

    /// Sends a request and takes nothing but a success for an answer.
    pub fn send(&self, request: Request) -> Result<Reply, GitError> {
        let response = self.wait(self.door.client.execute(request))?;
        match redirect_target(&response) {
            Some(target) => Err(GitError::Redirect { url: self.door.url.clone(), target: shown(&target) }),
            None => self.accept(response),
        }
    }

    /// Sends a GET and follows redirects within the host that only change what stands before `tail`. The second result is
    /// that new beginning, where there was a redirect.
    pub fn get(&self, mut request: Request, tail: &str) -> Result<(Reply, Option<String>), GitError> {
        let mut moved_to = None;
        for _ in 0..=REDIRECTS {
            let origin = request.url().origin();
            let mut next = Request::new(Method::GET, request.url().clone());
            next.headers_mut().clone_from(request.headers());
            let response = self.wait(self.door.client.execute(request))?;
            let Some(target) = redirect_target(&response) else { return Ok((self.accept(response)?, moved_to)) };
            if target.origin() != origin {
                return Err(GitError::Redirect { url: self.door.url.clone(), target: shown(&target) });
            }
            let Some(base) = target.as_str().strip_suffix(tail) else {
                let detail = format!("it redirects to {}, where no repository can be", shown(&target));
                return Err(GitError::Answer { url: self.door.url.clone(), detail });
            };
            moved_to = Some(base.to_owned());
            *next.url_mut() = target;
            request = next;
        }
        Err(GitError::Answer { url: self.door.url.clone(), detail: format!("more than {REDIRECTS} redirects") })
    }

    /// The next bytes of the body; none at its end.
    pub fn next(&self, reply: &mut Reply) -> Result<Vec<u8>, GitError> {
        let chunk = self.wait(reply.response.chunk())?.unwrap_or_default();
        reply.received += chunk.len() as u64;
        match reply.received > self.limit {
            true => Err(GitError::TooLarge { url: self.door.url.clone(), what: "an answer", limit: self.limit }),
            false => Ok(chunk.to_vec()),
        }
    }

    /// Waits for the network, but no longer than the work may go on.
    fn wait<T>(&self, attempt: impl Future<Output = reqwest::Result<T>>) -> Result<T, GitError> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.stop.stopped() => Err(GitError::Stopped { url: self.door.url.clone() }),
                done = attempt => done.map_err(|error| {
                    let waited = if error.is_connect() { CONNECT_TIMEOUT } else { STALL_TIMEOUT };
                    GitError::from_attempt(&self.door.url, error, waited)
                }),
            }
        })
    }

    fn accept(&self, response: Response) -> Result<Reply, GitError> {
        let status = response.status();
        let mut reply = Reply { response, received: 0 };
        if status.is_success() {
            return Ok(reply);
        }
        let is_text = reply.header(CONTENT_TYPE).starts_with("text/plain");
        let mut body = Vec::new();
        while is_text && body.len() < ERROR_BODY_LIMIT {
            match self.next(&mut reply) {
                Ok(chunk) if !chunk.is_empty() => body.extend(chunk),
                _ => break,
            }
        }
        let text = remote_text(&String::from_utf8_lossy(&body), &self.door.secrets());
        Err(GitError::from_status(&self.door.url, status, self.door.authorization.is_none(), &text))
    }
}

impl Reply {
    /// A header, empty where it is absent or no text.
    pub fn header(&self, name: HeaderName) -> &str {
        self.response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The form that the schema demands, once more: https, no user, nothing that a parser would drop or turn into something else.
fn check_address(text: &str) -> Result<(), GitError> {
    let form = Regex::new(patterns::GIT_URL);
    match Url::parse(text) {
        Ok(_) if form.is_ok_and(|form| form.is_match(text)) => Ok(()),
        _ => Err(GitError::Address { url: remote_text(text, &[]) }),
    }
}

fn redirect_target(response: &Response) -> Option<Url> {
    let location = response.status().is_redirection().then(|| response.headers().get(LOCATION))??;
    response.url().join(location.to_str().ok()?).ok()
}

/// An address for a message: a query or a user in it may be a secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    remote_text(url.as_str(), &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_without_a_user_is_asked() {
        assert!(check_address("https://git.example.com:8443/shop/storefront.git").is_ok());
        let refused = [
            "-oProxyCommand=x",
            "http://git.example.com/a.git",
            "file:///etc/passwd",
            "ext::sh -c id",
            "ssh://git.example.com/a.git",
            "https://user:hunter2222@git.example.com/a.git",
            "https://token@git.example.com/a.git",
            "https://git.example.com/a\n.git",
            "https://git.example.com/a\u{202e}.git",
            "https:///a.git/",
            "https:\\\\git.example.com\\a.git",
            "",
        ];
        for url in refused {
            let error = check_address(url).map(|()| url).expect_err("it is not an address");
            assert!(!error.to_string().contains("hunter2222") && !error.to_string().contains("token@"), "{error}");
        }
    }
}
