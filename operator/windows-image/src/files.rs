//! What is in the layer of `image.files`, to the byte?
//!
//! One layer below the program's, because it changes less often. Built like that one (see `layer`): `Hives`, `Files`, then every folder
//! and file in the order of the bytes of their paths, which puts parents first; attributes, times and strict descriptors on each. So the
//! bytes depend on the files' names and content alone: not on the order in which a file system lists them, its modes, owners or times.

use crate::descriptor::{STRICT_DIRECTORY, STRICT_FILE};
use crate::digest::{Digest, Hashing};
use crate::layer::{self, BLOCK, Entry, Packing, ProgramName, copy_in_equal_pieces, pad, write_entry};
use crate::windows_path::{self, UnfitPath};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use thiserror::Error;

/// Each file costs a Windows node two writes and a folder marks; an image with more files should be made in another way.
pub const MOST_FILES: usize = 20_000;
/// Uncompressed bytes of all files.
pub const MOST_BYTES: u64 = 1 << 30;

/// A file that was found in the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it was found, relative to the repository's root, for messages and to open it.
    pub from: String,
    /// Where it goes: `C:\app\web\index.html`.
    pub to: String,
    /// Bytes.
    pub size: u64,
}

/// Why files cannot be in one image.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UnfitFiles {
    /// One of them cannot be there.
    #[error("image.files: {from}: {why}")]
    Path {
        /// The file.
        from: String,
        /// What is wrong.
        why: UnfitPath,
    },
    /// Windows would take two for one.
    #[error(
        "image.files: {first} and {second} would be the same on Windows, which does not tell upper and lower case apart ({path}); rename one, or leave one out with image.files[].ignore"
    )]
    Collision {
        /// What came first.
        first: String,
        /// What came second.
        second: String,
        /// Where both go.
        path: String,
    },
    /// Too many.
    #[error("image.files: more than {MOST_FILES} files; leave some out with image.files[].ignore, or put them into an archive")]
    TooMany,
    /// Too large.
    #[error("image.files: the files have more than {MOST_BYTES} bytes together; leave some out with image.files[].ignore")]
    TooLarge,
    /// Nothing to do.
    #[error("image.files: no file is left of {0}; correct image.files[].from, or the rules that leave files out")]
    Nothing(String),
}

/// Everything that goes into the layer, in the order of the layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// By path in the layer: the file there, or none for a folder.
    entries: BTreeMap<String, Option<Found>>,
}

impl Tree {
    /// Checks files against each other and against the program. The order in which they are given does not matter.
    ///
    /// # Errors
    /// See [`UnfitFiles`].
    pub fn new(found: impl IntoIterator<Item = Found>, program: &ProgramName) -> Result<Self, UnfitFiles> {
        let the_program = format!("the program {}", program.as_str());
        // By folded path: the path in the layer, what is there, and whether it is a folder.
        let mut taken: BTreeMap<String, (String, String, bool)> = BTreeMap::new();
        for (path, what, is_folder) in [("Files/app", "the program's folder", true), (&program.layer_path(), the_program.as_str(), false)] {
            taken.insert(windows_path::folded(path), (path.to_owned(), what.to_owned(), is_folder));
        }
        let (mut tree, mut bytes, mut files) = (Self::default(), 0_u64, 0);
        let mut sorted: Vec<Found> = found.into_iter().collect();
        sorted.sort_by(|a, b| (&a.to, &a.from).cmp(&(&b.to, &b.from)));
        for file in sorted {
            (files, bytes) = (files + 1, bytes.saturating_add(file.size));
            match () {
                () if files > MOST_FILES => return Err(UnfitFiles::TooMany),
                () if bytes > MOST_BYTES => return Err(UnfitFiles::TooLarge),
                () => tree.insert(file, &mut taken)?,
            }
        }
        Ok(tree)
    }

