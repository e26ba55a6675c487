//! With what is a registry opened? The data of a Secret as it is now, or a password that a cloud gives for a token of a ServiceAccount.
//!
//! A password is kept in memory until shortly before it is over, so that not every look at a registry asks three servers; for an hour at
//! most, since who may have one may change; and not after the registry has refused it. It is handed on in the form of a docker configuration
//! for its one host, and everything that holds for Secrets holds for it.

use super::Cluster;
use super::answers::in_time;
use super::secrets;
use gowindows_crds::conditions::Reason;
use gowindows_model::access::Access;
use gowindows_model::call_error::CallError;
use gowindows_model::ports::{Clouds, Login, SecretData};
use gowindows_model::wire::identity::Identity;
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

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

    async fn login(&self, identity: &Identity) -> Result<Login, CallError> {
        if let Some(login) = self.kept(identity) {
            return Ok(login);
        }
        let login = self.clouds.login(identity).await?;
        self.keep(identity, &login);
        Ok(login)
    }
}

impl Cluster {
    /// Asks a registry with what opens it. `what` is named where it does not answer in time.
    pub(super) async fn with_access<T, F>(
        &self,
        namespace: &str,
        what: &str,
        access: &Access,
        call: impl FnOnce(Option<SecretData>) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let asked = async { call(self.key(namespace, access).await?).await };
        let answer = in_time(what, self.outside.at_host(what, asked)).await;
        answer.map_err(|error| self.told(access, error))
    }

    /// What opens a registry, as it is now.
    ///
    /// # Errors
    /// When the Secret is absent or may not be read, or the identity is not exchanged.
    pub async fn key(&self, namespace: &str, access: &Access) -> Result<Option<SecretData>, CallError> {
        match access {
            Access::Anonymous => Ok(None),
            Access::Secret { field, name } => secrets::read(&self.client, namespace, field, name).await.map(Some),
            Access::Identity(identity) => self.logins.login(identity).await.map(|login| Some(docker_config(identity, &login))),
        }
    }

    /// Names the Secret whose content is at fault, for the clients know only what is in it; and forgets a password that was refused.
    fn told(&self, access: &Access, error: CallError) -> CallError {
        self.refused(access, &error);
        match (error.reason, access) {
            (Reason::SecretInvalid, Access::Secret { field, name }) => {
                CallError { message: format!("{field}: Secret {name}: {}", error.message), ..error }
            }
            _ => error,
        }
    }

    /// A call failed: a password that the registry refuses is not used again.
    pub fn refused(&self, access: &Access, error: &CallError) {
        if let (Reason::RegistryAuthFailed, Access::Identity(identity)) = (error.reason, access) {
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
