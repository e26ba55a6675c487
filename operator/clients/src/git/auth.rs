//! Which credentials and authorities does a Secret hold?
//!
//! The keys are those that Flux uses, so that a Secret made for it works here: `username` and `password`, or `bearerToken`; and
//! `ca.crt` or `caFile`. Contents never appear in an error or in `Debug`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gowindows_crds::conditions::Reason;
use reqwest::Certificate;
use reqwest::header::HeaderValue;
use std::collections::BTreeMap;
use std::path::Path;
use std::{fmt, fs, io};

const USERNAME: &str = "username";
const PASSWORD: &str = "password";
const BEARER_TOKEN: &str = "bearerToken";
const CA_CRT: &str = "ca.crt";
const CA_FILE: &str = "caFile";
/// Every key that means something.
const KEYS: [&str; 5] = [USERNAME, PASSWORD, BEARER_TOKEN, CA_CRT, CA_FILE];

/// A value that must not be seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How to introduce oneself to a git server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    #[default]
    Anonymous,
    /// HTTP Basic; most hosts take a token as the password.
    Basic {
        /// The user.
        username: String,
        /// The password or token.
        password: Secret,
    },
    /// `Authorization: Bearer`.
    Bearer {
        /// The token.
        token: Secret,
    },
}

/// Credentials, and the authority that the server's certificate comes from where it is a private one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitAuth {
    /// Sent to the repository's own host and to no other.
    pub credentials: Credentials,
    /// PEM certificates that are trusted beside the public authorities.
    pub ca_pem: Option<Vec<u8>>,
}

/// Why a Secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// A key that belongs to another one is absent.
    #[error("the Secret has no key `{missing}`, which belongs to its key `{present}`{hint}")]
    Incomplete {
        /// The key that is there.
        present: &'static str,
        /// The key that is not.
        missing: &'static str,
        /// What may stand in it.
        hint: &'static str,
    },
    /// Two ways to introduce oneself.
    #[error("the Secret has both `bearerToken` and `password`: keep the one that the git server expects")]
    Ambiguous,
    /// None of the keys is there.
    #[error(
        "the Secret has none of the keys `username` and `password`, `bearerToken`, `ca.crt` (or `caFile`): \
         put in those that the git server needs"
    )]
    Empty,
    /// A value cannot be sent.
    #[error("the Secret's key `{key}` is empty or not printable text: check how it was encoded")]
    NotText {
        /// The key.
        key: &'static str,
    },
    /// A value is no certificate.
    #[error("the Secret's key `{key}` holds no PEM certificate (`-----BEGIN CERTIFICATE-----`)")]
    NotACertificate {
        /// The key.
        key: &'static str,
    },
    /// The mounted Secret cannot be read.
    #[error("cannot read `{key}` of the mounted Secret")]
    ReadFile {
        /// The key.
        key: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl AuthError {
    /// The condition's reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::ReadFile { .. } => Reason::SecretUnavailable,
            _ => Reason::SecretInvalid,
        }
    }
}

impl GitAuth {
    /// Reads the data of a Secret. A line break at the end of a value, as `--from-file` leaves it, is not part of it.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, AuthError> {
        let has = |key: &str| data.contains_key(key);
        if !KEYS.iter().any(|key| has(key)) {
            return Err(AuthError::Empty);
        }
        let credentials = match (has(USERNAME), has(PASSWORD), has(BEARER_TOKEN)) {
            (_, true, true) => return Err(AuthError::Ambiguous),
            (_, _, true) => Credentials::Bearer { token: Secret::new(token(data)?) },
            (true, true, false) => Credentials::Basic { username: text(data, USERNAME)?, password: Secret::new(text(data, PASSWORD)?) },
            (true, false, false) => return Err(AuthError::Incomplete { present: USERNAME, missing: PASSWORD, hint: "" }),
            (false, true, false) => {
                let hint = " (with a token as the password, any name will do on most hosts: `git`)";
                return Err(AuthError::Incomplete { present: PASSWORD, missing: USERNAME, hint });
            }
            (false, false, false) => Credentials::Anonymous,
        };
        let ca_pem = match [CA_CRT, CA_FILE].into_iter().find(|key| has(key)) {
            Some(key) => Some(certificates(data, key)?),
            None => None,
        };
        Ok(Self { credentials, ca_pem })
    }

    /// The keys of a Secret that mean something here.
    pub fn keys(data: &BTreeMap<String, Vec<u8>>) -> impl Iterator<Item = &'static str> {
        KEYS.into_iter().filter(|key| data.contains_key(*key))
    }

    /// Reads a Secret that is mounted as a folder.
    pub fn from_folder(folder: &Path) -> Result<Self, AuthError> {
        let mut data = BTreeMap::new();
        for key in KEYS {
            match fs::read(folder.join(key)) {
                Ok(value) => data.insert(key.to_owned(), value),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(source) => return Err(AuthError::ReadFile { key, source }),
            };
        }
        Self::from_secret(&data)
    }

    /// The values that must not appear in a text.
    pub fn secrets(&self) -> Vec<&str> {
        match &self.credentials {
            Credentials::Anonymous => Vec::new(),
            Credentials::Basic { username: _, password: secret } | Credentials::Bearer { token: secret } => vec![secret.reveal()],
        }
    }

    /// Whether it holds credentials.
    pub fn is_anonymous(&self) -> bool {
        self.credentials == Credentials::Anonymous
    }

    /// The value of the `Authorization` header. `None` for the anonymous.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let text = match &self.credentials {
            Credentials::Anonymous => return None,
            Credentials::Basic { username, password } => {
                format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.reveal())))
            }
            Credentials::Bearer { token } => format!("Bearer {}", token.reveal()),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