    fn insert(&mut self, file: Found, taken: &mut BTreeMap<String, (String, String, bool)>) -> Result<(), UnfitFiles> {
        let components = windows_path::components(&file.to).map_err(|why| UnfitFiles::Path { from: file.from.clone(), why })?;
        let (last, mut path) = (components.len().saturating_sub(1), String::from("Files"));
        for (depth, name) in components.iter().enumerate() {
            path = format!("{path}/{name}");
            let is_folder = depth < last;
            let here = taken.entry(windows_path::folded(&path)).or_insert_with(|| (path.clone(), file.from.clone(), is_folder));
            let fits = here.0 == path && here.2 && is_folder || (&here.0, &here.1, here.2) == (&path, &file.from, is_folder);
            if !fits || (!is_folder && self.entries.contains_key(&path)) {
                let (first, second) = (here.1.clone(), file.from.clone());
                return Err(UnfitFiles::Collision { first, second, path: path.replacen("Files", "C:", 1).replace('/', "\\") });
            }
            if is_folder {
                self.entries.entry(path.clone()).or_insert(None);
            }
        }
        self.entries.insert(path, Some(file));
        Ok(())
    }

    /// The files, in the order of the layer.
    pub fn found(&self) -> impl Iterator<Item = &Found> {
        self.entries.values().flatten()
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.found().count()
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesLayer {
    /// Its OCI media type.
    pub media_type: &'static str,
    /// Digest of the compressed bytes.
    pub digest: Digest,
    /// Compressed size in bytes.
    pub size: u64,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// How many files.
    pub files: usize,
    /// Their bytes, uncompressed.
    pub bytes: u64,
}

/// Writes the layer. Streams: memory does not grow with the files.
///
/// # Errors
/// Reading or writing failed, or a file is not as long as it was.
pub fn write<R: Read>(tree: &Tree, open: impl FnMut(&Found) -> io::Result<R>, packing: Packing, out: impl Write) -> io::Result<FilesLayer> {
    let Packing { epoch, compression, threads } = packing;
    let compressor = compression.writer(tar_size(tree)?, threads, Hashing::new(out))?;
    let mut tar = Hashing::new(compressor);
    write_tar(tree, open, epoch, &mut tar)?;
    let (diff_id, _, compressor) = tar.finish();
    let (digest, size, mut out) = compressor.finish()?.finish();
    out.flush()?;
    let bytes = tree.found().map(|file| file.size).sum();
    Ok(FilesLayer { media_type: compression.media_type(), digest, size, diff_id, files: tree.files(), bytes })
}

/// The length of the tar; its headers are as long whatever the time.
fn tar_size(tree: &Tree) -> io::Result<u64> {
    let mut headers = Hashing::new(io::sink());
    write_roots(0, &mut headers)?;
    let mut content = 0;
    for (path, file) in &tree.entries {
        write_entry(&mut headers, &entry(path, file.as_ref(), 0))?;
        content += file.as_ref().map_or(0, |file| file.size.next_multiple_of(BLOCK as u64));
    }
    headers.write_all(&[0; 2 * BLOCK])?;
    Ok(headers.finish().1 + content)
}

fn entry<'a>(path: &'a str, file: Option<&Found>, epoch: u64) -> Entry<'a> {
    let rawsd = Some(if file.is_some() { STRICT_FILE } else { STRICT_DIRECTORY });
    Entry { path, epoch, size: file.map(|file| file.size), rawsd }
}

fn write_roots(epoch: u64, tar: &mut impl Write) -> io::Result<()> {
    for path in ["Hives", "Files"] {
        write_entry(tar, &Entry { path, epoch, size: None, rawsd: None })?;
    }
    Ok(())
}

fn write_tar<R: Read>(tree: &Tree, mut open: impl FnMut(&Found) -> io::Result<R>, epoch: i64, tar: &mut impl Write) -> io::Result<()> {
    let epoch = layer::clamped(epoch);
    write_roots(epoch, tar)?;
    for (path, file) in &tree.entries {
        write_entry(tar, &entry(path, file.as_ref(), epoch))?;
        let Some(file) = file else { continue };
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.from));
        // One byte more than promised shows a file that is still being written.
        let mut content = Hashing::new(open(file).map_err(named)?.take(file.size + 1));
        copy_in_equal_pieces(&mut content, tar).map_err(named)?;
        let (_, read, _) = content.finish();
        if read != file.size {
            let message = format!("{} changed while it was read: {} bytes were expected, {read} came", file.from, file.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        pad(tar, file.size)?;
    }
    tar.write_all(&[0; 2 * BLOCK])
}

#[cfg(test)]
mod tests;
