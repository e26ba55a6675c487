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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::extract::Request;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use serde_json::json;

    /// An API server that knows one Secret, and says of the others what the real one does: whether they are there.
    fn client() -> Client {
        let answer = |request: Request| async move {
            let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let refused = |code: u16, message: &str| {
                let status =
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "X", "message": message, "code": code});
                (StatusCode::from_u16(code).unwrap_or_default(), axum::Json(status)).into_response()
            };
            match name.as_str() {
                "there" => axum::Json(json!({
                    "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "annotations": {ANNOTATION_HOSTS: "git.example.com"}},
                    "data": {"password": "Y2FuYXJ5"},
                }))
                .into_response(),
                "forbidden" => refused(403, "secrets \"forbidden\" is forbidden: User cannot get resource"),
                _ => refused(404, "secrets \"nobody\" not found"),
            }
        };
        Client::new(Router::new().fallback(answer), "default")
    }

    #[tokio::test]
    async fn absent_and_forbidden_are_one_message() {
        let (data, hosts) = read_with_hosts(&client(), "team", "source.git.secretRef", "there").await.expect("a Secret");
        assert_eq!((data["password"].as_slice(), hosts.as_deref()), (&b"canary"[..], Some("git.example.com")));
        let mut said = Vec::new();
        for name in ["nobody", "forbidden"] {
            let error = read(&client(), "team", "source.git.secretRef", name).await.expect_err("no Secret");
            assert_eq!(error.reason, Reason::SecretUnavailable);
            said.push(error.message.replace(name, "NAME"));
        }
        assert!(said[0] == said[1] && said[0].contains("Secret NAME is absent or the operator may not read it"), "{said:?}");
    }
}
