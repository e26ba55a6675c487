//! How does a registry want to be convinced? Challenges and bearer tokens.
//!
//! The distribution specification's token exchange: the registry's 401 names a token server (the realm), which gives a token
//! for a scope. The realm is the registry's own word, so it gets that registry's credential and no other, and only over TLS
//! unless the registry itself is spoken to without.

use super::credentials::Credential;
use reqwest::Url;
use serde::Deserialize;

/// What a 401 asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password in each request.
    Basic,
    /// A token from this server.
    Bearer {
        /// Its address.
        realm: Url,
        /// The service's name, to pass on.
        service: Option<String>,
    },
}

/// Reads a `WWW-Authenticate` header; a bearer challenge is preferred.
pub(super) fn challenge(header: &str, plain_http: bool) -> Result<Challenge, String> {
    let challenges = http_auth::parse_challenges(header).map_err(|_| "its WWW-Authenticate header cannot be read".to_string())?;
    let scheme = |name: &str| challenges.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case(name));
    if let Some(bearer) = scheme("bearer") {
        let parameter =
            |name: &str| bearer.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_unescaped());
        let realm = parameter("realm").and_then(|realm| Url::parse(&realm).ok()).ok_or("its token server's address cannot be read")?;
        let allowed = realm.scheme() == "https" || (plain_http && realm.scheme() == "http");
        if !allowed || !realm.username().is_empty() || realm.password().is_some() {
            return Err(format!(
                "its token server {} is not to be trusted with credentials: https is needed",
                realm.host_str().unwrap_or_default()
            ));
        }
        return Ok(Challenge::Bearer { realm, service: parameter("service") });
    }
    match scheme("basic") {
        Some(_) => Ok(Challenge::Basic),
        None => Err("it asks for a kind of authentication other than Basic and Bearer".into()),
    }
}

/// The request to a token server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenRequest {
    /// `GET` with the credential as basic authentication, if there is one.
    Get(Url),
    /// `POST` of this form.
    PostForm(Url, String),
}

/// How to ask for a token for these scopes.
pub(super) fn token_request(realm: &Url, service: Option<&str>, scopes: &[String], credential: Option<&Credential>) -> TokenRequest {
    let mut parameters: Vec<(&str, &str)> = service.into_iter().map(|service| ("service", service)).collect();
    match credential {
        Some(Credential::IdentityToken(token)) => {
            let joined = scopes.join(" ");
            parameters.extend([("client_id", "gowindows"), ("grant_type", "refresh_token"), ("refresh_token", token), ("scope", &joined)]);
            let mut form = realm.clone();
            form.query_pairs_mut().clear().extend_pairs(parameters);
            TokenRequest::PostForm(realm.clone(), form.query().unwrap_or_default().into())
        }
        _ => {
            let mut url = realm.clone();
            url.query_pairs_mut().extend_pairs(parameters).extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
            TokenRequest::Get(url)
        }
    }
}

/// The token in a token server's answer.
pub(super) fn token(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    answer.token.or(answer.access_token).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEARER: &str = r#"Bearer realm="https://auth.example.com/token",service="registry.example.com",scope="repository:a:pull""#;

    #[test]
    fn challenges_are_read_in_any_order_and_case() {
        let Ok(Challenge::Bearer { realm, service }) = challenge(&format!("Basic realm=\"x\", {BEARER}"), false) else {
            panic!("a bearer")
        };
        assert_eq!((realm.as_str(), service.as_deref()), ("https://auth.example.com/token", Some("registry.example.com")));
        assert_eq!(challenge("basic realm=x", false), Ok(Challenge::Basic));
        assert!(challenge("Negotiate", false).is_err());
        assert!(challenge("Bearer realm=\"nonsense\"", false).is_err());
        assert!(challenge("", false).is_err());
    }

    #[test]
    fn a_token_server_without_tls_is_refused_unless_the_registry_has_none() {
        let plain = r#"Bearer realm="http://auth.example.com/token""#;
        assert!(challenge(plain, false).is_err());
        assert!(challenge(plain, true).is_ok());
        assert!(challenge(r#"Bearer realm="https://u:p@auth.example.com/""#, false).is_err());
    }

    #[test]
    fn scopes_and_service_are_passed_on() {
        let realm = Url::parse("https://auth.example.com/token?x=1").expect("a URL");
        let scopes = ["repository:a/b:pull,push".to_string(), "repository:c:pull".to_string()];
        let TokenRequest::Get(url) = token_request(&realm, Some("svc"), &scopes, None) else { panic!("a GET") };
        assert_eq!(url.query(), Some("x=1&service=svc&scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Ac%3Apull"));
        let credential = Credential::IdentityToken("r&t".into());
        let TokenRequest::PostForm(url, form) = token_request(&realm, Some("svc"), &scopes, Some(&credential)) else { panic!("a POST") };
        assert_eq!(url, realm, "no secret in the address");
        assert!(form.contains("refresh_token=r%26t") && form.contains("grant_type=refresh_token"), "{form}");
    }

    #[test]
    fn both_names_of_the_token_are_understood() {
        assert_eq!(token(br#"{"token":"a"}"#), Some("a".into()));
        assert_eq!(token(br#"{"access_token":"b","expires_in":300}"#), Some("b".into()));
        assert_eq!(token(br#"{"token":""}"#), None);
        assert_eq!(token(b"no"), None);
    }
}
