//! What have earlier builds left in the cache of this one?
//!
//! Names, sizes and times only: nothing is read, no link is followed, and nothing is written, for the volume is mounted so. What is found is for
//! people. Whatever goes wrong here fails no build; what would be said wrongly is not said.

use gowindows_clients::git::Stop;
use gowindows_model::wire::source::CacheFacts;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where in it the go command has compiled packages (`GOCACHE`).
const COMPILED: &str = "build";
/// Where in it it has modules (`GOMODCACHE`).
const MODULES: &str = "mod";
/// How much is looked at: a cache on a slow disk delays no build.
const LIMITS: Limits = Limits { entries: 200_000, time: Duration::from_secs(5) };

#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Files and folders.
    entries: usize,
    time: Duration,
}

/// What is in the cache below `folder`; none where that cannot be said, as where a folder cannot be opened.
pub fn left(folder: &Path, stop: &Stop) -> Option<CacheFacts> {
    look(folder, LIMITS, stop).ok().flatten()
}

fn look(folder: &Path, limits: Limits, stop: &Stop) -> io::Result<Option<CacheFacts>> {
    let mut walk = Walk { entries: limits.entries, until: Instant::now() + limits.time, stop, found: CacheFacts::default() };
    if is_folder(folder)? {
        walk.through(&folder.join(COMPILED), |found, depth| found.hit |= depth > 0)?;
        walk.through(&folder.join(MODULES), |_, _| ())?;
    }
    // There may have been compiled packages after all.
    let unsaid = walk.found.at_least && !walk.found.hit;
    Ok((!unsaid).then_some(walk.found))
}

struct Walk<'a> {
    /// How many may still be looked at.
    entries: usize,
    until: Instant,
    stop: &'a Stop,
    found: CacheFacts,
}

impl Walk<'_> {
    /// Counts the files below a folder, and hands on how deep below it the folder of each is. The go command's own notes, which it writes before
    /// it compiles anything, are directly in the folder of compiled packages.
    fn through(&mut self, root: &Path, file: impl Fn(&mut CacheFacts, usize)) -> io::Result<()> {
        let mut ahead: Vec<(PathBuf, usize)> = if is_folder(root)? { vec![(root.to_owned(), 0)] } else { Vec::new() };
        while let Some((folder, depth)) = ahead.pop() {
            for entry in fs::read_dir(&folder)? {
                if self.entries == 0 || self.stop.is_stopped() || Instant::now() >= self.until {
                    self.found.at_least = true;
                    return Ok(());
                }
                self.entries -= 1;
                let entry = entry?;
                // Of the entry itself, whatever it points to.
                let metadata = entry.metadata()?;
                if metadata.is_dir() {
                    ahead.push((entry.path(), depth + 1));
                } else if metadata.is_file() {
                    let found = &mut self.found;
                    found.bytes = found.bytes.saturating_add(metadata.len());
                    let written = std::os::unix::fs::MetadataExt::mtime(&metadata);
                    found.since = Some(found.since.map_or(written, |oldest| oldest.min(written)));
                    file(found, depth);
                }
            }
        }
        Ok(())
    }
}

/// Whether there is a folder, and no link to one.
fn is_folder(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(metadata.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    fn put(folder: &Path, name: &str, bytes: usize, written: u64) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, vec![b'x'; bytes]).expect("written");
        let file = fs::File::options().write(true).open(&path).expect("a file");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(written)).expect("its time");
    }

    fn with(limits: Limits, folder: &Path) -> Option<CacheFacts> {
        look(folder, limits, &Stop::default()).expect("all of it can be opened")
    }

    fn of(folder: &Path) -> Option<CacheFacts> {
        left(folder, &Stop::default())
    }

    #[test]
    fn nothing_was_left_where_nothing_is() {
        let root = tempfile::tempdir().expect("a folder");
        let nothing = Some(CacheFacts::default());
        assert_eq!((of(&root.path().join("gone")), of(root.path())), (nothing.clone(), nothing.clone()));
        fs::create_dir_all(root.path().join("build/0a")).expect("a folder");
        assert_eq!(of(root.path()), nothing);
        // A build that failed before it compiled anything.
        put(root.path(), "build/README", 10, 5_000);
        put(root.path(), "mod/example.com/a@v1.0.0/a.go", 100, 6_000);
        assert_eq!(of(root.path()), Some(CacheFacts { hit: false, bytes: 110, since: Some(5_000), at_least: false }));
        put(root.path(), "build/0a/0abc-d", 1_000, 7_000);
        assert_eq!(of(root.path()), Some(CacheFacts { hit: true, bytes: 1_110, since: Some(5_000), at_least: false }));
    }

    #[test]
    fn only_what_the_engine_keeps_there_counts() {
        let root = tempfile::tempdir().expect("a folder");
        put(root.path(), "by-root/build/0a/0abc-d", 1_000, 7_000);
        put(root.path(), "lost+found/x", 1_000, 7_000);
        assert_eq!(of(root.path()), Some(CacheFacts::default()));
        assert_eq!(of(&root.path().join("by-root")).map(|found| (found.hit, found.bytes)), Some((true, 1_000)));
    }

    #[test]
    fn links_are_not_followed() {
        let root = tempfile::tempdir().expect("a folder");
        let (cache, other) = (root.path().join("cache"), root.path().join("other"));
        put(&other, "0b/0bcd-d", 1_000, 1);
        put(&cache, "build/0a/0abc-d", 10, 9_000);
        symlink(&other, cache.join("build/0a/out")).expect("a link");
        symlink(other.join("0b/0bcd-d"), cache.join("build/0a/file")).expect("a link");
        symlink(&cache, cache.join("build/0a/around")).expect("a link");
        symlink(&other, cache.join("mod")).expect("a link");
        assert_eq!(of(&cache), Some(CacheFacts { hit: true, bytes: 10, since: Some(9_000), at_least: false }));
        symlink(&cache, root.path().join("link")).expect("a link");
        assert_eq!(of(&root.path().join("link")), Some(CacheFacts::default()));
    }

    #[test]
    fn it_ends_at_its_limits_and_says_so() {
        let root = tempfile::tempdir().expect("a folder");
        for number in 0..10 {
            put(root.path(), &format!("build/0a/{number}-d"), 10, 9_000);
        }
        // The folder, and six files of ten.
        let some = with(Limits { entries: 7, ..LIMITS }, root.path());
        assert_eq!(some, Some(CacheFacts { hit: true, bytes: 60, since: Some(9_000), at_least: true }));
        assert_eq!(with(Limits { entries: 11, ..LIMITS }, root.path()).map(|all| (all.bytes, all.at_least)), Some((100, false)));
        assert_eq!(with(Limits { entries: 1, ..LIMITS }, root.path()), None, "there is more than was seen");
        assert_eq!(with(Limits { time: Duration::ZERO, ..LIMITS }, root.path()), None);
        let stop = Stop::default();
        stop.now();
        assert_eq!(left(root.path(), &stop), None);
    }

    #[test]
    fn nothing_is_said_where_a_folder_cannot_be_opened() {
        let root = tempfile::tempdir().expect("a folder");
        put(root.path(), "build/0a/0abc-d", 10, 9_000);
        // As a folder without rights is for all but root, a name that is too long is for everybody.
        let deep = root.path().join("x".repeat(300));
        assert!(look(&deep, LIMITS, &Stop::default()).is_err());
        assert_eq!(of(&deep), None);
    }
}
