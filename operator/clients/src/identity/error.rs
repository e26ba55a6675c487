//! Which server did not do its part of an exchange, and what should be done about it?
//!
//! Their words are shown, because they hold the reason (`AADSTS70021: ...`), but only after what was sent and what looks like a secret
//! is out, and cut.

use gowindows_crds::conditions::Reason;
use gowindows_model::call_error::CallError;
use gowindows_model::redact::{head, redact};
use serde_json::Value;
use std::path::PathBuf;
use thiserror::Error;

/// Longest words of a server that are shown, in bytes.
const LONGEST_WORDS: usize = 256;

/// Why there is no password.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// 4xx: it was understood and not granted.
    #[error("image.identity: cannot {attempt}: {server} refused it (HTTP {status}{words}); {remedy}")]
    Refused {
        /// What was tried; fits after "cannot".
        attempt: &'static str,
        /// The server.
        server: String,
        /// Its answer.
        status: u16,
        /// Its words, with a leading `, `.
        words: String,
        /// What to do.
        remedy: String,
    },
    /// 429, 5xx, or a 4xx that says that it may pass.
    #[error("image.identity: cannot {attempt} at the moment: {server} answers HTTP {status}{words}; this may pass by itself")]
    Unavailable {
        /// What was tried; fits after "cannot".
        attempt: &'static str,
        /// The server.
        server: String,
        /// Its answer.
        status: u16,
        /// Its words, with a leading `, `.
        words: String,
    },
    /// No connection, or no answer in time.
    #[error(
        "image.identity: cannot {attempt}: {server} could not be reached: {cause}; check the network, and identity of this registry in the operator's settings where it has private endpoints"
    )]
    Unreachable {
        /// What was tried; fits after "cannot".
        attempt: &'static str,
        /// The server.
        server: String,
        /// The innermost cause.
        cause: String,
    },
    /// A success that holds nothing of use.
    #[error("image.identity: cannot {attempt}: {server} gave an answer that cannot be right: {problem}; is there a proxy in front of it?")]
    Invalid {
        /// What was tried; fits after "cannot".
        attempt: &'static str,
        /// The server.
        server: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The token that the kubelet should have written.
    #[error("image.identity: cannot read the ServiceAccount's token {file}")]
    ReadToken {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The certificates in the settings, or an address.
    #[error("image.identity: {0}")]
    Local(String),
}

impl IdentityError {
    /// Whether the same exchange may succeed later without anybody changing anything.
    pub fn transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable { .. })
    }

    /// The condition reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Refused { .. } => Reason::IdentityRefused,
            Self::Unavailable { .. } | Self::Unreachable { .. } | Self::Invalid { .. } | Self::Local(_) => Reason::IdentityUnreachable,
            Self::ReadToken { .. } => Reason::IdentityUnavailable,
        }
    }
}

impl From<IdentityError> for CallError {
    fn from(error: IdentityError) -> Self {
        Self { reason: error.reason(), message: format!("{}.", error.to_string().trim_end_matches('.')) }
    }
}

/// What a server said in one of the forms that these servers know, fit to be shown, with a leading `, `.
pub(super) fn words(body: &[u8], secrets: &[&str]) -> String {
    let text = String::from_utf8_lossy(body);
    let said = json_words(&text).or_else(|| xml_words(&text)).unwrap_or_else(|| text.into_owned());
    let one_line = redact(&said, secrets).split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.is_empty() { one_line } else { format!(", {}", head(one_line.trim_end_matches('.'), LONGEST_WORDS)) }
}

/// OAuth's `error` and `error_description`, Google's `error.status` and `.message`, a registry's `errors[]`, AWS' `__type` and `message`.
fn json_words(text: &str) -> Option<String> {
    let body: Value = serde_json::from_str(text).ok()?;
    let known = [
        (body.get("error"), body.get("error_description")),
        (body.pointer("/error/status"), body.pointer("/error/message")),
        (body.pointer("/errors/0/code"), body.pointer("/errors/0/message")),
        (body.get("__type"), body.get("message").or(body.get("Message"))),
    ];
    let said = known.into_iter().find_map(|(code, message)| {
        let parts: Vec<&str> = [code, message].into_iter().flatten().filter_map(Value::as_str).collect();
        (!parts.is_empty()).then(|| parts.join(": "))
    });
    Some(said.unwrap_or_default())
}

/// `<Error><Code>..</Code><Message>..</Message></Error>` of AWS.
fn xml_words(text: &str) -> Option<String> {
    let part = |name: &str| element(text, name).map(str::to_owned);
    Some(format!("{}: {}", part("Code")?, part("Message").unwrap_or_default()))
}

/// The text of the only element of this name, where it has no markup in it.
pub(super) fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, after) = rest.split_once(&format!("</{name}>"))?;
    let single = !after.contains(&format!("<{name}>"));
    (single && !value.contains(['<', '&'])).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_cloud_are_found_and_masked() {
        let table = [
            (
                "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not authorized</Message></Error></ErrorResponse>",
                ", AccessDenied: Not authorized",
            ),
            (
                r#"{"__type":"AccessDeniedException","message":"no ecr:GetAuthorizationToken"}"#,
                ", AccessDeniedException: no ecr:GetAuthorizationToken",
            ),
            (
                r#"{"error":"invalid_client","error_description":"AADSTS70021: No match.\r\nTrace ID: 1"}"#,
                ", invalid_client: AADSTS70021: No match. Trace ID: 1",
            ),
            (r#"{"error":{"code":403,"message":"denied","status":"PERMISSION_DENIED"}}"#, ", PERMISSION_DENIED: denied"),
            (r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#, ", UNAUTHORIZED: authentication required"),
            (r#"{"error":"invalid_grant","error_description":"you sent canary-token"}"#, ", invalid_grant: you sent ***"),
            ("you sent eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", ", you sent ***"),
            (r#"{"unknown": "form"}"#, ""),
            ("", ""),
        ];
        for (body, shown) in table {
            assert_eq!(words(body.as_bytes(), &["canary-token"]), shown, "{body}");
        }
        assert!(words("x ".repeat(4000).as_bytes(), &[]).len() <= LONGEST_WORDS + 2);
    }

    #[test]
    fn an_element_is_one_and_plain() {
        assert_eq!(element("<a><b>c</b></a>", "b"), Some("c"));
        for text in ["<b>c</b><b>d</b>", "<b><c/></b>", "<b>&amp;</b>", "<b>c", "c</b>", ""] {
            assert_eq!(element(text, "b"), None, "{text}");
        }
    }
}
