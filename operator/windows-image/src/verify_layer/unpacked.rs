//! What does a layer unpack to?

use super::{Tree, tree};
use crate::compression;
use crate::digest::{Digest, Hashing};
use std::io::{self, Read, Write};

/// A layer that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// Digest of the compressed bytes.
    pub digest: Digest,
    /// Compressed size in bytes.
    pub size: u64,
    /// Digest of the tar.
    pub diff_id: Digest,
    /// What is in it.
    pub tree: Tree,
}

/// Reads a layer to its end, unpacking at most `most_bytes`. The bytes of `program`, a path in the layer, also go to `sink`.
///
/// # Errors
/// Reading or writing failed, it is not compressed as it should be, or no tar, or too large.
pub fn unpacked(media_type: &str, layer: impl Read, most_bytes: u64, program: Option<&str>, sink: &mut impl Write) -> io::Result<Unpacked> {
    let mut compressed = Hashing::new(layer);
    let mut content = Hashing::new(compression::reader(media_type, &mut compressed)?.take(most_bytes));
    let tree = tree(&mut content, program, sink)?;
    let (diff_id, bytes, limited) = content.finish();
    drop(limited);
    if bytes == most_bytes {
        return Err(io::Error::other(format!("it unpacks to more than {most_bytes} bytes")));
    }
    // What follows the content belongs to the blob too.
    io::copy(&mut compressed, &mut io::sink())?;
    let (digest, size, _) = compressed.finish();
    Ok(Unpacked { digest, size, diff_id, tree })
}
