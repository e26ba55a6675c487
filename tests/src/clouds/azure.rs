//! The login server of Azure, and a registry's own exchange.

use super::tokens::Refused;
use super::{Asked, CLIENT, Inner, Kind, TENANT, now, random};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

/// The user whose password is a refresh token.
const USER: &str = "00000000-0000-0000-0000-000000000000";

pub(super) fn answer(inner: &Inner, asked: &Asked) -> Option<Response> {
    let path = asked.uri.path();
    match asked.method.as_str() {
        "POST" if path == format!("/{TENANT}/oauth2/v2.0/token") => Some(log_in(inner, asked)),
        "POST" if path == "/oauth2/exchange" => Some(exchange(inner, asked)),
        "GET" if path == "/oauth2/token" => Some(inner.bearer(asked, USER, "access_token")),
        _ => None,
    }
}

fn log_in(inner: &Inner, asked: &Asked) -> Response {
    let refuse = |status: u16, error: &str, description: &str| {
        let body = json!({"error": error, "error_description": format!("{description}\r\nTrace ID: 1"), "error_codes": [1]});
        (StatusCode::from_u16(status).unwrap_or_default(), axum::Json(body)).into_response()
    };
    let form = match asked.form(&["grant_type", "client_id", "client_assertion_type", "client_assertion", "scope"]) {
        Ok(form) => form,
        Err(problem) => return refuse(400, "invalid_request", &format!("AADSTS900144: {problem}")),
    };
    let right = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("scope", "https://containerregistry.azure.net/.default"),
    ];
    if right.iter().any(|(name, value)| form[*name] != *value) {
        return refuse(400, "invalid_request", "AADSTS90014: a parameter has another value");
    }
    if form["client_id"] != CLIENT {
        return refuse(400, "unauthorized_client", "AADSTS700016: Application was not found in the directory");
    }
    match inner.trust.accepts(&form["client_assertion"], &["api://AzureADTokenExchange"]) {
        Err(Refused::Forged) => refuse(
            401,
            "invalid_client",
            "AADSTS700027: The certificate with identifier used to sign the client assertion is not registered",
        ),
        Err(Refused::Late) => refuse(401, "invalid_client", "AADSTS700024: Client assertion is not within its valid time range"),
        Err(Refused::Audience) => {
            refuse(401, "invalid_client", "AADSTS700212: No matching federated identity record found for presented assertion audience")
        }
        Err(Refused::Stranger) => {
            refuse(401, "invalid_client", "AADSTS700213: No matching federated identity record found for presented assertion subject")
        }
        Ok(()) => {
            let token = random();
            inner.give(&token, Kind::Access);
            axum::Json(json!({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token})).into_response()
        }
    }
}

fn exchange(inner: &Inner, asked: &Asked) -> Response {
    let form = asked.form(&["grant_type", "service", "tenant", "access_token"]).unwrap_or_default();
    let is = |name: &str, value: &str| form.get(name).is_some_and(|given| given == value);
    let known = form.get("access_token").is_some_and(|token| inner.opens(token, &Kind::Access));
    if !(known && is("grant_type", "access_token") && is("service", &inner.address) && is("tenant", TENANT)) {
        let body =
            json!({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required, visit https://aka.ms/acr/authorization"}]});
        return (StatusCode::UNAUTHORIZED, axum::Json(body)).into_response();
    }
    let claims = json!({"exp": now() + inner.lasts(), "aud": inner.address, "grant_type": "refresh_token"});
    let token = format!("{}.{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#), URL_SAFE_NO_PAD.encode(claims.to_string()), random());
    inner.give(&token, Kind::Password);
    axum::Json(json!({"refresh_token": token})).into_response()
}
