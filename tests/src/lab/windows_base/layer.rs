//! What is a layer of a Windows image made of, as Windows itself writes it?

use std::io::Write;

use anyhow::Result;
use flate2::{Compression, write::GzEncoder};
use tar::{Builder, EntryType, Header};

use super::{Blob, EPOCH, LAYER, digest};

/// The security descriptor of every entry: owner Administrators, full control for SYSTEM and Administrators, read
/// and execute for Users.
const DESCRIPTOR: &[u8] = b"AQAEkBQAAAAkAAAAAAAAADAAAAABAgAAAAAABSAAAAAgAgAAAQEAAAAAAAUSAAAAAgBMAAMAAAAAABQA/wEf\
AAEBAAAAAAAFEgAAAAAAGAD/AR8AAQIAAAAAAAUgAAAAIAIAAAAAGACpABIAAQIAAAAAAAUgAAAAIQIAAA==";

/// A tar whose entries carry the PAX records that Windows layers have.
pub struct WindowsLayer {
    tar: Builder<Vec<u8>>,
}

impl Default for WindowsLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl WindowsLayer {
    /// Without any entry.
    pub fn new() -> Self {
        Self { tar: Builder::new(Vec::new()) }
    }

    /// The layer and the digest of its tar. It is not compressed, only wrapped: noise would not get smaller.
    ///
    /// # Errors
    /// When it cannot be written to memory.
    pub fn finish(self) -> Result<(Blob, String)> {
        let tar = self.tar.into_inner()?;
        let mut gzip = GzEncoder::new(Vec::with_capacity(tar.len() + (1 << 16)), Compression::none());
        gzip.write_all(&tar)?;
        Ok((Blob::new(LAYER, gzip.finish()?), digest(&tar)))
    }

    /// Adds a folder.
    pub fn directory(&mut self, path: &str) -> Result<()> {
        self.records("16")?;
        let mut header = header(EntryType::Directory, 0);
        Ok(self.tar.append_data(&mut header, path, std::io::empty())?)
    }

    /// Adds a file.
    pub fn content(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.records("32")?;
        let mut header = header(EntryType::Regular, content.len() as u64);
        Ok(self.tar.append_data(&mut header, path, content)?)
    }

    /// Adds another name of a file.
    pub fn hard_link(&mut self, path: &str, target: &str) -> Result<()> {
        let mut header = header(EntryType::Link, 0);
        Ok(self.tar.append_link(&mut header, path, target)?)
    }

    fn records(&mut self, attributes: &str) -> Result<()> {
        let created = format!("{EPOCH}.000000000");
        Ok(self.tar.append_pax_extensions([
            ("LIBARCHIVE.creationtime", created.as_bytes()),
            ("MSWINDOWS.fileattr", attributes.as_bytes()),
            ("MSWINDOWS.rawsd", DESCRIPTOR),
        ])?)
    }
}

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(if kind.is_dir() { 0o040_755 } else { 0o100_644 });
    header.set_mtime(EPOCH);
    header
}
