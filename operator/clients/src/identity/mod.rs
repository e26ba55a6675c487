//! How does a token of a ServiceAccount become the password of a cloud's registry?
//!
//! ```text
//! AWS     token -> STS AssumeRoleWithWebIdentity -> keys of a role -> ECR GetAuthorizationToken, signed  -> AWS:password
//! Azure   token -> /TENANT/oauth2/v2.0/token     -> access token   -> the registry's /oauth2/exchange    -> 0000...:refresh token
//! Google  token -> STS /v1/token                 -> access token  (-> generateAccessToken of an account) -> oauth2accesstoken:token
//! ```
//!
//! The controller asks the API server for the token; a build pod has it in a file. One file per cloud shapes requests and reads answers; `wire` sends. Servers come from the operator (`gowindows_model::request`),
//! never from a redirect, and every answer is short. A password is for the registry that was named when the exchange began.
//!
//! What it deliberately does not do: keep anything (the controller does), or ask a metadata server: a node's own identity is not a
//! tenant's.

mod aws;
mod azure;
mod error;
mod google;
mod sigv4;
#[cfg(test)]
mod tests;
mod wire;

pub use error::IdentityError;

use gowindows_model::ports::Login;
use gowindows_model::settings::RegistrySettings;
use gowindows_model::wire::identity::{Exchange, Identity};
use std::time::Duration;
use wire::Wire;

/// Speaks to the clouds' token servers.
pub struct Exchanger {
    registries: Vec<RegistrySettings>,
    tries: u32,
}

impl Exchanger {
    /// With the operator's settings of registries, whose certificates count for their token servers too.
    pub fn new(registries: Vec<RegistrySettings>) -> Self {
        Self { registries, tries: 1 }
    }

    /// Tries an exchange so often when a server is unreachable or busy. The default is once, for callers that have a queue of their own.
    #[must_use]
    pub fn with_tries(self, tries: u32) -> Self {
        Self { tries: tries.max(1), ..self }
    }

    /// Exchanges the token of the identity's ServiceAccount.
    ///
    /// # Errors
    /// Which server did not do its part, and why.
    pub async fn login(&self, identity: &Identity, token: &str) -> Result<Login, IdentityError> {
        let authority = self.registries.iter().find(|registry| registry.host.eq_ignore_ascii_case(&identity.host));
        let wire = Wire::new(authority.and_then(|registry| registry.ca_pem.as_deref()))?;
        let mut tried = 0;
        loop {
            tried += 1;
            let done = match &identity.exchange {
                Exchange::Aws { role, region, sts, ecr } => {
                    aws::login(&wire, identity, &aws::Servers { role, region, sts, ecr }, token).await
                }
                Exchange::Azure { tenant, client, login, registry } => {
                    azure::login(&wire, identity, &azure::Servers { tenant, client, login, registry }, token).await
                }
                Exchange::Google { provider, account, sts, credentials } => {
                    let servers = google::Servers { provider, account: account.as_deref(), sts, credentials };
                    google::login(&wire, identity, &servers, token).await
                }
            };
            match done {
                Err(error) if error.transient() && tried < self.tries => {
                    tracing::debug!(%error, tried, "an exchange failed; it is tried again");
                    tokio::time::sleep(Duration::from_secs(1 << tried.min(4))).await;
                }
                done => return done,
            }
        }
    }
}
