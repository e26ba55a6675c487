//! May the login of a Secret for git be sent to a server? It is read before each use and before each Job that mounts it, whatever the source names: who
//! may name a Secret in an object can neither read it by that nor have it sent anywhere.

use super::answers::in_time;
use super::{Cluster, secrets};
use gowindows_clients::git::GitAuth;
use gowindows_crds::conditions::Reason;
use gowindows_model::binding::Holder;
use gowindows_model::call_error::CallError;
use gowindows_model::facts::GitLogin;
use gowindows_model::ports::SecretData;

/// The field that names the Secret.
pub(super) const GIT_SECRET: &str = "source.git.secretRef";

impl Cluster {
    /// What of the Secret is to be used.
    pub(super) async fn git_login(&self, namespace: &str, url: &str, name: &str) -> Result<GitLogin, CallError> {
        in_time(name, async {
            let (data, unbound) = self.bound(namespace, url, name).await?;
            Ok(GitLogin { keys: GitAuth::keys(&data).map(str::to_owned).collect(), unbound })
        })
        .await
    }

    /// Its content, for this server.
    pub(super) async fn git_secret(&self, namespace: &str, url: &str, name: Option<&str>) -> Result<Option<SecretData>, CallError> {
        let Some(name) = name else { return Ok(None) };
        self.bound(namespace, url, name).await.map(|(data, _)| Some(data))
    }

    async fn bound(&self, namespace: &str, url: &str, name: &str) -> Result<(SecretData, Option<String>), CallError> {
        let (data, hosts) = secrets::read_with_hosts(&self.client, namespace, GIT_SECRET, name).await?;
        let invalid = |error| CallError { reason: Reason::SecretInvalid, message: format!("{GIT_SECRET}: Secret {name}: {error}.") };
        if GitAuth::from_secret(&data).map_err(invalid)?.is_anonymous() {
            return Ok((data, None));
        }
        let holder = Holder { field: GIT_SECRET, namespace, name, hosts: hosts.as_deref() };
        let unbound = self.bindings.check(holder, url).map_err(|message| CallError { reason: Reason::SecretUnbound, message })?;
        Ok((data, unbound))
    }
}
