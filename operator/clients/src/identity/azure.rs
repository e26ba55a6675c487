//! What is said to Azure, and what does it answer?
//!
//! The login server takes the token as the application's assertion (RFC 7523); the registry itself takes the access token that comes out,
//! and gives a refresh token of its own, which is the password of a user without a name.

use super::error::IdentityError;
use super::wire::{Ask, FORM, Wire, form, server};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gowindows_model::ports::Login;
use gowindows_model::wire::identity::Identity;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use std::time::Duration;

const LOG_IN: &str = "log in to Azure";
const EXCHANGE: &str = "get a password for the registry";
/// The user whose password is a refresh token of the registry.
const USER: &str = "00000000-0000-0000-0000-000000000000";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What registries of all of Azure's clouds take, and nothing else of Azure does.
const SCOPE: &str = "https://containerregistry.azure.net/.default";

pub(super) struct Servers<'a> {
    pub(super) tenant: &'a str,
    pub(super) client: &'a str,
    pub(super) login: &'a str,
    pub(super) registry: &'a str,
}

pub(super) async fn login(wire: &Wire, identity: &Identity, servers: &Servers<'_>, token: &str) -> Result<Login, IdentityError> {
    #[derive(Deserialize)]
    struct Access {
        access_token: String,
    }
    #[derive(Deserialize)]
    struct Refresh {
        refresh_token: String,
    }
    let invalid = |attempt, url: &str, problem| IdentityError::Invalid { attempt, server: server(url), problem };
    let said = wire.post(assertion(identity, servers, token)).await?;
    let access: Access = serde_json::from_slice(&said).map_err(|_| invalid(LOG_IN, servers.login, "it has no access_token"))?;
    let said = wire.post(exchange(identity, servers, &access.access_token)).await?;
    let refresh: Refresh = serde_json::from_slice(&said).map_err(|_| invalid(EXCHANGE, servers.registry, "it has no refresh_token"))?;
    let lasts = lasts(&refresh.refresh_token, Timestamp::now());
    Ok(Login { username: USER.into(), password: refresh.refresh_token, lasts })
}

fn assertion<'a>(identity: &Identity, servers: &Servers<'_>, token: &'a str) -> Ask<'a> {
    let Servers { tenant, client, login, .. } = servers;
    let body = form(&[
        ("grant_type", "client_credentials"),
        ("client_id", client),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", token),
        ("scope", SCOPE),
    ]);
    let remedy = format!(
        "give the application {client} a federated credential with this cluster's issuer, subject {} and audience {}",
        identity.subject(),
        identity.audience
    );
    let (url, headers) = (format!("{login}/{tenant}/oauth2/v2.0/token"), vec![("content-type", FORM.to_owned())]);
    Ask { attempt: LOG_IN, url, headers, body, secrets: vec![token], remedy }
}

fn exchange<'a>(identity: &Identity, servers: &Servers<'_>, access: &'a str) -> Ask<'a> {
    let Servers { tenant, client, registry, .. } = servers;
    let body = form(&[("grant_type", "access_token"), ("service", &identity.host), ("tenant", tenant), ("access_token", access)]);
    Ask {
        attempt: EXCHANGE,
        url: format!("{registry}/oauth2/exchange"),
        headers: vec![("content-type", FORM.to_owned())],
        body,
        secrets: vec![access],
        remedy: format!("give the application {client} the roles AcrPush and AcrPull on this registry"),
    }
}

/// What is left of a token by its own word. Only whoever takes it checks it; one that says nothing is used at once and not kept.
fn lasts(token: &str, now: Timestamp) -> Duration {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Claims> = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let left = claims.map_or(0, |claims| claims.exp.saturating_sub(now.as_second()));
    Duration::from_secs(u64::try_from(left).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_how_long_it_lasts() {
        let now = Timestamp::from_second(1_700_000_000).expect("a time");
        let token = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let table = [
            (token(r#"{"exp":1700010800,"aud":"shop.azurecr.io"}"#), 10_800),
            (token(r#"{"exp":1699999999}"#), 0),
            (token("{}"), 0),
            ("opaque".into(), 0),
            ("a.?.c".into(), 0),
        ];
        for (token, seconds) in table {
            assert_eq!(lasts(&token, now).as_secs(), seconds, "{token}");
        }
    }
}
