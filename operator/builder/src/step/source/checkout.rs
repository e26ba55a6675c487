//! How do the files of a commit get onto the disk?
//!
//! Byte for byte: no filter, no change of line endings. Links come last and nothing that exists is ever written to, so no file
//! can be written through a link.

use super::error::SourceError;
use super::listing::{File, Listing};
use gix::objs::FindExt;
use gix::odb::Handle;
use gowindows_clients::git::Stop;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;

/// The beginning of a file that stands for one in Git LFS (<https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>).
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Writes everything that is listed into the empty folder `dest`. Returns the files that only stand for one in Git LFS.
pub fn write<'a>(store: &Handle, listing: &'a Listing, dest: &Path, stop: &Stop) -> Result<Vec<&'a Path>, SourceError> {
    for folder in listing.folders.iter().chain(&listing.submodules) {
        make(folder, dest, |path| fs::create_dir(path))?;
    }
    let (mut buffer, mut pointers) = (Vec::new(), Vec::new());
    for file in &listing.files {
        if stop.is_stopped() {
            return Err(SourceError::Stopped);
        }
        let File { path, id, executable } = file;
        let blob = store.find_blob(id, &mut buffer).map_err(|error| SourceError::read(format!("file {path:?}"), error))?;
        if blob.data.starts_with(LFS_POINTER) {
            pointers.push(path.as_path());
        }
        let mode = if *executable { 0o755 } else { 0o644 };
        make(path, dest, |path| OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(blob.data))?;
    }
    for (path, target) in &listing.links {
        make(path, dest, |path| symlink(target, path))?;
    }
    Ok(pointers)
}

/// Makes one new entry. That it exists already means that the tree names it twice.
fn make(path: &Path, dest: &Path, how: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), SourceError> {
    how(&dest.join(path)).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => SourceError::Name { path: path.to_owned(), detail: "it is there twice".to_owned() },
        _ => SourceError::write(path, error),
    })
}
