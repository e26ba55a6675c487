//! How does the operator come by a token of a ServiceAccount? It asks the API server for one, for the exchange alone: the audience is the
//! cloud, which the API server is not. Nothing in the cluster is changed by this.

use futures::FutureExt;
use futures::future::BoxFuture;
use gowindows_clients::identity::Exchanger;
use gowindows_crds::conditions::Reason;
use gowindows_model::call_error::CallError;
use gowindows_model::ports::{Clouds, Login};
use gowindows_model::wire::identity::Identity;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::{Api, Client};
use std::time::Duration;

/// It is exchanged at once: the API server gives none for less time.
const LASTS: i64 = 600;
const DEADLINE: Duration = Duration::from_secs(15);

/// Asks the API server for tokens and the clouds for passwords.
pub struct Identities {
    client: Client,
    exchanger: Exchanger,
}

impl Identities {
    /// With the operator's own rights to ask for tokens.
    pub fn new(client: Client, exchanger: Exchanger) -> Self {
        Self { client, exchanger }
    }

    async fn token(&self, identity: &Identity) -> Result<String, CallError> {
        let name = &identity.service_account;
        let field = "image.identity.serviceAccountName";
        let unavailable = |what: String| CallError { reason: Reason::IdentityUnavailable, message: format!("{field}: {what}") };
        let order = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![identity.audience.clone()],
                expiration_seconds: Some(LASTS),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let api = Api::<ServiceAccount>::namespaced(self.client.clone(), &identity.namespace);
        let post = PostParams::default();
        let Ok(given) = tokio::time::timeout(DEADLINE, api.create_token_request(name, &post, &order)).await else {
            return Err(unavailable(format!("no token of ServiceAccount {name} came within {DEADLINE:?}.")));
        };
        match given {
            Ok(given) => {
                let status = given.status.ok_or_else(|| unavailable(format!("the API server gave no token of ServiceAccount {name}.")))?;
                Ok(status.token)
            }
            // As with Secrets, one message: the difference would tell a tenant which ServiceAccounts exist.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 403 => Err(unavailable(format!(
                "ServiceAccount {name} is absent or the operator may not ask for its tokens. Create it, and give the operator a Role and RoleBinding in this namespace (see config/samples/registry-identity.yaml)."
            ))),
            Err(error) => {
                let why = if let kube::Error::Api(status) = error { status.message } else { error.to_string() };
                Err(unavailable(format!("a token of ServiceAccount {name} could not be had: {why}.")))
            }
        }
    }
}

impl Clouds for Identities {
    fn login<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, Result<Login, CallError>> {
        async move { Ok(self.exchanger.login(identity, &self.token(identity).await?).await?) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::extract::Request;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use serde_json::{Value, json};

    /// An API server that gives tokens of one ServiceAccount, if they are for the cloud.
    fn client() -> Client {
        let answer = |request: Request| async move {
            let path = request.uri().path().to_owned();
            let body = axum::body::to_bytes(request.into_body(), 4096).await.unwrap_or_default();
            let order: Value = serde_json::from_slice(&body).unwrap_or_default();
            let right = order["spec"]["audiences"] == json!(["cloud"]) && order["spec"]["expirationSeconds"] == json!(600);
            let refused = |code: u16| {
                let status =
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "X", "message": "no", "code": code});
                (StatusCode::from_u16(code).unwrap_or_default(), axum::Json(status)).into_response()
            };
            match path.trim_start_matches("/api/v1/namespaces/team/serviceaccounts/") {
                "push/token" if right => {
                    let status = json!({"token": "a-token", "expirationTimestamp": "2026-01-01T00:00:00Z"});
                    axum::Json(json!({"spec": order["spec"], "status": status})).into_response()
                }
                "forbidden/token" => refused(403),
                "broken/token" => refused(500),
                _ => refused(404),
            }
        };
        Client::new(Router::new().fallback(answer), "default")
    }

    async fn asked(name: &str) -> Result<String, CallError> {
        let exchange = gowindows_model::wire::identity::Exchange::Google {
            provider: "//iam.googleapis.com/p".into(),
            account: None,
            sts: "https://sts.invalid".into(),
            credentials: "https://iam.invalid".into(),
        };
        let (host, namespace, audience) = ("r.example.com".into(), "team".into(), "cloud".into());
        let identity = Identity { host, namespace, service_account: name.into(), audience, exchange };
        Identities::new(client(), Exchanger::new(vec![])).token(&identity).await
    }

    #[tokio::test]
    async fn absent_and_forbidden_are_one_message() {
        assert_eq!(asked("push").await, Ok("a-token".into()));
        let mut said = Vec::new();
        for name in ["nobody", "forbidden", "broken"] {
            let error = asked(name).await.expect_err("no token");
            assert_eq!(error.reason, Reason::IdentityUnavailable);
            assert!(error.message.contains("image.identity.serviceAccountName: "), "{}", error.message);
            said.push(error.message.replace(name, "NAME"));
        }
        assert!(said[0] == said[1] && said[0].contains("config/samples/registry-identity.yaml"), "{said:?}");
        assert!(said[2].ends_with("could not be had: no."), "{said:?}");
    }
}
