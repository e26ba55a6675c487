//! Is a ServiceAccount's token one of this cluster, for this cloud, of this account, and still good? (RFC 7519, ES256.)

use super::{Trust, now};
use anyhow::{Context, Result, ensure};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

/// Published keys, each with its id.
#[derive(Clone, Debug)]
pub struct Jwks(Vec<(String, Vec<u8>)>);

/// What a token says, as far as a cloud looks.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Vec<String>,
    exp: u64,
    nbf: Option<u64>,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is none, or signed by somebody else.
    Forged,
    /// It is over, or not yet good.
    Late,
    /// It is for somebody else.
    Audience,
    /// It is of another cluster or account.
    Stranger,
}

impl Jwks {
    /// Reads a set of keys as `/openid/v1/jwks` has it.
    ///
    /// # Errors
    /// When it holds anything but P-256 keys.
    pub fn read(text: &str) -> Result<Self> {
        let set: Value = serde_json::from_str(text)?;
        let key = |key: &Value| {
            ensure!(key["kty"] == "EC" && key["crv"] == "P-256", "a key of another kind: {}", key["kty"]);
            let part = |name: &str| -> Result<Vec<u8>> { Ok(URL_SAFE_NO_PAD.decode(key[name].as_str().context("a coordinate")?)?) };
            let point = [vec![4], part("x")?, part("y")?].concat();
            Ok((key["kid"].as_str().unwrap_or_default().to_owned(), point))
        };
        Ok(Self(set["keys"].as_array().context("keys")?.iter().map(key).collect::<Result<_>>()?))
    }

    fn verified(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let head: Value = serde_json::from_slice(&decode(head)?).ok()?;
        let (_, point) = self.0.iter().find(|(id, _)| head["alg"] == "ES256" && head["kid"] == id.as_str())?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &decode(signature)?).ok()?;
        serde_json::from_slice(&decode(claims)?).ok()
    }
}

impl Trust {
    /// Whether a token lets its bearer in.
    pub(super) fn accepts(&self, token: &str, audiences: &[&str]) -> Result<(), Refused> {
        let claims = self.keys.verified(token).ok_or(Refused::Forged)?;
        match () {
            () if claims.exp <= now() || claims.nbf.is_some_and(|start| start > now() + 60) => Err(Refused::Late),
            () if !claims.aud.iter().any(|audience| audiences.contains(&audience.as_str())) => Err(Refused::Audience),
            () if claims.iss != self.issuer || claims.sub != self.subject => Err(Refused::Stranger),
            () => Ok(()),
        }
    }
}

/// What an API server is to a cloud, for tests without one.
pub struct Issuer {
    key: EcdsaKeyPair,
}

impl Issuer {
    /// Its `iss`.
    pub const NAME: &str = "https://cluster.example.com";
    const KEY: &str = "one";

    /// With a key of its own.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new() -> Result<Self> {
        Ok(Self { key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).context("make a key")? })
    }

    /// Its published keys.
    pub fn keys(&self) -> Jwks {
        Jwks(vec![(Self::KEY.to_owned(), self.key.public_key().as_ref().to_vec())])
    }

    /// A token as the API server makes it; over already where `lasts` is negative.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token(&self, subject: &str, audience: &str, lasts: i64) -> Result<String> {
        let end = now().saturating_add_signed(lasts);
        let claims = json!({"iss": Self::NAME, "sub": subject, "aud": [audience], "exp": end, "iat": now(), "nbf": now()});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&json!({"alg": "ES256", "kid": Self::KEY})), encode(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).context("sign a token")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
