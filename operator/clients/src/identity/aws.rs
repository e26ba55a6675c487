//! What is said to AWS, and what does it answer?
//!
//! STS `AssumeRoleWithWebIdentity` (query API 2011-06-15, XML, unsigned), then ECR `GetAuthorizationToken` (JSON 1.1, signed with the role's keys).

use super::error::{IdentityError, element};
use super::sigv4::{self, Keys, Scope};
use super::wire::{Ask, FORM, Wire, form, server};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gowindows_model::ports::Login;
use gowindows_model::wire::identity::Identity;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use std::time::Duration;

const ASSUME: &str = "assume the role of AWS";
const AUTHORIZE: &str = "get a password for ECR";
const JSON: &str = "application/x-amz-json-1.1";
const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
/// AWS takes no longer name of a session.
const LONGEST_SESSION: usize = 64;

pub(super) struct Servers<'a> {
    pub(super) role: &'a str,
    pub(super) region: &'a str,
    pub(super) sts: &'a str,
    pub(super) ecr: &'a str,
}

pub(super) async fn login(wire: &Wire, identity: &Identity, servers: &Servers<'_>, token: &str) -> Result<Login, IdentityError> {
    let said = wire.post(assume(identity, servers, token)).await?;
    let keys = keys(&said).ok_or_else(|| IdentityError::Invalid {
        attempt: ASSUME,
        server: server(servers.sts),
        problem: "it has no AccessKeyId, SecretAccessKey and SessionToken",
    })?;
    let now = Timestamp::now();
    let said = wire.post(authorize(servers, &keys, now)).await?;
    password(&said, now).map_err(|problem| IdentityError::Invalid { attempt: AUTHORIZE, server: server(servers.ecr), problem })
}

fn assume<'a>(identity: &Identity, servers: &Servers<'_>, token: &'a str) -> Ask<'a> {
    let mut session = format!("gowindows-{}", identity.service_account);
    session.truncate(LONGEST_SESSION);
    let body = form(&[
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", servers.role),
        ("RoleSessionName", &session),
        ("WebIdentityToken", token),
    ]);
    let remedy = format!(
        "let the trust policy of {} allow sts:AssumeRoleWithWebIdentity to this cluster's OIDC provider for sub {} and aud {}",
        servers.role,
        identity.subject(),
        identity.audience
    );
    let headers = vec![("content-type", FORM.to_owned())];
    Ask { attempt: ASSUME, url: format!("{}/", servers.sts), headers, body, secrets: vec![token], remedy }
}

fn keys(answer: &[u8]) -> Option<Keys> {
    let text = std::str::from_utf8(answer).ok()?;
    let part = |name: &str| element(text, name).map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned);
    Some(Keys { id: part("AccessKeyId")?, secret: part("SecretAccessKey")?, session: part("SessionToken")? })
}

fn authorize<'a>(servers: &Servers<'_>, keys: &'a Keys, now: Timestamp) -> Ask<'a> {
    let (host, time, body) = (server(servers.ecr), now.strftime("%Y%m%dT%H%M%SZ").to_string(), "{}");
    let headers = [
        ("content-type", JSON),
        ("host", host.as_str()),
        ("x-amz-date", time.as_str()),
        ("x-amz-security-token", keys.session.as_str()),
        ("x-amz-target", TARGET),
    ];
    let scope = Scope { time: &time, region: servers.region, service: "ecr" };
    let authorization = sigv4::authorization(keys, &scope, &headers, body);
    // The client writes `host` itself.
    let mut sent: Vec<_> = headers.into_iter().filter(|(name, _)| *name != "host").map(|(name, value)| (name, value.to_owned())).collect();
    sent.push(("authorization", authorization));
    Ask {
        attempt: AUTHORIZE,
        url: format!("{}/", servers.ecr),
        headers: sent,
        body: body.into(),
        secrets: vec![&keys.secret, &keys.session],
        remedy: format!("let {} do ecr:GetAuthorizationToken, and push into and pull from the repository", servers.role),
    }
}

fn password(answer: &[u8], now: Timestamp) -> Result<Login, &'static str> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        authorization_data: Vec<Authorization>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Authorization {
        authorization_token: String,
        /// Seconds, with a fraction.
        expires_at: f64,
    }
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| "it is not the JSON that it should be")?;
    let data = answer.authorization_data.into_iter().next().ok_or("it has no authorizationData")?;
    let decoded = STANDARD.decode(data.authorization_token.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (username, password) =
        decoded.as_deref().and_then(|text| text.split_once(':')).ok_or("its token is not base64 of user:password")?;
    let left = data.expires_at - now.as_second() as f64;
    let lasts = Duration::try_from_secs_f64(left.max(0.0)).unwrap_or_default();
    Ok(Login { username: username.into(), password: password.into(), lasts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_from_the_documented_answer() {
        let answer = br#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
          <AssumeRoleWithWebIdentityResult>
            <SubjectFromWebIdentityToken>system:serviceaccount:shop:push</SubjectFromWebIdentityToken>
            <Credentials>
              <SessionToken>AQoDYXdzEE0a8ANXXXXXXXXNO1ewxE5TijQyp+IEXAMPLE</SessionToken>
              <SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY</SecretAccessKey>
              <Expiration>2014-10-24T23:00:23Z</Expiration>
              <AccessKeyId>ASgeIAIOSFODNN7EXAMPLE</AccessKeyId>
            </Credentials>
          </AssumeRoleWithWebIdentityResult>
        </AssumeRoleWithWebIdentityResponse>"#;
        let keys = keys(answer).expect("keys");
        assert_eq!((keys.id.as_str(), keys.session.len()), ("ASgeIAIOSFODNN7EXAMPLE", 46));
        for wrong in [&b""[..], b"<html>Please sign in.</html>", b"<AccessKeyId>a</AccessKeyId>", b"\xff"] {
            assert!(super::keys(wrong).is_none());
        }
    }

    #[test]
    fn the_password_is_that_of_the_documented_answer() {
        let now = Timestamp::from_second(1_700_000_000).expect("a time");
        let answer = |token: &str, expires: &str| {
            format!(
                r#"{{"authorizationData":[{{"authorizationToken":"{token}","expiresAt":{expires},"proxyEndpoint":"https://1.dkr.ecr.x.amazonaws.com"}}]}}"#
            )
        };
        let login = password(answer("QVdTOnBhc3M6d29yZA==", "1.7000432E9").as_bytes(), now).expect("a password");
        assert_eq!((login.username.as_str(), login.password.as_str(), login.lasts.as_secs()), ("AWS", "pass:word", 43_200));
        assert_eq!(password(answer("QVdTOng=", "1.0").as_bytes(), now).map(|login| login.lasts), Ok(Duration::ZERO), "over already");
        for wrong in [answer("QVdT", "1.0"), answer("?", "1.0"), r#"{"authorizationData":[]}"#.into(), "<html>".into()] {
            assert!(password(wrong.as_bytes(), now).is_err(), "{wrong}");
        }
    }
}
