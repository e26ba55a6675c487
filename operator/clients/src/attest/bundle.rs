//! In which form is a statement signed? A DSSE envelope in a Sigstore bundle 0.3, as cosign writes it.
//!
//! What is read here was written by anybody who may push: only an envelope whose signature holds under the given key counts.

use super::SigningKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gowindows_model::attest::{STATEMENT, Statement};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Media type and artifact type of a bundle.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A signed statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    media_type: String,
    verification_material: VerificationMaterial,
    dsse_envelope: Envelope,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerificationMaterial {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<Hint>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hint {
    hint: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    sig: String,
}

/// Why a bundle proves nothing.
#[derive(Debug, Error)]
pub enum InvalidBundle {
    /// No bundle of this form.
    #[error("it is not a Sigstore bundle with a DSSE envelope: {0}")]
    Form(String),
    /// No signature in it is by this key.
    #[error("no signature in it was made with this key")]
    OtherKey,
}

impl Bundle {
    /// Signs a statement.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn sign(statement: &Statement, key: &SigningKey) -> Result<Self, super::InvalidKey> {
        let payload = serde_json::to_vec(statement).map_err(|error| super::InvalidKey::new(error.to_string()))?;
        let signature = key.sign(&pre_authentication_encoding(STATEMENT, &payload))?;
        Ok(Self {
            media_type: BUNDLE.into(),
            verification_material: VerificationMaterial { public_key: Some(Hint { hint: key.hint().into() }) },
            dsse_envelope: Envelope {
                payload: STANDARD.encode(payload),
                payload_type: STATEMENT.into(),
                signatures: vec![Signature { sig: STANDARD.encode(signature) }],
            },
        })
    }

    /// The statement, if it was signed with this key.
    ///
    /// # Errors
    /// See [`InvalidBundle`].
    pub fn verify(bytes: &[u8], key: &SigningKey) -> Result<Statement, InvalidBundle> {
        let form = |error: &dyn std::fmt::Display| InvalidBundle::Form(error.to_string());
        let bundle: Self = serde_json::from_slice(bytes).map_err(|error| form(&error))?;
        let Envelope { payload, payload_type, signatures } = bundle.dsse_envelope;
        if payload_type != STATEMENT {
            return Err(form(&format!("payloadType {payload_type:?}")));
        }
        let payload = STANDARD.decode(payload).map_err(|error| form(&error))?;
        let signed = pre_authentication_encoding(&payload_type, &payload);
        let ours = |signature: &Signature| STANDARD.decode(&signature.sig).is_ok_and(|signature| key.verifies(&signed, &signature));
        // One by us is enough, and an envelope with thousands is no reason to try them all.
        if !signatures.iter().take(8).any(ours) {
            return Err(InvalidBundle::OtherKey);
        }
        serde_json::from_slice(&payload).map_err(|error| form(&error))
    }

    /// As it is stored.
    ///
    /// # Errors
    /// Never in practice.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
}

/// What is signed (DSSE v1): no reading of it can be mistaken for another type's.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut encoded = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    encoded.extend_from_slice(payload);
    encoded
}

#[cfg(test)]
mod tests {
    use super::super::SigningKey;
    use super::*;
    use gowindows_model::attest::Predicate;
    use serde_json::json;
    use windows_image::Digest;

    #[test]
    fn what_is_signed_is_read_back_and_nothing_else() {
        let (key, other) = (SigningKey::generate(), SigningKey::generate());
        let image = Digest::of(b"image");
        let statement = Statement::new(&image, Predicate::Published, json!({}));
        let bytes = Bundle::sign(&statement, &key).expect("signed").to_bytes().expect("JSON");
        let read = Bundle::verify(&bytes, &key).expect("ours");
        assert_eq!(read, statement);
        assert!(read.says(&image, Predicate::Published));
        assert!(!read.says(&image, Predicate::Provenance) && !read.says(&Digest::of(b"other"), Predicate::Published));
        assert!(matches!(Bundle::verify(&bytes, &other), Err(InvalidBundle::OtherKey)));

        let mut forged: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        let other_image = Statement::new(&Digest::of(b"other"), Predicate::Published, json!({}));
        forged["dsseEnvelope"]["payload"] = STANDARD.encode(serde_json::to_vec(&other_image).expect("JSON")).into();
        assert!(matches!(Bundle::verify(forged.to_string().as_bytes(), &key), Err(InvalidBundle::OtherKey)));
        forged["dsseEnvelope"]["payloadType"] = "text/plain".into();
        assert!(matches!(Bundle::verify(forged.to_string().as_bytes(), &key), Err(InvalidBundle::Form(_))));
        assert!(matches!(Bundle::verify(b"{}", &key), Err(InvalidBundle::Form(_))));
    }

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
