//! How does one request of an exchange reach its server? Nothing is followed, everything ends in time, and answers are short.

use super::error::{IdentityError, words};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use std::time::Duration;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A whole request, answer included.
const LIMIT: Duration = Duration::from_secs(15);
/// A token of Azure has some 3 KB, an answer of STS some 2.
const MOST: usize = 64 * 1024;
/// Refusals of AWS that say that they may pass.
const PASSING: [&str; 4] = ["Throttl", "IDPCommunicationError", "ServerException", "ServiceUnavailable"];

/// A request of an exchange.
pub(super) struct Ask<'a> {
    /// Fits after "cannot".
    pub(super) attempt: &'static str,
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
    /// What is in it that nobody may see.
    pub(super) secrets: Vec<&'a str>,
    /// What to do where it is refused.
    pub(super) remedy: String,
}

/// What a form is sent as.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// `a=b&c=d`
pub(super) fn form(pairs: &[(&str, &str)]) -> String {
    let mut url = reqwest::Url::parse("https://form.invalid/").ok();
    let query = url.as_mut().map(|url| {
        url.query_pairs_mut().extend_pairs(pairs);
        url.query().unwrap_or_default().to_owned()
    });
    query.unwrap_or_default()
}

/// Connections to the servers of one exchange.
pub(super) struct Wire(Client);

impl Wire {
    pub(super) fn new(authority: Option<&str>) -> Result<Self, IdentityError> {
        let local = |error: reqwest::Error| IdentityError::Local(format!("cannot prepare connections: {error}"));
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(LIMIT)
            .redirect(Policy::none())
            .user_agent(concat!("gowindows/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = authority {
            builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(local)?);
        }
        Ok(Self(builder.build().map_err(local)?))
    }

    /// Posts, and gives what a success says.
    pub(super) async fn post(&self, ask: Ask<'_>) -> Result<Vec<u8>, IdentityError> {
        let Ask { attempt, url, headers, body, secrets, remedy } = ask;
        let server = server(&url);
        let unreachable = |error: reqwest::Error| IdentityError::Unreachable { attempt, server: server.clone(), cause: innermost(&error) };
        let mut request = self.0.post(&url).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let (body, whole) = start_of_body(response).await.map_err(unreachable)?;
        if status.is_success() {
            let problem = "it is longer than 64 KiB";
            return if whole { Ok(body) } else { Err(IdentityError::Invalid { attempt, server, problem }) };
        }
        let (status, words) = (status.as_u16(), words(&body, &secrets));
        let passing = matches!(status, 408 | 425 | 429 | 500..) || PASSING.iter().any(|code| words.contains(code));
        Err(if passing {
            IdentityError::Unavailable { attempt, server, status, words }
        } else if (300..400).contains(&status) {
            IdentityError::Invalid { attempt, server, problem: "it names another server, which is not asked" }
        } else {
            IdentityError::Refused { attempt, server, status, words, remedy }
        })
    }
}

/// At most [`MOST`] bytes, and whether that is all.
async fn start_of_body(mut response: Response) -> reqwest::Result<(Vec<u8>, bool)> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST {
            body.truncate(MOST);
            return Ok((body, false));
        }
    }
    Ok((body, true))
}

/// `host:port` of an address.
pub(super) fn server(url: &str) -> String {
    url.split("://").nth(1).unwrap_or(url).split('/').next().unwrap_or_default().to_owned()
}

/// The outer layers of an HTTP error only repeat the address.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
