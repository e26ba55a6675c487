//! With which key is signed? That of a Secret, as `cosign generate-key-pair k8s://` writes it, or a plain one.
//!
//! | key in the Secret | what it holds |
//! |---|---|
//! | `cosign.key` | PEM: cosign's encrypted form, PKCS#8 or EC (P-256) |
//! | `cosign.password` | what the encrypted form was encrypted with |
//! | `cosign.pub` | the public half; optional, but if it is there it must be the other half |
//!
//! No message names any part of a key.

use super::encrypted;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;
use windows_image::Digest;

const PRIVATE: &str = "cosign.key";
const PASSWORD: &str = "cosign.password";
const PUBLIC: &str = "cosign.pub";

/// A P-256 key. Its parts are never shown.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    hint: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.hint)
    }
}

/// Why a Secret's key cannot be used; fits after "the Secret".
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct InvalidKey(String);

impl InvalidKey {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl SigningKey {
    /// Takes the key out of a Secret's data. An encrypted one takes some 0.3 s and 64 MiB.
    ///
    /// # Errors
    /// What is missing or wrong, and the remedy.
    pub fn from_secret(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, InvalidKey> {
        let pem = data.get(PRIVATE).ok_or_else(|| {
            InvalidKey::new(format!("has no key {PRIVATE}; make one with `cosign generate-key-pair k8s://<namespace>/<name>`"))
        })?;
        let (label, content) = pem_block(pem)
            .ok_or_else(|| InvalidKey::new(format!("has something in {PRIVATE} that is not PEM; put a private key in PEM form there")))?;
        let der = match label.as_str() {
            "PRIVATE KEY" | "EC PRIVATE KEY" => content,
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                let password = data.get(PASSWORD).ok_or_else(|| {
                    InvalidKey::new(format!("has an encrypted {PRIVATE} and no {PASSWORD}; add the password that it was made with"))
                })?;
                encrypted::open(&content, password).map_err(InvalidKey::new)?
            }
            _ => {
                return Err(InvalidKey::new(format!(
                    "has a {PRIVATE} of another kind than cosign's encrypted one, PRIVATE KEY or EC PRIVATE KEY; use one of these"
                )));
            }
        };
        let key = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, &der)
            .map_err(|_| InvalidKey::new(format!("has a {PRIVATE} that is no ECDSA key on the curve P-256, the only kind that is used")))
            .and_then(Self::new)?;
        key.check_public(data.get(PUBLIC))?;
        Ok(key)
    }

    fn new(pair: EcdsaKeyPair) -> Result<Self, InvalidKey> {
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key());
        let public = public.map_err(|_| InvalidKey::new(format!("has a {PRIVATE} without a public half")))?;
        let digest = hex::decode(Digest::of(public.as_ref()).hex()).unwrap_or_default();
        Ok(Self { pair, hint: STANDARD.encode(digest) })
    }

    /// A public half that is another key's would let every check of the signatures fail, and nobody would know why.
    fn check_public(&self, public: Option<&Vec<u8>>) -> Result<(), InvalidKey> {
        let Some(pem) = public else { return Ok(()) };
        let own = AsDer::<PublicKeyX509Der<'_>>::as_der(self.pair.public_key()).ok();
        let same = pem_block(pem).is_some_and(|(_, content)| own.is_some_and(|own| own.as_ref() == content));
        let other =
            || InvalidKey::new(format!("has a {PUBLIC} that is not the public half of {PRIVATE}; remove it, or put the right one there"));
        if same { Ok(()) } else { Err(other()) }
    }

    /// Names the key as cosign does: the sha256 of its public half, in base64.
    pub fn hint(&self) -> &str {
        &self.hint
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, InvalidKey> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        signature.map(|signature| signature.as_ref().to_vec()).map_err(|_| InvalidKey::new(format!("has a {PRIVATE} that does not sign")))
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.pair.public_key().as_ref()).verify(message, signature).is_ok()
    }

    #[cfg(test)]
    pub(crate) fn generate() -> Self {
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(|_| InvalidKey::new("")).and_then(Self::new).expect("a key")
    }
}

/// Label and content of the first block.
fn pem_block(pem: &[u8]) -> Option<(String, Vec<u8>)> {
    let text = std::str::from_utf8(pem).ok()?;
    let (label, rest) = text.split_once("-----BEGIN ")?.1.split_once("-----")?;
    let body = rest.split_once("-----END ")?.0;
    let base64: String = body.split_whitespace().collect();
    Some((label.to_owned(), STANDARD.decode(base64).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der};

    fn pem(label: &str, der: &[u8]) -> Vec<u8> {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der)).into_bytes()
    }

    fn secret(entries: &[(&str, Vec<u8>)]) -> BTreeMap<String, Vec<u8>> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    #[test]
    fn plain_keys_of_both_forms_are_the_same_key() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let pkcs8 = pair.to_pkcs8v1().expect("DER").as_ref().to_vec();
        let ec = AsDer::<EcPrivateKeyRfc5915Der<'_>>::as_der(&pair.private_key()).expect("DER").as_ref().to_vec();
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("DER").as_ref().to_vec();
        let hint = STANDARD.encode(hex::decode(Digest::of(&public).hex()).expect("hex"));
        for (label, der) in [("PRIVATE KEY", pkcs8), ("EC PRIVATE KEY", ec)] {
            let data = secret(&[(PRIVATE, pem(label, &der)), (PUBLIC, pem("PUBLIC KEY", &public))]);
            assert_eq!(SigningKey::from_secret(&data).expect("a key").hint(), hint, "{label}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_and_not_shown() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let other = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P384_SHA384_ASN1_SIGNING).expect("a key");
        let der = |pair: &EcdsaKeyPair| pair.to_pkcs8v1().expect("DER").as_ref().to_vec();
        let good = pem("PRIVATE KEY", &der(&pair));
        let stranger = AsDer::<PublicKeyX509Der<'_>>::as_der(other.public_key()).expect("DER").as_ref().to_vec();
        let sealed = br#"{"kdf":{"name":"scrypt","params":{"N":1073741824,"r":8,"p":1},"salt":""},"cipher":{"name":"nacl/secretbox","nonce":""},"ciphertext":""}"#;
        let password = (PASSWORD, b"hunter2hunter2".to_vec());
        for (data, says) in [
            (secret(&[]), "has no key cosign.key"),
            (secret(&[(PRIVATE, b"hunter2hunter2".to_vec())]), "not PEM"),
            (secret(&[(PRIVATE, pem("RSA PRIVATE KEY", b"hunter2hunter2"))]), "of another kind"),
            (secret(&[(PRIVATE, pem("PRIVATE KEY", b"hunter2hunter2"))]), "P-256"),
            (secret(&[(PRIVATE, pem("PRIVATE KEY", &der(&other)))]), "P-256"),
            (secret(&[(PRIVATE, good), (PUBLIC, pem("PUBLIC KEY", &stranger))]), "not the public half"),
            (secret(&[(PRIVATE, pem("ENCRYPTED SIGSTORE PRIVATE KEY", sealed))]), "no cosign.password"),
            (secret(&[(PRIVATE, pem("ENCRYPTED SIGSTORE PRIVATE KEY", sealed)), password.clone()]), "scrypt"),
            (secret(&[(PRIVATE, pem("ENCRYPTED SIGSTORE PRIVATE KEY", b"{}")), password]), "cosign"),
        ] {
            let error = SigningKey::from_secret(&data).expect_err("not usable").to_string();
            assert!(error.contains(says) && !error.contains("hunter2"), "{says:?} is not in {error:?}");
        }
    }
}
