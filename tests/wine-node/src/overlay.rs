//! What does a container see as its disk?
//!
//! An overlay: the image's layers over the shared Wine prefix, and a writable layer of its own on top.
//!
//! ```text
//!   upper        what the container writes; removed with it
//!   layer n..1   the image, shared by all its containers
//!   prefix       Wine's registry and system files, shared by all
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::record::{Leftover, Record};

/// A mounted overlay; dropping it unmounts it and removes what was written.
#[derive(Debug)]
pub struct Overlay {
    folder: PathBuf,
}

impl Overlay {
    /// Mounts `layers` (lowest first) over `prefix`, with everything of its own in the new folder `folder`.
    pub fn mount(folder: &Path, prefix: &Path, layers: &[PathBuf], record: &dyn Record) -> Result<Self> {
        for part in ["upper", "own", "root", "tmp"] {
            fs::create_dir_all(folder.join(part)).with_context(|| format!("create {}", folder.display()))?;
        }
        let overlay = Self { folder: folder.to_path_buf() };
        let options = options(folder, prefix, layers);
        record.note(Leftover::Mount(overlay.root()))?;
        mount(Some("overlay"), &overlay.root(), Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .with_context(|| format!("mount an overlay with {options}"))?;
        Ok(overlay)
    }

    /// The merged folder: the container's Wine prefix.
    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// A folder for sockets, outside the container's disk.
    pub fn temporary(&self) -> PathBuf {
        self.folder.join("tmp")
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        // Detached, since a killed program may not be gone yet; it only ever sees this mount empty afterwards.
        let unmounted = umount2(&self.root(), MntFlags::MNT_DETACH);
        if let Err(error) = unmounted.map_err(Into::into).and_then(|()| fs::remove_dir_all(&self.folder)) {
            tracing::debug!(folder = %self.folder.display(), %error, "an overlay was not removed");
        }
    }
}

fn options(folder: &Path, prefix: &Path, layers: &[PathBuf]) -> String {
    let lower: Vec<_> = layers.iter().rev().map(PathBuf::as_path).chain([prefix]).map(|path| path.display().to_string()).collect();
    format!("lowerdir={},upperdir={1}/upper,workdir={1}/own", lower.join(":"), folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_layer_comes_first_and_the_prefix_last() {
        let layers = [PathBuf::from("/l/base"), PathBuf::from("/l/app")];
        assert_eq!(options(Path::new("/c/1"), Path::new("/p"), &layers), "lowerdir=/l/app:/l/base:/p,upperdir=/c/1/upper,workdir=/c/1/own");
    }
}
