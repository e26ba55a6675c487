//! What can go wrong with a git server, and what should be done about it?
//!
//! Every message names the repository (never with a user or password in it) and the remedy. Texts of the remote are redacted
//! and cut before they become part of a message.

use gowindows_crds::conditions::Reason;
use gowindows_model::redact;
use gowindows_model::wire::source::Reference;
use reqwest::StatusCode;
use std::error::Error;
use std::time::Duration;

/// How much of a remote's text is worth keeping.
const REMOTE_TEXT_LIMIT: usize = 256;

/// Why a repository could not be asked, or what it lacks.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The address is not one that may be asked.
    #[error("{url:?} is not the address of a git repository: it must be https://HOST/PATH, without a user or password in it")]
    Address {
        /// What was given, without a user or password.
        url: String,
    },
    /// No connection: DNS, routing, a closed port.
    #[error("cannot reach {url}: {detail}; check the host in the URL, and that this cluster may reach it")]
    Connect {
        /// The repository.
        url: String,
        /// The innermost cause.
        detail: String,
        /// The attempt.
        source: reqwest::Error,
    },
    /// The connection was there, and broke.
    #[error("the connection to {url} broke: {detail}; the server, or something between it and this cluster, has ended it")]
    Read {
        /// The repository.
        url: String,
        /// The innermost cause.
        detail: String,
        /// The attempt.
        source: reqwest::Error,
    },
    /// The server's certificate is not trusted.
    #[error("cannot trust {url}: {detail}; {remedy}")]
    Certificate {
        /// The repository.
        url: String,
        /// What is wrong with the certificate.
        detail: String,
        /// What to do.
        remedy: &'static str,
        /// The attempt.
        source: reqwest::Error,
    },
    /// The server refuses to answer to whoever we say we are.
    #[error("{url} {detail}: {remedy}{remote}")]
    Authenticate {
        /// The repository.
        url: String,
        /// What the server did.
        detail: String,
        /// What to do.
        remedy: &'static str,
        /// What it said about it, cut and redacted; empty or with `; it said ` before it.
        remote: String,
    },
    /// The repository is empty, or has no such branch or tag.
    #[error("{url} has no {reference}{hint}")]
    FindReference {
        /// The repository.
        url: String,
        /// What was looked for.
        reference: Reference,
        /// What there is instead.
        hint: String,
    },
    /// The commit is not there, or nowhere to be found from where we may look.
    #[error(
        "{url} has no commit {commit} that can be reached from a branch or tag: \
         was it removed by a forced push? Point the reference at a commit that exists"
    )]
    FindCommit {
        /// The repository.
        url: String,
        /// The commit.
        commit: String,
    },
    /// The server points to another one.
    #[error(
        "{url} redirects to {target}, which is another host: neither credentials nor requests follow there; \
         if the repository has moved, put its new address into the URL"
    )]
    Redirect {
        /// The repository.
        url: String,
        /// Where to.
        target: String,
    },
    /// The server is there and answers with an error.
    #[error("{url} answers {status}; {remedy}{remote}")]
    Status {
        /// The repository.
        url: String,
        /// The HTTP status.
        status: StatusCode,
        /// What to do.
        remedy: &'static str,
        /// What it said about it, cut and redacted; empty or with `; it said ` before it.
        remote: String,
    },
    /// What answers is no git server, or speaks no protocol that we know.
    #[error("{url} does not answer like a git server ({detail}): check that the URL names a repository")]
    Answer {
        /// The repository.
        url: String,
        /// What was wrong with the answer.
        detail: String,
    },
    /// The commit's objects did not come whole.
    #[error("the download from {url} is incomplete or damaged ({detail}); if it stays so, the repository on the server needs `git fsck`")]
    ReadPack {
        /// The repository.
        url: String,
        /// What was wrong with it, and what the server said.
        detail: String,
    },
    /// The answer, or one object in it, is larger than allowed.
    #[error("{url} has {what} of more than {limit} bytes, the limit: build from a smaller repository")]
    TooLarge {
        /// The repository.
        url: String,
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The server does not answer in time.
    #[error("{url} did not answer within {limit:?}; it may be overloaded, or a firewall may swallow the packets")]
    Timeout {
        /// The repository.
        url: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The work was stopped from outside.
    #[error("stopped while talking to {url}")]
    Stopped {
        /// The repository.
        url: String,
    },
    /// Something on our side: the client cannot be made, or the disk does not take the download.
    #[error("cannot fetch from {url}, for a reason on this side: {detail}")]
    Prepare {
        /// The repository.
        url: String,
        /// What failed.
        detail: String,
    },
}

impl GitError {
    /// The condition's reason. A server that does not answer in time counts as unreachable; `Reason::Timeout` is for stages.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Address { .. } => Reason::InvalidSpec,
            Self::Connect { .. }
            | Self::Read { .. }
            | Self::Certificate { .. }
            | Self::Redirect { .. }
            | Self::Status { .. }
            | Self::Answer { .. }
            | Self::ReadPack { .. }
            | Self::Timeout { .. }
            | Self::Prepare { .. } => Reason::SourceUnreachable,
            Self::Authenticate { .. } => Reason::SourceAuthFailed,
            Self::FindReference { .. } | Self::FindCommit { .. } => Reason::RefNotFound,
            Self::TooLarge { .. } => Reason::SourceInvalid,
            Self::Stopped { .. } => Reason::Lost,
        }
    }

    /// Whether the same question may be answered later although nobody has changed anything on our side.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Read { .. }
            | Self::ReadPack { .. }
            | Self::Timeout { .. }
            | Self::Stopped { .. }
            | Self::Prepare { .. } => true,
            Self::Status { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Address { .. }
            | Self::Certificate { .. }
            | Self::Authenticate { .. }
            | Self::FindReference { .. }
            | Self::FindCommit { .. }
            | Self::Redirect { .. }
            | Self::Answer { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    /// From an attempt that brought no answer; `waited` is the limit that a timeout has exceeded.
    pub(super) fn from_attempt(url: &str, error: reqwest::Error, waited: Duration) -> Self {
        // The error would repeat the whole address, query included.
        let (url, error) = (url.to_owned(), error.without_url());
        if error.is_timeout() {
            return Self::Timeout { url, limit: waited };
        }
        let detail = innermost(&error);
        match certificate_problem(&error) {
            Some((detail, remedy)) => Self::Certificate { url, detail, remedy, source: error },
            None if error.is_connect() => Self::Connect { url, detail, source: error },
            None => Self::Read { url, detail, source: error },
        }
    }

    /// From an answer that is not a success.
    pub(super) fn from_status(url: &str, status: StatusCode, anonymous: bool, text: &str) -> Self {
        let url = url.to_owned();
        let remote = match text.trim() {
            "" => String::new(),
            text => format!("; it said: {text}"),
        };
        let remedy = match (status, anonymous) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, true) => {
                "check the URL; if the repository is private, name a Secret with \
                 `username` and `password`, or `bearerToken`, in `source.git.secretRef`"
            }
            (StatusCode::UNAUTHORIZED, false) => {
                "check the user, password or token in the Secret of `source.git.secretRef`; it may have expired"
            }
            (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, false) => {
                "check the URL, and that the user or token in the Secret of `source.git.secretRef` may read this repository"
            }
            (status, _) if status.is_server_error() => "the server has a problem of its own; it is asked again",
            (StatusCode::TOO_MANY_REQUESTS, _) => "it wants fewer requests; a longer `interval` or credentials help",
            _ => "check that the URL names a repository",
        };
        let detail = match (status, anonymous) {
            (StatusCode::UNAUTHORIZED, true) => "asks for credentials (401)".to_owned(),
            (StatusCode::UNAUTHORIZED, false) => "refuses the credentials (401)".to_owned(),
            (StatusCode::FORBIDDEN, _) => "forbids reading (403)".to_owned(),
            (StatusCode::NOT_FOUND, true) => "does not exist, or is hidden from the anonymous (404)".to_owned(),
            _ => return Self::Status { url, status, remedy, remote },
        };
        Self::Authenticate { url, detail, remedy, remote }
    }
}

