//! How is a thing made once per machine, whoever needs it first?

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Has `make` write the folder `kept`, where it is not there yet: it appears complete or not at all. Whoever wants the same meanwhile, in this
/// process or in another, waits. Blocks.
pub fn keep(kept: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if kept.exists() {
        return Ok(());
    }
    let folder = kept.parent().unwrap_or(kept);
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let lock = File::create(beside(kept, ".lock")).with_context(|| format!("cannot lock {}", kept.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", kept.display()))?;
    if kept.exists() {
        return Ok(());
    }
    let unfinished = beside(kept, ".unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("cannot remove {}", unfinished.display()))?;
    }
    make(&unfinished)?;
    fs::rename(&unfinished, kept).with_context(|| format!("cannot make {}", kept.display()))
}

/// A version in the name is no extension.
fn beside(kept: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = kept.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn of_many_at_once_one_makes_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (kept, made) = (folder.path().join("tools-1.26.8"), AtomicUsize::new(0));
        fs::create_dir_all(beside(&kept, ".unfinished").join("left by a crash")).expect("a folder");
        let make = |unfinished: &Path| {
            made.fetch_add(1, Ordering::Relaxed);
            fs::create_dir(unfinished)?;
            Ok(fs::write(unfinished.join("tool"), "tool")?)
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| keep(&kept, make).expect("made"));
            }
        });
        let left: Vec<_> = fs::read_dir(&kept).expect("kept").map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!((made.load(Ordering::Relaxed), left), (1, vec!["tool".into()]));
    }

    #[test]
    fn what_could_not_be_made_is_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = folder.path().join("tools");
        assert!(keep(&kept, |_| anyhow::bail!("no compiler")).is_err() && !kept.exists());
    }
}
