//! STS and ECR, as far as registries need them.

use super::tokens::Refused;
use super::{Asked, Inner, Kind, REGION, ROLE, now, random};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};

const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
/// A signature is good for so many seconds.
const DRIFT: u64 = 300;

pub(super) fn answer(inner: &Inner, asked: &Asked) -> Option<Response> {
    if asked.method != "POST" || asked.uri.path() != "/" {
        return None;
    }
    Some(if asked.headers.contains_key("x-amz-target") { ecr(inner, asked) } else { sts(inner, asked) })
}

fn sts(inner: &Inner, asked: &Asked) -> Response {
    let refuse = |status: u16, code: &str, message: &str| {
        let body = format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
        );
        (StatusCode::from_u16(status).unwrap_or_default(), [("content-type", "text/xml")], body).into_response()
    };
    let form = match asked.form(&["Action", "Version", "RoleArn", "RoleSessionName", "WebIdentityToken"]) {
        Ok(form) if form["Action"] == "AssumeRoleWithWebIdentity" && form["Version"] == "2011-06-15" => form,
        Ok(_) => return refuse(400, "InvalidAction", "Could not find operation"),
        Err(problem) => return refuse(400, "ValidationError", &problem),
    };
    let session = &form["RoleSessionName"];
    let named = (2..=64).contains(&session.len()) && session.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
    if !named || asked.headers.contains_key("authorization") {
        return refuse(400, "ValidationError", "a session that cannot be, or a signature that nobody asked for");
    }
    match inner.trust.accepts(&form["WebIdentityToken"], &["sts.amazonaws.com"]) {
        Err(Refused::Forged) => {
            return refuse(400, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider");
        }
        Err(Refused::Late) => return refuse(400, "ExpiredTokenException", "Token expired"),
        Err(Refused::Audience) => return refuse(400, "InvalidIdentityToken", "Incorrect token audience"),
        Ok(()) if form["RoleArn"] == ROLE => {}
        Ok(()) | Err(Refused::Stranger) => return refuse(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
    }
    let (id, secret, token) = (format!("ASIA{}", random()), format!("{}/+", random()), format!("{}//+=", random().repeat(8)));
    inner.give(&id, Kind::Keys { secret: secret.clone(), session: token.clone() });
    let body = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <AssumeRoleWithWebIdentityResult>\n    <Audience>sts.amazonaws.com</Audience>\n    <Credentials>\n      <AccessKeyId>{id}</AccessKeyId>\n      <SecretAccessKey>{secret}</SecretAccessKey>\n      <SessionToken>{token}</SessionToken>\n      <Expiration>2030-01-01T00:00:00Z</Expiration>\n    </Credentials>\n  </AssumeRoleWithWebIdentityResult>\n</AssumeRoleWithWebIdentityResponse>\n"
    );
    ([("content-type", "text/xml")], body).into_response()
}

fn ecr(inner: &Inner, asked: &Asked) -> Response {
    let refuse = |status: u16, code: &str, message: &str| {
        let body = json!({"__type": code, "message": message}).to_string();
        (StatusCode::from_u16(status).unwrap_or_default(), [("content-type", "application/x-amz-json-1.1")], body).into_response()
    };
    if asked.header("x-amz-target") != TARGET || asked.header("content-type") != "application/x-amz-json-1.1" || asked.body != "{}" {
        return refuse(400, "UnknownOperationException", "it is not what ECR does");
    }
    if let Err(problem) = signed(inner, asked) {
        return refuse(400, "InvalidSignatureException", problem);
    }
    let password = random().repeat(20);
    inner.give(&password, Kind::Password);
    // In place of a clock of its own: seconds with a fraction, as ECR writes them.
    let end = format!("{}.5", now() + inner.lasts());
    let token = STANDARD.encode(format!("AWS:{password}"));
    let body = format!(
        r#"{{"authorizationData":[{{"authorizationToken":"{token}","expiresAt":{end},"proxyEndpoint":"https://{}"}}]}}"#,
        inner.address
    );
    ([("content-type", "application/x-amz-json-1.1")], body).into_response()
}

/// Computes the signature anew, from what arrived.
fn signed(inner: &Inner, asked: &Asked) -> Result<(), &'static str> {
    let parts = asked.header("authorization").strip_prefix("AWS4-HMAC-SHA256 ").ok_or("no signature")?;
    let part = |name: &str| parts.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let (credential, names) = (part("Credential").ok_or("no credential")?, part("SignedHeaders").ok_or("no signed headers")?);
    let [id, date, region, service, last] = credential.split('/').collect::<Vec<_>>()[..] else {
        return Err("a credential of another form");
    };
    let time = asked.header("x-amz-date");
    if [region, service, last] != [REGION, "ecr", "aws4_request"] || !time.starts_with(date) || !is_now(time) {
        return Err("signed for somewhere else or for another time");
    }
    let (secret, session) = match inner.given().get(id) {
        Some((Kind::Keys { secret, session }, end)) if *end > now() => (secret.clone(), session.clone()),
        _ => return Err("The security token included in the request is invalid."),
    };
    let names: Vec<&str> = names.split(';').collect();
    let must = asked.headers.keys().map(|name| name.as_str()).filter(|name| *name == "host" || name.starts_with("x-amz-"));
    if asked.header("x-amz-security-token") != session || !names.is_sorted() || !must.into_iter().all(|name| names.contains(&name)) {
        return Err("a header is not signed, or the session's token is not there");
    }
    let headers: String = names.iter().map(|name| format!("{name}:{}\n", asked.header(name).trim())).collect();
    let request = format!("POST\n/\n\n{headers}\n{}\n{}", names.join(";"), hex::encode(Sha256::digest(&asked.body)));
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{date}/{region}/{service}/{last}\n{}", hex::encode(Sha256::digest(request)));
    let hmac = |key: &[u8], text: &str| sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec();
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [date, region, service, last] {
        key = hmac(&key, part);
    }
    let same = part("Signature") == Some(hex::encode(hmac(&key, &text)).as_str());
    if same { Ok(()) } else { Err("The request signature we calculated does not match the signature you provided.") }
}

/// `20150830T123600Z` within minutes of now.
fn is_now(time: &str) -> bool {
    let stamp = k8s_openapi::jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", time)
        .and_then(|time| time.to_zoned(k8s_openapi::jiff::tz::TimeZone::UTC));
    stamp.is_ok_and(|stamp| stamp.timestamp().as_second().unsigned_abs().abs_diff(now()) < DRIFT)
}
