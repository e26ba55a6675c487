//! With what is a registry opened? The data of a Secret as it is now, or a password that a cloud gives for a token of a ServiceAccount.
//!
//! A password is kept in memory until shortly before it is over, so that not every look at a registry asks three servers; for an hour at
//! most, since who may have one may change; and not after the registry has refused it. It is handed on in the form of a docker configuration
//! for its one host, and everything that holds for Secrets holds for it.

use super::Cluster;
use super::cluster::in_time;
use super::secrets;
use gowindows_crds::conditions::Reason;
use gowindows_model::ports::{Clouds, Login, Miss, SecretData};
use gowindows_model::request::Request;
use gowindows_model::wire::identity::Identity;
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The field that names the registry's Secret.
const PUSH_SECRET: &str = "image.pushSecretRef";
/// The field that names the Secret for bases.
const PULL_SECRET: &str = "image.base.pullSecretRef";
/// Attaching to an image takes up to two minutes, and no password is to be over in the middle.
const MARGIN: Duration = Duration::from_secs(300);
const LONGEST: Duration = Duration::from_secs(3600);

/// Passwords that clouds gave, and who asks for them.
pub struct Logins {
    clouds: Arc<dyn Clouds>,
    kept: Mutex<HashMap<Identity, (Login, Instant)>>,
}

impl Logins {
    /// None yet.
    pub fn new(clouds: Arc<dyn Clouds>) -> Self {
        Self { clouds, kept: Mutex::default() }
    }

    fn kept(&self, identity: &Identity) -> Option<Login> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        kept.retain(|_, (_, end)| *end > now);
        kept.get(identity).map(|(login, _)| login.clone())
    }

    fn keep(&self, identity: &Identity, login: &Login) {
        // Of one that is short already, a quarter is left.
        let end = Instant::now() + (login.lasts - MARGIN.min(login.lasts / 4)).min(LONGEST);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(identity.clone(), (login.clone(), end));
    }

    fn forget(&self, identity: &Identity) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(identity);
    }

    async fn login(&self, identity: &Identity) -> Result<Login, Miss> {
        if let Some(login) = self.kept(identity) {
            return Ok(login);
        }
        let login = self.clouds.login(identity).await?;
        self.keep(identity, &login);
        Ok(login)
    }
}

/// What opens a registry, and the field that says so.
#[derive(Clone, Copy)]
pub(super) enum Key<'a> {
    /// Nothing.
    None,
    /// A Secret.
    Secret(&'static str, &'a str),
    /// An identity.
    Identity(&'a Identity),
}

impl<'a> Key<'a> {
    /// To the repository that is pushed to.
    pub(super) fn to_push(request: &'a Request) -> Self {
        match (&request.push_secret, &request.identity) {
            (Some(name), _) => Self::Secret(PUSH_SECRET, name),
            (None, Some(identity)) => Self::Identity(identity),
            (None, None) => Self::None,
        }
    }

    /// To an image that is only read. An identity opens its own registry, and is of use where that is a mirror.
    pub(super) fn to_read(request: &'a Request, reference: &str) -> Self {
        let mirrored = || reference.split_once('/').is_some_and(|(host, _)| request.mirrored.iter().any(|known| known == host));
        match Self::to_push(request) {
            Self::Identity(identity) if !identity.opens(reference) && !mirrored() => Self::None,
            key => key,
        }
    }

    /// To a base, which may have a Secret of its own.
    pub(super) fn to_base(request: &'a Request, reference: &str) -> Self {
        let own = request.pull_secret.as_deref().map(|name| Self::Secret(PULL_SECRET, name));
        own.unwrap_or_else(|| Self::to_read(request, reference))
    }
}

impl Cluster {
    /// Asks a registry with a key.
    pub(super) async fn with_key<T, F>(
        &self,
        namespace: &str,
        what: &str,
        key: Key<'_>,
        call: impl FnOnce(Option<SecretData>) -> F,
    ) -> Result<T, Miss>
    where
        F: Future<Output = Result<T, Miss>>,
    {
        let answer = in_time(what, async { call(self.key(namespace, key).await?).await }).await;
        answer.map_err(|miss| self.told(key, miss))
    }

    async fn key(&self, namespace: &str, key: Key<'_>) -> Result<Option<SecretData>, Miss> {
        match key {
            Key::None => Ok(None),
            Key::Secret(field, name) => secrets::read(&self.client, namespace, field, name).await.map(Some),
            Key::Identity(identity) => self.logins.login(identity).await.map(|login| Some(docker_config(identity, &login))),
        }
    }

    /// Names the Secret whose content is at fault, for the clients know only what is in it; and forgets a password that was refused.
    fn told(&self, key: Key<'_>, miss: Miss) -> Miss {
        match (miss.reason, key) {
            (Reason::SecretInvalid, Key::Secret(field, name)) => {
                Miss { message: format!("{field}: Secret {name}: {}", miss.message), ..miss }
            }
            (Reason::RegistryAuthFailed, Key::Identity(identity)) => {
                self.logins.forget(identity);
                miss
            }
            _ => miss,
        }
    }

    /// What opens the repository that is pushed to, for the writes that go there.
    ///
    /// # Errors
    /// When the Secret is absent or may not be read, or the identity is not exchanged.
    pub async fn push_key(&self, namespace: &str, request: &Request) -> Result<Option<SecretData>, Miss> {
        self.key(namespace, Key::to_push(request)).await
    }

    /// A write with that key failed.
    pub fn push_failed(&self, request: &Request, miss: &Miss) {
        if let (Reason::RegistryAuthFailed, Some(identity)) = (miss.reason, &request.identity) {
            self.logins.forget(identity);
        }
    }
}

/// For its own host, as a Secret would have it.
fn docker_config(identity: &Identity, login: &Login) -> SecretData {
    let Login { username, password, .. } = login;
    let config = json!({"auths": {&identity.host: {"username": username, "password": password}}});
    SecretData::from([(".dockerconfigjson".to_owned(), config.to_string().into_bytes())])
}

#[cfg(test)]
mod tests;
