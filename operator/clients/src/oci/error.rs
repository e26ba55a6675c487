//! What went wrong between us and a registry, and what should be done about it?
//!
//! Texts from a registry are shown, because they often hold the reason, but cut and masked first: a registry may echo what
//! it was sent (SE1, SE2).

use gowindows_crds::conditions::Reason;
use std::time::Duration;
use thiserror::Error;

/// The first pause between two tries is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A registry that asks for a longer pause is asked before it likes.
const LONGEST_ASKED_PAUSE: Duration = Duration::from_secs(120);

/// Why a registry did not do what was asked. Every variant names the attempt (such as `read manifest shop/app:gw-1`).
#[derive(Debug, Error)]
pub enum OciError {
    /// 401 or 403, from the registry or its token server.
    #[error("cannot {attempt}: {host} refused it (HTTP {status}{detail}); {remedy}")]
    AuthRefused {
        /// The registry.
        host: String,
        /// What was tried; fits after "cannot".
        attempt: String,
        /// Its answer.
        status: u16,
        /// Its words, with a leading `, `.
        detail: String,
        /// What to do.
        remedy: String,
    },
    /// Another 4xx: what was asked is nothing that this registry does.
    #[error("cannot {attempt}: {host} refuses it (HTTP {status}{detail}); {remedy}")]
    Refused {
        /// The registry.
        host: String,
        /// What was tried; fits after "cannot".
        attempt: String,
        /// Its answer.
        status: u16,
        /// Its words, with a leading `, `.
        detail: String,
        /// What to do.
        remedy: &'static str,
    },
    /// 404 where something was to be read.
    #[error(
        "{host} has nothing to {attempt} (HTTP 404{detail}): check repository, tag and digest for typing errors, and that it was pushed"
    )]
    NotFound {
        /// The registry.
        host: String,
        /// What was tried; fits after "cannot".
        attempt: String,
        /// Its words, with a leading `, `.
        detail: String,
    },
    /// No connection, or none in time.
    #[error(
        "cannot {attempt}: {host} could not be reached: {cause}; check the name, the network and, in the operator's settings, caFile for a private authority or plainHTTP for a registry without TLS (--insecure-registry on the command line)"
    )]
    Unreachable {
        /// The registry.
        host: String,
        /// What was tried; fits after "cannot".
        attempt: String,
        /// The innermost cause.
        cause: String,
    },
    /// A connection that was there, and ended in the middle.
    #[error("cannot {attempt}: the connection broke while {host} was being spoken to: {cause}; this may pass by itself")]
    Broken {
        /// The registry.
        host: String,
        /// What was tried; fits after "cannot".
        attempt: String,
        /// The innermost cause.
        cause: String,
    },
    /// 429 or 5xx.
    #[error("cannot {attempt} at the moment: {host} answers HTTP {status}{detail}; this may pass by itself")]
    Unavailable {
        /// The registry.
        host: String,
        /// What was tried; fits after "cannot".
        attempt: String,
        /// Its answer.
        status: u16,
        /// Its words, with a leading `, `.
        detail: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// An answer that cannot be right.
    #[error("cannot {attempt}: {host} gave an answer that cannot be right: {detail}; look at the registry, or at a proxy in front of it")]
    Invalid {
        /// The registry.
        host: String,
        /// What was tried; fits after "cannot".
        attempt: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Something of ours: a reference, a setting, a file.
    #[error("cannot {attempt}: {detail}")]
    Local {
        /// What was tried; fits after "cannot".
        attempt: String,
        /// What is wrong.
        detail: String,
    },
}

impl OciError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Broken { .. } | Self::Unavailable { .. })
    }

    /// The same error, of a registry that was asked after its mirror had failed.
    pub(super) fn after_mirror(mut self, mirror: &Self) -> Self {
        match &mut self {
            Self::AuthRefused { attempt, .. }
            | Self::Refused { attempt, .. }
            | Self::NotFound { attempt, .. }
            | Self::Unreachable { attempt, .. }
            | Self::Broken { attempt, .. }
            | Self::Unavailable { attempt, .. }
            | Self::Invalid { attempt, .. }
            | Self::Local { attempt, .. } => *attempt = format!("{attempt} (its mirror was asked before: {mirror})"),
        }
        self
    }

    /// When the registry wants to be asked again, if it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// How long to wait before the next try after so many: as long as the registry asks for, else longer each time.
    pub(super) fn pause(&self, tried: u32) -> Duration {
        match self.retry_after() {
            Some(asked) => asked.min(LONGEST_ASKED_PAUSE),
            None => (FIRST_PAUSE * 2_u32.pow(tried.min(6))).min(LONGEST_PAUSE),
        }
    }

    /// The HTTP status of a refusal.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::AuthRefused { status, .. } | Self::Refused { status, .. } | Self::Unavailable { status, .. } => Some(*status),
            Self::NotFound { .. } => Some(404),
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Invalid { .. } | Self::Local { .. } => None,
        }
    }

    /// The condition reason for a failure at the target repository.
    pub fn reason(&self) -> Reason {
        match self {
            Self::AuthRefused { .. } => Reason::RegistryAuthFailed,
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Unavailable { .. } => Reason::RegistryUnreachable,
            Self::Refused { .. } | Self::NotFound { .. } | Self::Invalid { .. } => Reason::RegistryInvalid,
            Self::Local { .. } => Reason::AssembleFailed,
        }
    }

    /// Something on this side: a file, a task.
    pub fn local(attempt: impl Into<String>, detail: impl ToString) -> Self {
        Self::Local { attempt: attempt.into(), detail: detail.to_string() }
    }
}

