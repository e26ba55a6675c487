//! How is a layer unpacked and looked at without one waiting for the other?

use super::{Tree, tree};
use crate::image::compression::{self, Form};
use crate::image::digest::{Digest, Hashing};
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Small enough to stay in a processor's cache between the two threads.
const PIECE: usize = 64 * 1024;
/// So many pieces are unpacked before they are looked at.
const AHEAD: usize = 8;

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
/// Unpacks on a thread of its own: hashing the tar takes half as long as that.
///
/// # Errors
/// Reading or writing failed, it is not compressed as it should be, or no tar, or too large.
pub fn unpacked<'a>(
    form: impl Into<Form<'a>>,
    layer: impl Read + Send,
    most_bytes: u64,
    program: Option<&str>,
    sink: &mut impl Write,
) -> io::Result<Unpacked> {
    let form = form.into();
    thread::scope(|scope| {
        let (pieces, arriving) = sync_channel(AHEAD);
        let unpacking = scope.spawn(move || unpack(form, layer, most_bytes, &pieces));
        let mut tar = Hashing::new(Arriving { pieces: arriving, piece: io::Cursor::default() });
        let tree = tree(&mut tar, program, sink);
        // Whoever still unpacks for a reader that gave up ends with this.
        let (diff_id, bytes, arriving) = tar.finish();
        drop(arriving);
        let ended = unpacking.join();
        let tree = tree?;
        let (digest, size) = ended.map_err(|_| io::Error::other("unpacking the layer ended early"))??;
        if bytes == most_bytes {
            return Err(io::Error::other(format!("it unpacks to more than {most_bytes} bytes")));
        }
        Ok(Unpacked { digest, size, diff_id, tree })
    })
}

/// Sends the content piece by piece, or why there is no more. Gives digest and size of the compressed bytes.
fn unpack(form: Form<'_>, layer: impl Read, most_bytes: u64, pieces: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<(Digest, u64)> {
    let mut compressed = Hashing::new(layer);
    let mut content = match compression::reader(form, &mut compressed) {
        Ok(reader) => reader.take(most_bytes),
        Err(error) => {
            let _ = pieces.send(Err(error));
            return Err(abandoned());
        }
    };
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = (&mut content).take(PIECE as u64).read_to_end(&mut piece);
        let (failed, last) = (read.is_err(), piece.is_empty());
        if last && !failed {
            break;
        }
        if pieces.send(read.map(|_| piece)).is_err() || failed {
            return Err(abandoned());
        }
    }
    drop(content);
    // What follows the content belongs to the blob too.
    io::copy(&mut compressed, &mut io::sink())?;
    let (digest, size, _) = compressed.finish();
    Ok((digest, size))
}

fn abandoned() -> io::Error {
    io::Error::other("the layer was not read to its end")
}

/// Gives what the other thread has unpacked.
struct Arriving {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.piece.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        let Ok(piece) = self.pieces.recv() else { return Ok(0) };
        self.piece = io::Cursor::new(piece?);
        self.piece.read(buffer)
    }
}
