//! How does a request to AWS say who it is from? Signature Version 4, as far as a POST of one short body to the root of a host needs it.
//!
//! Ours and not `aws-sigv4`: that crate brings the SDK's runtime types and a second SHA-256 with it, for what is five HMACs here; the HMAC is
//! that of the TLS provider. The tests hold it against the examples that AWS publishes.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use sha2::{Digest, Sha256};

/// The keys of an assumed role.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) session: String,
}

/// Where and when.
pub(super) struct Scope<'a> {
    /// `20150830T123600Z`
    pub(super) time: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// The value of `Authorization` for `POST /`. `headers` are those that are sent, names in lower case and in order.
pub(super) fn authorization(keys: &Keys, scope: &Scope<'_>, headers: &[(&str, &str)], body: &str) -> String {
    let Scope { time, region, service } = scope;
    let canonical: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let signed = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let request = format!("POST\n/\n\n{canonical}\n{signed}\n{}", sha256(body));
    let date = time.get(..8).unwrap_or_default();
    let place = format!("{date}/{region}/{service}/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{place}\n{}", sha256(&request));
    let secret = format!("AWS4{}", keys.secret).into_bytes();
    let key = [date, region, service, "aws4_request"].into_iter().fold(secret, |key, part| hmac(&key, part));
    let signature = hex::encode(hmac(&key, &text));
    format!("AWS4-HMAC-SHA256 Credential={}/{place}, SignedHeaders={signed}, Signature={signature}", keys.id)
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "20150830T123600Z";
    const HOST: (&str, &str) = ("host", "example.amazonaws.com");

    type Headers<'a> = &'a [(&'a str, &'a str)];

    fn signed(headers: Headers<'_>, body: &str) -> String {
        let keys = Keys { id: "AKIDEXAMPLE".into(), secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(), session: String::new() };
        authorization(&keys, &Scope { time: TIME, region: "us-east-1", service: "service" }, headers, body)
    }

    /// `post-vanilla`, `post-sts-header-before` and `post-x-www-form-urlencoded` of AWS' test suite for Signature Version 4.
    #[test]
    fn the_published_examples_are_signed_as_published() {
        let session = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        let form = ("content-type", "application/x-www-form-urlencoded");
        let table: [(Headers<'_>, &str, &str); 3] = [
            (&[HOST, ("x-amz-date", TIME)], "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                &[HOST, ("x-amz-date", TIME), ("x-amz-security-token", session)],
                "",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
            (&[form, HOST, ("x-amz-date", TIME)], "Param1=value1", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
        ];
        for (headers, body, signature) in table {
            let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={names}, Signature={signature}"
            );
            assert_eq!(signed(headers, body), expected);
        }
    }
}