fn text(data: &BTreeMap<String, Vec<u8>>, key: &'static str) -> Result<String, AuthError> {
    let bytes = data.get(key).map(Vec::as_slice).unwrap_or_default();
    let value = std::str::from_utf8(bytes).unwrap_or_default().trim_end_matches(['\r', '\n']);
    if value.is_empty() || value.chars().any(char::is_control) {
        return Err(AuthError::NotText { key });
    }
    Ok(value.to_owned())
}

/// A token stands in a header as it is.
fn token(data: &BTreeMap<String, Vec<u8>>) -> Result<String, AuthError> {
    let token = text(data, BEARER_TOKEN)?;
    let legal = token.bytes().all(|byte| byte.is_ascii_graphic());
    legal.then_some(token).ok_or(AuthError::NotText { key: BEARER_TOKEN })
}

fn certificates(data: &BTreeMap<String, Vec<u8>>, key: &'static str) -> Result<Vec<u8>, AuthError> {
    let pem = data.get(key).cloned().unwrap_or_default();
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(pem),
        _ => Err(AuthError::NotACertificate { key }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(entries: &[(&str, &str)]) -> Result<GitAuth, String> {
        let data = entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        GitAuth::from_secret(&data).map_err(|error| error.to_string())
    }

    #[test]
    fn credentials_are_read_without_the_line_break_of_a_file() {
        let basic = parse(&[("username", "git\n"), ("password", "hunter2222\n"), ("known_hosts", "x")]).expect("basic");
        assert_eq!(basic.credentials, Credentials::Basic { username: "git".into(), password: Secret::new("hunter2222") });
        assert_eq!(basic.secrets(), ["hunter2222"]);
        assert_eq!(basic.authorization().expect("a header").to_str().expect("text"), "Basic Z2l0Omh1bnRlcjIyMjI=");
        let bearer = parse(&[("bearerToken", "abc.def")]).expect("bearer");
        assert_eq!(bearer.authorization().expect("a header").to_str().expect("text"), "Bearer abc.def");
    }

    #[test]
    fn errors_name_the_key_and_never_the_content() {
        let table: [(&[(&str, &str)], &str); 9] = [
            (&[], "none of the keys"),
            (&[("token", "canary")], "none of the keys"),
            (&[("username", "canary")], "no key `password`"),
            (&[("password", "canary")], "no key `username`"),
            (&[("password", "canary"), ("bearerToken", "canary")], "both `bearerToken` and `password`"),
            (&[("bearerToken", "canary\nX-Evil: 1")], "key `bearerToken` is empty or not printable"),
            (&[("bearerToken", "canary \u{e9}")], "key `bearerToken` is empty or not printable"),
            (&[("username", "git"), ("password", "\n")], "key `password` is empty"),
            (&[("caFile", "canary")], "key `caFile` holds no PEM certificate"),
        ];
        for (entries, expected) in table {
            let message = parse(entries).expect_err(expected);
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("canary"), "{message}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let auth = GitAuth { credentials: Credentials::Bearer { token: Secret::new("canary") }, ca_pem: None };
        assert!(!format!("{auth:?}").contains("canary"));
        assert!(!format!("{:?}", auth.authorization()).contains("canary"));
    }
}
