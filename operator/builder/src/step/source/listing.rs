//! What is in a commit, and may it be written to a disk?
//!
//! The whole tree is listed before a file is written, so that a repository that is too large or means ill leaves nothing
//! behind. A small pack can hold a tree that unfolds without end; the number of entries is what stops it.

use super::error::SourceError;
use super::links::{Links, leads_out};
use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice};
use gix::objs::FindExt;
use gix::objs::tree::EntryKind;
use gix::odb::{Handle, HeaderExt};
use gix::validate::path::component;
use gowindows_clients::git::Stop;
use std::path::{Path, PathBuf};

/// Longest path, in bytes, as Linux has it.
const PATH_LIMIT: usize = 4095;

/// How much is accepted.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Files, folders, links and submodules.
    pub entries: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative to the root of the tree.
    pub path: PathBuf,
    /// The blob.
    pub id: ObjectId,
    /// Whether it may be executed.
    pub executable: bool,
}

/// A commit's tree, unfolded and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Committer date, in seconds since 1970.
    pub commit_time: i64,
    /// Id of the tree.
    pub tree: String,
    /// Folders, each after the one that it is in.
    pub folders: Vec<PathBuf>,
    /// Files.
    pub files: Vec<File>,
    /// Symbolic links; none of them leads out.
    pub links: Links,
    /// Folders in which another repository should be.
    pub submodules: Vec<PathBuf>,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Listing {
    /// Lists the tree of `commit`, 40 hexadecimal digits, from `store`.
    pub fn read(store: &Handle, commit: &str, limits: &Limits, stop: &Stop) -> Result<Self, SourceError> {
        let mut buffer = Vec::new();
        let failed = |error| SourceError::read(format!("commit {commit}"), error);
        let id = ObjectId::from_hex(commit.as_bytes()).map_err(|error| SourceError::read(format!("commit {commit}"), error))?;
        let found = store.find_commit(&id, &mut buffer).map_err(failed)?;
        let commit_time = found.committer().and_then(|committer| committer.time()).map_err(failed)?.seconds;
        let tree = found.tree();
        let mut listing = Self { commit_time, tree: tree.to_string(), ..Self::default() };
        let mut entries = 0;
        let mut ahead = vec![(PathBuf::new(), tree)];
        while let Some((folder, id)) = ahead.pop() {
            if stop.is_stopped() {
                return Err(SourceError::Stopped);
            }
            let subfolders = listing.add_folder(store, &folder, id, limits, &mut entries)?;
            listing.folders.extend(subfolders.iter().map(|(path, _)| path.clone()));
            ahead.extend(subfolders);
        }
        match listing.links.iter().find(|(path, _)| leads_out(path, &listing.links)) {
            Some((path, target)) => Err(SourceError::Link { path: path.clone(), target: target.clone() }),
            None => Ok(listing),
        }
    }

    /// Adds what is directly in one folder and returns the folders in it.
    fn add_folder(
        &mut self,
        store: &Handle,
        folder: &Path,
        id: ObjectId,
        limits: &Limits,
        entries: &mut usize,
    ) -> Result<Vec<(PathBuf, ObjectId)>, SourceError> {
        let mut buffer = Vec::new();
        let tree = store.find_tree(&id, &mut buffer).map_err(|error| SourceError::read(format!("folder {folder:?}"), error))?;
        *entries += tree.entries.len();
        if *entries > limits.entries {
            return Err(SourceError::TooMany { limit: limits.entries });
        }
        let mut subfolders = Vec::new();
        for entry in &tree.entries {
            let path = safe_path(folder, entry.filename, entry.mode.is_link())?;
            let id = entry.oid.to_owned();
            match entry.mode.kind() {
                EntryKind::Tree => subfolders.push((path, id)),
                EntryKind::Commit => self.submodules.push(path),
                EntryKind::Link => {
                    self.links.insert(path.clone(), read_target(store, path, id)?);
                }
                kind @ (EntryKind::Blob | EntryKind::BlobExecutable) => {
                    let size = store.header(id).map_err(|error| SourceError::read(format!("file {path:?}"), error))?.size();
                    self.bytes = self.bytes.saturating_add(size);
                    if self.bytes > limits.bytes {
                        return Err(SourceError::TooLarge { limit: limits.bytes });
                    }
                    self.files.push(File { path, id, executable: kind == EntryKind::BlobExecutable });
                }
            }
        }
        Ok(subfolders)
    }

    /// Number of files and links.
    pub fn files(&self) -> usize {
        self.files.len() + self.links.len()
    }
}

/// A path whose last part is a plain name: not `..`, not `.git` in any spelling, no separator.
fn safe_path(folder: &Path, name: &BStr, is_link: bool) -> Result<PathBuf, SourceError> {
    let shown = || folder.join(name.to_str_lossy().as_ref());
    let rules = component::Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };
    let checked = gix::validate::path::component(name, is_link.then_some(component::Mode::Symlink), rules);
    let name = checked.map_err(|error| SourceError::Name { path: shown(), detail: error.to_string() })?;
    let name = name.to_path().map_err(|error| SourceError::Name { path: shown(), detail: error.to_string() })?;
    let path = folder.join(name);
    match path.as_os_str().len() > PATH_LIMIT || name.as_os_str().as_encoded_bytes().contains(&0) {
        true => Err(SourceError::Name { path: shown(), detail: "too long, or no name at all".to_owned() }),
        false => Ok(path),
    }
}

fn read_target(store: &Handle, path: PathBuf, id: ObjectId) -> Result<PathBuf, SourceError> {
    let mut buffer = Vec::new();
    let blob = store.find_blob(&id, &mut buffer).map_err(|error| SourceError::read(format!("link {path:?}"), error))?;
    let shown = || PathBuf::from(blob.data.as_bstr().to_str_lossy().chars().take(256).collect::<String>());
    let usable = !blob.data.is_empty() && blob.data.len() <= PATH_LIMIT && !blob.data.contains(&0);
    match blob.data.to_path() {
        Ok(target) if usable => Ok(target.to_owned()),
        _ => Err(SourceError::Link { path, target: shown() }),
    }
}
