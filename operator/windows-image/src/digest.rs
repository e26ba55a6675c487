//! Which bytes are meant? The sha256 digests by which registries name them.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;
use thiserror::Error;

/// `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// The text is not a digest that can be checked.
#[derive(Debug, Error)]
#[error("{0:?} is not a digest of the form sha256:<64 hex digits>")]
pub struct InvalidDigest(String);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(bytes);
        Self::finish(hash)
    }

    /// As it stands in manifests.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hex digits alone.
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    fn finish(hash: Sha256) -> Self {
        Self(format!("sha256:{}", hex::encode(hash.finalize())))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() != 64 || !hex.bytes().all(lower_hex) {
            return Err(InvalidDigest(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_string()))
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

/// Hashes and counts what passes through to (or from) another stream.
pub struct Hashing<S> {
    stream: S,
    hash: Sha256,
    bytes: u64,
}

impl<S> Hashing<S> {
    /// Counts from here on.
    pub fn new(stream: S) -> Self {
        Self { stream, hash: Sha256::new(), bytes: 0 }
    }

    /// Digest and number of the bytes so far, and the stream.
    pub fn finish(self) -> (Digest, u64, S) {
        (Digest::finish(self.hash), self.bytes, self.stream)
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(buffer)?;
        self.count(&buffer[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.count(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checkable_digests_are_accepted() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert!(empty.parse::<Digest>().is_ok());
        for bad in ["", "sha256:", "sha256:E3B0", &empty[..70], &empty.replace("sha256", "sha512"), &empty.to_uppercase()] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hashing_counts_what_passes() {
        let mut writer = Hashing::new(Vec::new());
        writer.write_all(b"ab").and_then(|()| writer.write_all(b"c")).expect("a vector takes all");
        let (digest, bytes, stream) = writer.finish();
        assert_eq!((digest, bytes, stream), (Digest::of(b"abc"), 3, b"abc".to_vec()));
    }
}
