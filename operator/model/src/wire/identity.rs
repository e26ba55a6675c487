//! Who opens the registry, and by which exchange? Told by the controller to the `assemble` step; nothing in it is secret.

use serde::{Deserialize, Serialize};

/// A ServiceAccount that a cloud trusts, and how its token becomes a password for one registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identity {
    /// The registry that the password is for, and no other: `host` or `host:port`.
    pub host: String,
    /// Namespace of the ServiceAccount.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
    /// For whom its token is made out. Never the API server.
    pub audience: String,
    /// What the token is given for.
    pub exchange: Exchange,
}

/// The exchanges.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Exchange {
    /// STS gives keys of a role, and ECR gives a password for them.
    Aws {
        /// ARN of the role.
        role: String,
        /// The region that is signed for.
        region: String,
        /// Address of STS.
        sts: String,
        /// Address of ECR's API.
        ecr: String,
    },
    /// The login server gives an access token, and the registry gives a refresh token for it.
    Azure {
        /// Tenant of the application.
        tenant: String,
        /// Its client id.
        client: String,
        /// Address of the login server.
        login: String,
        /// Address of the registry's own exchange.
        registry: String,
    },
    /// STS gives an access token, which is the password, or is given for that of another account.
    Google {
        /// The pool's provider, as STS names it.
        provider: String,
        /// The account to act as.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        account: Option<String>,
        /// Address of STS.
        sts: String,
        /// Address of the server that gives tokens of other accounts.
        credentials: String,
    },
}

impl Identity {
    /// What the cloud knows the ServiceAccount by.
    pub fn subject(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.service_account)
    }

    /// Whether an image is in its registry.
    pub fn opens(&self, reference: &str) -> bool {
        reference.split_once('/').is_some_and(|(host, _)| host.eq_ignore_ascii_case(&self.host))
    }
}
