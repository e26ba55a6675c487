//! What is in a Secret that a specification names? Read at each use, so that a rotated one works at once.

use gowindows_crds::conditions::Reason;
use gowindows_crds::names::ANNOTATION_HOSTS;
use gowindows_model::call_error::CallError;
use gowindows_model::ports::SecretData;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};

/// Reads a Secret's data.
///
/// Absent and forbidden give one message: the difference would tell a tenant which Secrets exist.
pub(super) async fn read(client: &Client, namespace: &str, field: &str, name: &str) -> Result<SecretData, CallError> {
    read_with_hosts(client, namespace, field, name).await.map(|(data, _)| data)
}

/// Reads a Secret's data, and the hosts that it says its login is for.
pub(super) async fn read_with_hosts(
    client: &Client,
    namespace: &str,
    field: &str,
    name: &str,
) -> Result<(SecretData, Option<String>), CallError> {
    match Api::<Secret>::namespaced(client.clone(), namespace).get(name).await {
        Ok(secret) => {
            let hosts = secret.annotations().get(ANNOTATION_HOSTS).cloned();
            Ok((secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect(), hosts))
        }
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 403 => Err(CallError {
            reason: Reason::SecretUnavailable,
            message: format!(
                "{field}: Secret {name} is absent or the operator may not read it. Create it, and give the operator a Role and RoleBinding in this namespace (see config/samples/secret-access.yaml)."
            ),
        }),
        Err(error) => {
            Err(CallError { reason: Reason::SecretUnavailable, message: format!("{field}: Secret {name} could not be read: {error}.") })
        }
    }
}
