//! How is cosign's encrypted private key opened? scrypt makes a key of the password, and a NaCl secretbox holds the DER.
//!
//! The box is XSalsa20 with Poly1305: the first 32 bytes of the key stream authenticate the rest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit as _;
use salsa20::XSalsa20;
use salsa20::cipher::{KeyIvInit as _, StreamCipher as _};
use serde::Deserialize;

/// log2(N) of the parameters that cosign has ever written, all with r = 8 and p = 1. Others would be a way to use up our memory.
const KNOWN_COSTS: [u8; 3] = [15, 16, 17];
const TAG: usize = 16;

#[derive(Deserialize)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// The DER that was sealed with this password. Takes up to 128 MiB: [`Keys`](super::Keys) opens one at a time.
pub(super) fn open(sealed: &[u8], password: &[u8]) -> Result<Vec<u8>, String> {
    let damaged = || "has a cosign.key that is not as cosign writes it; make a new one with `cosign generate-key-pair`".to_owned();
    let sealed: Sealed = serde_json::from_slice(sealed).map_err(|_| damaged())?;
    let bytes = |text: &str| STANDARD.decode(text).map_err(|_| damaged());
    let Params { n, r, p } = sealed.kdf.params;
    let cost = KNOWN_COSTS.into_iter().find(|cost| n == 1 << cost);
    let (Some(cost), "scrypt", "nacl/secretbox", 8, 1) = (cost, sealed.kdf.name.as_str(), sealed.cipher.name.as_str(), r, p) else {
        return Err(
            "has a cosign.key with scrypt parameters or a cipher that cosign does not use; make a new one with `cosign generate-key-pair`"
                .into(),
        );
    };
    let (salt, nonce, ciphertext) = (bytes(&sealed.kdf.salt)?, bytes(&sealed.cipher.nonce)?, bytes(&sealed.ciphertext)?);
    let mut key = [0; 32];
    let params = scrypt::Params::new(cost, r, p).map_err(|_| damaged())?;
    scrypt::scrypt(password, &salt, &params, &mut key).map_err(|_| damaged())?;
    let nonce: [u8; 24] = nonce.try_into().map_err(|_| damaged())?;
    open_box(&key, &nonce, &ciphertext)
        .ok_or_else(|| "has a cosign.password that does not open its cosign.key; put the right one there".into())
}

fn open_box(key: &[u8; 32], nonce: &[u8; 24], sealed: &[u8]) -> Option<Vec<u8>> {
    let (tag, ciphertext) = sealed.split_at_checked(TAG)?;
    let mut stream = XSalsa20::new(key.into(), nonce.into());
    let mut authentication = [0; 32];
    stream.apply_keystream(&mut authentication);
    let computed = Poly1305::new((&authentication).into()).compute_unpadded(ciphertext);
    let same = aws_lc_rs::constant_time::verify_slices_are_equal(computed.as_slice(), tag).is_ok();
    let mut opened = ciphertext.to_vec();
    stream.apply_keystream(&mut opened);
    same.then_some(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document of go-securesystemslib's own tests, whose password is `super` + `secret`.
    const SEALED: &str = r#"{"kdf":{"name":"scrypt","params":{"N":65536,"r":8,"p":1},"salt":"FhzPOt9/bJG4PTq6lQ6ecG6GzaOuOy/ynG5+yRiFlNs="},"cipher":{"name":"nacl/secretbox","nonce":"aw1ng1jHaDz/tQ7V2gR9O2+IGQ8xJEuE"},"ciphertext":"HycvuLZL4sYH0BrYTh4E/H20VtAW6u5zL5Pr+IBjYLYnCPzDkq8="}"#;

    #[test]
    fn what_another_program_sealed_is_opened_with_the_password_and_with_no_other() {
        assert_eq!(
            open(SEALED.as_bytes(), b"supersecret").as_deref(),
            Ok(br#""cmVhbGx5aW1wb3J0YW50""#.as_slice()),
            "JSON, as it was sealed"
        );
        assert!(open(SEALED.as_bytes(), b"supersecre").is_err_and(|error| error.contains("cosign.password")));
        let changed = SEALED.replace("HycvuLZL", "HycvuLZM");
        assert!(open(changed.as_bytes(), b"supersecret").is_err());
    }

    #[test]
    fn parameters_that_would_use_up_the_memory_are_refused() {
        for n in ["1073741824", "65535", "0"] {
            let costly = SEALED.replace("65536", n);
            assert!(open(costly.as_bytes(), b"supersecret").is_err_and(|error| error.contains("scrypt")), "{n}");
        }
        assert!(open(SEALED.replace("\"r\":8", "\"r\":80000").as_bytes(), b"supersecret").is_err());
    }
}