/// A remote's text, fit for a message of ours: redacted, on one line, cut.
pub(super) fn remote_text(text: &str, secrets: &[&str]) -> String {
    let text = redact::redact(text, secrets);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    redact::head(&text, REMOTE_TEXT_LIMIT)
}

/// The texts of an error and its causes, the innermost last, without repetitions.
pub(super) fn causes(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        next = cause(error);
    }
    texts
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).pop().unwrap_or_default()
}

/// The next cause. An `io::Error` names the cause of what it wraps as its own, and so hides what it wraps.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
        None => error.source(),
    }
}

/// What is wrong with a certificate, and what to do about it, where that is what the error is about.
fn certificate_problem(error: &(dyn Error + 'static)) -> Option<(String, &'static str)> {
    use rustls::CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(problem @ rustls::Error::InvalidCertificate(kind)) = error.downcast_ref::<rustls::Error>() {
            let remedy = match kind {
                UnknownIssuer => "put the PEM certificates of its authority into the Secret of `source.git.secretRef` as `ca.crt`",
                Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
                    "its certificate must be renewed, or a clock is wrong"
                }
                NotValidForName | NotValidForNameContext { .. } => "use the host name that the certificate was issued for",
                _ => {
                    "its certificate must be replaced, or its authority's PEM certificates be put into \
                     the Secret of `source.git.secretRef` as `ca.crt`"
                }
            };
            return Some((problem.to_string(), remedy));
        }
        next = cause(error);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://git.example.com/a.git";

    #[test]
    fn statuses_become_reasons_and_remedies() {
        let table = [
            (401, true, Reason::SourceAuthFailed, false, "asks for credentials (401): check the URL; if the repository is private"),
            (401, false, Reason::SourceAuthFailed, false, "refuses the credentials (401)"),
            (403, false, Reason::SourceAuthFailed, false, "may read this repository"),
            (404, true, Reason::SourceAuthFailed, false, "does not exist, or is hidden"),
            (404, false, Reason::SourceUnreachable, false, "answers 404 Not Found; check the URL, and that the user"),
            (429, false, Reason::SourceUnreachable, true, "fewer requests"),
            (503, true, Reason::SourceUnreachable, true, "asked again"),
            (302, true, Reason::SourceUnreachable, false, "names a repository"),
        ];
        for (status, anonymous, reason, transient, words) in table {
            let error = GitError::from_status(URL, StatusCode::from_u16(status).expect("a status"), anonymous, "");
            assert_eq!((error.reason(), error.is_transient()), (reason, transient), "{error}");
            assert!(error.to_string().contains(words) && error.to_string().contains(URL), "{error}");
        }
    }

    #[test]
    fn remote_texts_are_cut_and_redacted() {
        let text = remote_text(&format!("denied\nfor hunter2222 {}", "x".repeat(999)), &["hunter2222"]);
        assert!(text.starts_with("denied for *** xxx") && text.len() == 256, "{text}");
        let error = GitError::from_status(URL, StatusCode::FORBIDDEN, false, "rate limit");
        assert!(error.to_string().ends_with("; it said: rate limit"), "{error}");
    }
}
