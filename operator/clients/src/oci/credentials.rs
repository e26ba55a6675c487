//! Which credentials belong to which registry?
//!
//! Read from a docker configuration (`config.json`, or a Secret of type `kubernetes.io/dockerconfigjson`). Hosts are
//! matched exactly, and a credential is sent to its own host only (SE7). Credential helpers that such a file names are
//! programs, and a file from elsewhere must not start programs: they are never run.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// How docker's own registry is named in references.
pub(super) const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_ALIASES: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// Credentials by registry host.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    hosts: BTreeMap<String, Credential>,
    notes: Vec<String>,
}

/// One registry's credential.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// User and password, or a token in its place.
    Password {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// A refresh token to exchange for access tokens.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(***)")
    }
}

impl Credential {
    /// What must never be shown.
    pub(super) fn secrets(&self) -> Vec<String> {
        match self {
            Self::Password { username, password } => vec![password.clone(), STANDARD.encode(format!("{username}:{password}"))],
            Self::IdentityToken(token) => vec![token.clone()],
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerConfig {
    #[serde(default)]
    auths: Option<BTreeMap<String, DockerAuth>>,
    #[serde(default)]
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DockerAuth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl Credentials {
    /// None: everything is asked for anonymously.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads a docker configuration.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without any of its content.
    pub fn from_docker_config(bytes: &[u8]) -> Result<Self, String> {
        let config: DockerConfig = serde_json::from_slice(bytes).map_err(|error| {
            format!("the docker configuration is not the JSON that it should be (line {}, column {})", error.line(), error.column())
        })?;
        let mut credentials = Self::default();
        for (key, auth) in config.auths.unwrap_or_default() {
            let Some(host) = host_of(&key) else {
                credentials.notes.push(format!("credentials for {key:?} are not used: only whole hosts are matched"));
                continue;
            };
            if let Some(credential) =
                credential(&auth).map_err(|problem| format!("the docker configuration's entry for {host} {problem}"))?
            {
                credentials.hosts.insert(host, credential);
            }
        }
        let helpers = config.cred_helpers.unwrap_or_default().len() + config.creds_store.iter().filter(|store| !store.is_empty()).count();
        if helpers > 0 {
            credentials.notes.push("the docker configuration names credential helpers (credsStore or credHelpers); they are not run, only credentials written in its auths are used".into());
        }
        Ok(credentials)
    }

    /// Of one registry.
    pub fn of_host(host: &str, username: &str, password: &str) -> Self {
        let credential = Credential::Password { username: username.into(), password: password.into() };
        Self { hosts: host_of(host).map(|host| (host, credential)).into_iter().collect(), notes: Vec::new() }
    }

    /// Reads a docker configuration file.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Self::from_docker_config(&bytes).map_err(|problem| format!("{}: {problem}", path.display()))
    }

    /// The credential of exactly this host.
    pub fn of(&self, host: &str) -> Option<&Credential> {
        self.hosts.get(&host_of(host)?)
    }

    /// What the person who wrote the configuration should know.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Keys may be addresses (`https://index.docker.io/v1/`); other paths would mean a narrower scope than a host.
fn host_of(key: &str) -> Option<String> {
    let address = key.trim_start_matches("https://").trim_start_matches("http://");
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    if host.is_empty() || !["", "v1", "v2"].contains(&path.trim_end_matches('/')) {
        return None;
    }
    let host = host.to_ascii_lowercase();
    Some(if DOCKER_HUB_ALIASES.contains(&host.as_str()) { DOCKER_HUB.into() } else { host })
}

fn credential(auth: &DockerAuth) -> Result<Option<Credential>, String> {
    let filled = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    if let Some(token) = filled(&auth.identitytoken) {
        return Ok(Some(Credential::IdentityToken(token)));
    }
    if let (Some(username), Some(password)) = (filled(&auth.username), filled(&auth.password)) {
        return Ok(Some(Credential::Password { username, password }));
    }
    let Some(encoded) = filled(&auth.auth) else { return Ok(None) };
    let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.as_deref().and_then(|text| text.split_once(':')) {
        Some((username, password)) => {
            Ok(Some(Credential::Password { username: username.into(), password: password.trim_end_matches('\0').into() }))
        }
        None => Err("has an `auth` that is not base64 of user:password".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Credentials {
        Credentials::from_docker_config(json.as_bytes()).expect("a configuration")
    }

    fn password(username: &str, password: &str) -> Option<Credential> {
        Some(Credential::Password { username: username.into(), password: password.into() })
    }

    #[test]
    fn all_three_spellings_are_read() {
        let all = read(
            r#"{"auths":{"a.example":{"auth":"dTpwOnE="},"b.example:5000":{"username":"u","password":"p"},
               "c.example":{"auth":"dTpw","identitytoken":"refresh"},"d.example":{}}}"#,
        );
        assert_eq!(all.of("a.example").cloned(), password("u", "p:q"));
        assert_eq!(all.of("b.example:5000").cloned(), password("u", "p"));
        assert_eq!(all.of("c.example").cloned(), Some(Credential::IdentityToken("refresh".into())));
        assert_eq!(all.of("d.example"), None);
    }

    #[test]
    fn hosts_are_matched_exactly() {
        let all =
            read(r#"{"auths":{"example.com":{"auth":"dTpw"},"https://x.example/v1/":{"auth":"dTpw"},"y.example/team":{"auth":"dTpw"}}}"#);
        for host in ["evil.example.com", "example.com.evil", "example.com:5000", "y.example", "com", ""] {
            assert_eq!(all.of(host), None, "{host}");
        }
        assert!(all.of("example.com").is_some() && all.of("x.example").is_some());
        assert_eq!(all.notes().len(), 1);
    }

    #[test]
    fn docker_hub_has_several_names() {
        let all = read(r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}}}"#);
        assert!(all.of("docker.io").is_some() && all.of("registry-1.docker.io").is_some());
    }

    #[test]
    fn helpers_are_mentioned_and_errors_show_no_content() {
        assert!(read(r#"{"credsStore":"desktop"}"#).notes()[0].contains("not run"));
        let error = Credentials::from_docker_config(br#"{"auths":{"h":{"auth":"c2VjcmV0"}}}"#).expect_err("no colon");
        assert!(error.contains("entry for h") && !error.contains("c2VjcmV0"));
        assert!(Credentials::from_docker_config(b"{\"auths\": \"hunter2\"}").is_err_and(|error| !error.contains("hunter2")));
        assert!(!format!("{:?}", read(r#"{"auths":{"h":{"username":"u","password":"hunter2"}}}"#)).contains("hunter2"));
    }
}
