//! What is said to Google, and what does it answer?
//!
//! STS exchanges the token (RFC 8693) for an access token of the ServiceAccount itself. Where an account is to be acted as, that token asks
//! for one of the account's.

use super::error::IdentityError;
use super::wire::{Ask, FORM, Wire, form, server};
use gowindows_model::ports::Login;
use gowindows_model::wire::identity::Identity;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

const EXCHANGE: &str = "exchange the token at Google";
const ACT_AS: &str = "act as the Google service account";
/// The user whose password is an access token.
const USER: &str = "oauth2accesstoken";
/// What may be done is said by the roles of the account, not by this.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

pub(super) struct Servers<'a> {
    pub(super) provider: &'a str,
    pub(super) account: Option<&'a str>,
    pub(super) sts: &'a str,
    pub(super) credentials: &'a str,
}

pub(super) async fn login(wire: &Wire, identity: &Identity, servers: &Servers<'_>, token: &str) -> Result<Login, IdentityError> {
    #[derive(Deserialize)]
    struct Federated {
        access_token: String,
        expires_in: u64,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct OfAccount {
        access_token: String,
        expire_time: Timestamp,
    }
    let invalid = |attempt, url: &str, problem| IdentityError::Invalid { attempt, server: server(url), problem };
    let said = wire.post(exchange(identity, servers, token)).await?;
    let problem = "it has no access_token with expires_in";
    let federated: Federated = serde_json::from_slice(&said).map_err(|_| invalid(EXCHANGE, servers.sts, problem))?;
    let Some(account) = servers.account else {
        let lasts = Duration::from_secs(federated.expires_in);
        return Ok(Login { username: USER.into(), password: federated.access_token, lasts });
    };
    let said = wire.post(act_as(identity, servers, account, &federated.access_token)).await?;
    let problem = "it has no accessToken with expireTime";
    let own: OfAccount = serde_json::from_slice(&said).map_err(|_| invalid(ACT_AS, servers.credentials, problem))?;
    let left = own.expire_time.as_second().saturating_sub(Timestamp::now().as_second());
    let lasts = Duration::from_secs(u64::try_from(left).unwrap_or_default());
    Ok(Login { username: USER.into(), password: own.access_token, lasts })
}

fn exchange<'a>(identity: &Identity, servers: &Servers<'_>, token: &'a str) -> Ask<'a> {
    let Servers { provider, sts, .. } = servers;
    let body = form(&[
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", provider),
        ("scope", SCOPE),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", token),
    ]);
    let remedy = format!("let {provider} trust this cluster's issuer, with audience {}", identity.audience);
    Ask {
        attempt: EXCHANGE,
        url: format!("{sts}/v1/token"),
        headers: vec![("content-type", FORM.to_owned())],
        body,
        secrets: vec![token],
        remedy,
    }
}

fn act_as<'a>(identity: &Identity, servers: &Servers<'_>, account: &str, federated: &'a str) -> Ask<'a> {
    Ask {
        attempt: ACT_AS,
        url: format!("{}/v1/projects/-/serviceAccounts/{account}:generateAccessToken", servers.credentials),
        headers: vec![("content-type", "application/json".into()), ("authorization", format!("Bearer {federated}"))],
        body: json!({"scope": [SCOPE]}).to_string(),
        secrets: vec![federated],
        remedy: format!("give {} the role roles/iam.workloadIdentityUser on {account}", identity.subject()),
    }
}
