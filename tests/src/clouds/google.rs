//! STS and `iamcredentials` of Google.

use super::tokens::Refused;
use super::{ACCOUNT, Asked, Inner, Kind, PROVIDER, now, random};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

const USER: &str = "oauth2accesstoken";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

pub(super) fn answer(inner: &Inner, asked: &Asked) -> Option<Response> {
    let path = asked.uri.path();
    match asked.method.as_str() {
        "POST" if path == "/v1/token" => Some(exchange(inner, asked)),
        "POST" if path.starts_with("/v1/projects/-/serviceAccounts/") => Some(act_as(inner, asked)),
        "GET" if path == "/v2/token" => Some(inner.bearer(asked, USER, "token")),
        _ => None,
    }
}

fn exchange(inner: &Inner, asked: &Asked) -> Response {
    let refuse = |error: &str, description: &str| {
        (StatusCode::BAD_REQUEST, axum::Json(json!({"error": error, "error_description": description}))).into_response()
    };
    let names = ["grant_type", "audience", "scope", "requested_token_type", "subject_token_type", "subject_token"];
    let form = match asked.form(&names) {
        Ok(form) => form,
        Err(problem) => return refuse("invalid_request", &problem),
    };
    let provider = format!("//iam.googleapis.com/{PROVIDER}");
    let right = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", &provider),
        ("scope", SCOPE),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
    ];
    if right.iter().any(|(name, value)| form[*name] != *value) || asked.headers.contains_key("authorization") {
        return refuse("invalid_request", "a parameter has another value");
    }
    match inner.trust.accepts(&form["subject_token"], &[&format!("https:{provider}"), &provider]) {
        Err(Refused::Forged) => refuse("invalid_grant", "Error connecting to the given credential's issuer."),
        Err(Refused::Late) => refuse("invalid_grant", "ID Token is stale to sign-in."),
        Err(Refused::Audience) => refuse("invalid_grant", "The audience in ID Token does not match the expected audience."),
        Err(Refused::Stranger) => refuse("unauthorized_client", "The given credential is rejected by the attribute condition."),
        Ok(()) => {
            let token = random();
            // It opens the registry itself, and the door to the account.
            inner.give(&token, Kind::Password);
            let kind = "urn:ietf:params:oauth:token-type:access_token";
            axum::Json(json!({"access_token": token, "issued_token_type": kind, "token_type": "Bearer", "expires_in": inner.lasts()}))
                .into_response()
        }
    }
}

fn act_as(inner: &Inner, asked: &Asked) -> Response {
    let known = asked.header("authorization").strip_prefix("Bearer ").is_some_and(|token| inner.opens(token, &Kind::Password));
    let right = asked.uri.path() == format!("/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken");
    let scope: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    if !known || !right || scope != json!({"scope": [SCOPE]}) || asked.header("content-type") != "application/json" {
        let message = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).";
        let body = json!({"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}});
        return (StatusCode::FORBIDDEN, axum::Json(body)).into_response();
    }
    let token = random();
    inner.give(&token, Kind::Password);
    let end = i64::try_from(now() + inner.lasts()).ok().and_then(|end| Timestamp::from_second(end).ok()).unwrap_or_default();
    axum::Json(json!({"accessToken": token, "expireTime": end.to_string()})).into_response()
}
