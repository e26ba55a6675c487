//! What does a layer unpack to?

use super::{Tree, tree};
use crate::image::compression::{self, Form};
use crate::image::digest::{Digest, Hashing};
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
pub fn unpacked<'a>(
    form: impl Into<Form<'a>>,
    layer: impl Read,
    most_bytes: u64,
    program: Option<&str>,
    sink: &mut impl Write,
) -> io::Result<Unpacked> {
    let form = form.into();
    let mut compressed = Hashing::new(layer);
    let mut content = Hashing::new(compression::reader(form, &mut compressed)?.take(most_bytes));
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

/// Reads a layer to its end, which has to unpack to `content` and nothing else. Much faster than hashing what it unpacks to.
///
/// # Errors
/// It does not, or as [`unpacked`].
pub fn unpacks_to<'a>(form: impl Into<Form<'a>>, layer: impl Read, content: impl Read, program: &str) -> io::Result<Tree> {
    let (form, mut layer, mut content) = (form.into(), layer, content);
    let mut same = Same { unpacked: compression::reader(form, &mut layer)?, content: &mut content, piece: Vec::new() };
    let tree = tree(&mut same, Some(program), &mut io::sink())?;
    drop(same);
    if content.read(&mut [0])? == 0 && layer.read(&mut [0])? == 0 { Ok(tree) } else { Err(differs()) }
}

/// Gives what is unpacked, as long as it is the same as the content.
struct Same<'a, C> {
    unpacked: Box<dyn Read + 'a>,
    content: C,
    piece: Vec<u8>,
}

impl<C: Read> Read for Same<'_, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.unpacked.read(buffer)?;
        self.piece.resize(read, 0);
        self.content.read_exact(&mut self.piece).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => differs(),
            _ => error,
        })?;
        if self.piece == buffer[..read] { Ok(read) } else { Err(differs()) }
    }
}

fn differs() -> io::Error {
    io::Error::other("it unpacks to something else than what was put into it")
}