/// The longest text of a registry that is passed on, in bytes.
const LONGEST_REMOTE_TEXT: usize = 256;

/// Makes a registry's words fit to be shown: its error messages only, one line, secrets masked, cut.
pub(super) fn remote_text(body: &[u8], secrets: &[String]) -> String {
    let text = String::from_utf8_lossy(body);
    let said = registry_messages(&text).unwrap_or_else(|| text.into_owned());
    let masked = mask(&said, secrets);
    if masked.is_empty() { masked } else { format!(", {}", cut(&masked)) }
}

/// `{"errors": [{"code": ..., "message": ...}]}` of the distribution specification.
fn registry_messages(text: &str) -> Option<String> {
    let body: serde_json::Value = serde_json::from_str(text).ok()?;
    let errors = body.get("errors")?.as_array()?;
    let field = |error: &serde_json::Value, name: &str| error.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_string();
    Some(errors.iter().map(|error| format!("{}: {}", field(error, "code"), field(error, "message"))).collect::<Vec<_>>().join("; "))
}

/// Replaces known secrets, and what looks like credentials, by `***`.
fn mask(text: &str, secrets: &[String]) -> String {
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
        text = text.replace(secret.as_str(), "***");
    }
    let mut credential_follows = false;
    let words = text.split_whitespace().map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_ascii_lowercase();
        let scheme = ["bearer", "basic"]
            .iter()
            .any(|scheme| bare == *scheme || bare.ends_with(&format!(":{scheme}")) || bare.ends_with(&format!("={scheme}")));
        let masked = if credential_follows && !scheme { "***".to_string() } else { masked_parameter(word) };
        credential_follows = scheme;
        masked
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `token=abc` becomes `token=***`.
fn masked_parameter(word: &str) -> String {
    const NAMES: [&str; 8] = ["token", "password", "passwd", "secret", "signature", "credential", "authorization", "sig"];
    let lower = word.to_ascii_lowercase();
    let hit = NAMES.iter().filter_map(|name| lower.find(&format!("{name}=")).map(|at| at + name.len() + 1)).min();
    // Lower-casing ASCII keeps byte positions.
    hit.and_then(|at| word.get(..at)).map_or_else(|| word.to_string(), |start| format!("{start}***"))
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_REMOTE_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoed_credentials_are_masked() {
        let secrets = ["s3cret-password".to_string()];
        for (said, shown) in [
            ("denied for s3cret-password!", ", denied for ***!"),
            ("bad header Authorization: Bearer eyJhbGciOi.J9", ", bad header Authorization: Bearer ***"),
            ("got 'Basic dXNlcjpwYXNz' from you", ", got 'Basic *** from you"),
            ("see https://x/y?a=1&X-Amz-Signature=abcdef&b=2", ", see https://x/y?a=1&X-Amz-Signature=***"),
            ("TOKEN=abc", ", TOKEN=***"),
            ("line\r\nbreak\x1b[31m", ", line break [31m"),
            ("", ""),
        ] {
            assert_eq!(remote_text(said.as_bytes(), &secrets), shown);
        }
    }

    #[test]
    fn the_specified_error_body_is_read() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no push","detail":{"x":"Bearer abc"}}]}"#;
        assert_eq!(remote_text(body, &[]), ", DENIED: no push");
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let text = remote_text("ä".repeat(1000).as_bytes(), &[]);
        assert!(text.len() <= LONGEST_REMOTE_TEXT + 2 && text.ends_with('ä'));
    }
}
