//! Who vouches for the image?

use super::SecretReference;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How images are signed.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SigningSpec {
    /// A Secret in the same namespace with a key pair as `cosign generate-key-pair k8s://<namespace>/<name>` makes it
    /// (`cosign.key`, `cosign.password`, `cosign.pub`), or with an unencrypted ECDSA P-256 key in PEM form as `cosign.key`.
    /// Only the controller reads it, when it signs; a key in a Secret of another name signs again.
    /// The operator needs a Role and RoleBinding in this namespace to read it (`config/samples/secret-access.yaml`).
    pub key_secret_ref: SecretReference,
}
