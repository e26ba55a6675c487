//! Which files of the source do `image.files` name, and what is left out?
//!
//! Rules are gitignore's: those of `.gowindowsignore` in the root of the source first, those of the mapping after them, and the last that
//! matches counts. They apply to what is found in a folder; what `from` names itself is taken in any case. `.git` never is. A link is
//! followed to a file inside the source; every other link is refused, as is what is neither file nor folder.

use gix::bstr::ByteSlice;
use gix::glob::pattern::Case;
use gix::ignore::{Search, search::Ignore};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use windows_image::FileMapping;
use windows_image::files::{Found, MOST_FILES, UnfitFiles};

/// The file of rules in the root of the source.
pub const IGNORE_FILE: &str = ".gowindowsignore";
/// It is read whole.
const LONGEST_IGNORE_FILE: u64 = 1 << 20;
/// More folders in each other than paths may be long.
const DEEPEST: usize = 128;

/// Why the files cannot be had.
#[derive(Debug, Error)]
pub enum FilesError {
    /// Something cannot be read.
    #[error("image.files: cannot read {path} of the source")]
    Read {
        /// Relative to the root of the source.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// There is no such file.
    #[error(
        "image.files[].from: there is no {from} in the source (paths are relative to the root of the repository); correct it, or push a commit that has it"
    )]
    Absent {
        /// What was asked for.
        from: String,
    },
    /// A link that cannot be followed.
    #[error("image.files: {path} is a link {why}; put the file itself there, or leave it out with image.files[].ignore")]
    Link {
        /// The link.
        path: String,
        /// Where it leads.
        why: &'static str,
    },
    /// Nothing that a layer could hold.
    #[error("image.files: {path} {why}; leave it out with image.files[].ignore")]
    Unfit {
        /// What it is.
        path: String,
        /// Why not.
        why: &'static str,
    },
    /// The files do not fit together.
    #[error(transparent)]
    Files(#[from] UnfitFiles),
    /// Files are asked for where there is no source.
    #[error("image.files: there is no source to take files from")]
    NoSource,
}

/// Finds the files that mappings name below `root`, in no particular order.
///
/// # Errors
/// See [`FilesError`].
pub fn find(root: &Path, mappings: &[FileMapping]) -> Result<Vec<Found>, FilesError> {
    let whole = root.canonicalize().map_err(|source| FilesError::Read { path: ".".into(), source })?;
    let general = general_rules(&whole)?;
    let mut found = Vec::new();
    for mapping in mappings {
        let before = found.len();
        let from = mapping.from.split('/').filter(|part| *part != ".").collect::<Vec<_>>().join("/");
        let mut walk = Walk { root: &whole, general: &general, own: own_rules(mapping), from: &from, found: &mut found };
        let (path, to) = (whole.join(&from), mapping.to.clone());
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(FilesError::Absent { from: mapping.from.clone() }),
            Err(source) => return Err(FilesError::Read { path: mapping.from.clone(), source }),
        };
        // A link on the way to it leads out as well as one at its end.
        walk.inside(&path, &mapping.from)?;
        match metadata.is_dir() {
            true => walk.folder(&from, &to, 0)?,
            false => walk.file(&from, to, &metadata)?,
        }
        if found.len() == before {
            return Err(UnfitFiles::Nothing(mapping.from.clone()).into());
        }
    }
    Ok(found)
}

/// Opens a file that was found.
///
/// # Errors
/// It cannot be read any more.
pub fn open(root: &Path, file: &Found) -> io::Result<fs::File> {
    fs::File::open(root.join(&file.from))
}

struct Walk<'a> {
    root: &'a Path,
    general: &'a Search,
    own: Search,
    from: &'a str,
    found: &'a mut Vec<Found>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &str, to: &str, depth: usize) -> Result<(), FilesError> {
        let failed = |source| FilesError::Read { path: folder.to_owned(), source };
        if depth > DEEPEST {
            return Err(FilesError::Unfit { path: folder.to_owned(), why: "lies too deep" });
        }
        for entry in fs::read_dir(self.root.join(folder)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else {
                let path = below(folder, &entry.file_name().to_string_lossy());
                return Err(FilesError::Unfit { path, why: "has a name that is not UTF-8" });
            };
            let (path, to) = (below(folder, &name), format!("{to}\\{name}"));
            let metadata = entry.metadata().map_err(|source| FilesError::Read { path: path.clone(), source })?;
            match () {
                () if name == ".git" || name == IGNORE_FILE || self.left_out(&path, metadata.is_dir()) => {}
                () if metadata.is_dir() => self.folder(&path, &to, depth + 1)?,
                () => self.file(&path, to, &metadata)?,
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str, to: String, metadata: &fs::Metadata) -> Result<(), FilesError> {
        let (mut size, mut is_file) = (metadata.len(), metadata.is_file());
        if metadata.is_symlink() {
            let target = self.inside(&self.root.join(path), path)?;
            let target = fs::metadata(&target).map_err(|source| FilesError::Read { path: path.to_owned(), source })?;
            if target.is_dir() {
                return Err(FilesError::Link { path: path.to_owned(), why: "to a folder" });
            }
            (size, is_file) = (target.len(), target.is_file());
        }
        if !is_file {
            return Err(FilesError::Unfit { path: path.to_owned(), why: "is neither a file nor a folder" });
        }
        // The limit is checked here too, so that a folder without an end is not walked to its end.
        if self.found.len() >= MOST_FILES {
            return Err(UnfitFiles::TooMany.into());
        }
        self.found.push(Found { from: path.to_owned(), to, size });
        Ok(())
    }

    /// What a path leads to, if that is inside the source.
    fn inside(&self, path: &Path, shown: &str) -> Result<PathBuf, FilesError> {
        let link = |why| FilesError::Link { path: shown.to_owned(), why };
        let target = path.canonicalize().map_err(|_| link("to nothing"))?;
        let below = target.strip_prefix(self.root).map_err(|_| link("that leads out of the source"))?;
        if below.components().any(|part| part.as_os_str() == ".git") { Err(link("into .git")) } else { Ok(target) }
    }

    /// The mapping's own rules are the nearer ones, as those of a folder's own `.gitignore` are.
    fn left_out(&self, path: &str, is_dir: bool) -> bool {
        let below = path.strip_prefix(self.from).unwrap_or(path).trim_start_matches('/');
        let own = self.own.pattern_matching_relative_path(below.as_bytes().as_bstr(), Some(is_dir), Case::Sensitive);
        let general = || self.general.pattern_matching_relative_path(path.as_bytes().as_bstr(), Some(is_dir), Case::Sensitive);
        own.or_else(general).is_some_and(|matched| !matched.pattern.is_negative())
    }
}

fn below(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn own_rules(mapping: &FileMapping) -> Search {
    Search::from_overrides(&mapping.ignore, Ignore::default())
}

fn general_rules(root: &Path) -> Result<Search, FilesError> {
    let (mut search, path) = (Search::default(), root.join(IGNORE_FILE));
    let failed = |source| FilesError::Read { path: IGNORE_FILE.into(), source };
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(search),
        Err(source) => return Err(failed(source)),
        Ok(metadata) if !metadata.is_file() || metadata.len() > LONGEST_IGNORE_FILE => {
            return Err(FilesError::Unfit { path: IGNORE_FILE.into(), why: "is no file of at most 1 MiB" });
        }
        Ok(_) => {}
    }
    let rules = fs::read(&path).map_err(failed)?;
    search.add_patterns_buffer(&rules, path, None, Ignore::default()).map_err(failed)?;
    Ok(search)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files; a content that begins with `->` makes a link.
    fn source(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            match content.strip_prefix("->") {
                Some(target) => std::os::unix::fs::symlink(target, path).expect("a link"),
                None => fs::write(path, content).expect("a file"),
            }
        }
        root
    }

    fn mapping(from: &str, ignore: &[&str]) -> FileMapping {
        FileMapping { from: from.into(), to: r"C:\app\web".into(), ignore: ignore.iter().map(ToString::to_string).collect() }
    }

    fn names(root: &Path, mappings: &[FileMapping]) -> Result<Vec<String>, String> {
        let mut names: Vec<String> = find(root, mappings).map_err(|error| error.to_string())?.into_iter().map(|file| file.to).collect();
        names.sort();
        Ok(names.into_iter().map(|to| to.replace(r"C:\app\web", "").replace('\\', "/")).collect())
    }

    #[test]
    fn rules_are_those_of_gitignore_and_the_nearer_ones_win() {
        let root = source(&[
            (".gowindowsignore", "# maps are for us\n*.map\n/web/drafts/\nweb/secret.*\n!web/secret.txt\nweb\n"),
            ("web/index.html", ""),
            ("web/app.js.map", ""),
            ("web/drafts/a.html", ""),
            ("web/deep/drafts/b.html", ""),
            ("web/secret.key", ""),
            ("web/secret.txt", ""),
            ("web/keep.map", ""),
            ("web/.git/config", ""),
            ("web/.gowindowsignore", "*"),
            ("other/x.map", ""),
        ]);
        let names = |ignore: &[&str]| names(root.path(), &[mapping("web", ignore)]).expect("files");
        assert_eq!(names(&[]), ["/deep/drafts/b.html", "/index.html", "/secret.txt"]);
        assert_eq!(names(&["!keep.map", "/deep"]), ["/index.html", "/keep.map", "/secret.txt"]);
        let file = find(root.path(), &[FileMapping { to: r"C:\x.map".into(), ..mapping("other/x.map", &["*"]) }]).expect("named itself");
        assert_eq!((file[0].from.as_str(), file[0].to.as_str()), ("other/x.map", r"C:\x.map"));
        let whole = super::tests::names(root.path(), &[mapping(".", &["!/web", "/web/deep", "other"])]).expect("files");
        assert_eq!(whole, ["/web/index.html", "/web/secret.txt"], "the root is a folder as others are");
        let nothing = super::find(root.path(), &[mapping("web", &["*"])]).expect_err("nothing is left").to_string();
        assert!(nothing.contains("no file is left of web"), "{nothing}");
    }

    #[test]
    fn links_are_followed_to_files_inside_only() {
        let outside = source(&[("passwd", "root")]);
        let leads_out = format!("->{}", outside.path().join("passwd").display());
        let root = source(&[("shared/a.txt", "12345"), ("good/a.txt", "->../shared/a.txt")]);
        let found = find(root.path(), &[mapping("good", &[])]).expect("files");
        assert_eq!((found.len(), found[0].size), (1, 5));
        let cases = [
            ("a", leads_out.as_str(), "leads out"),
            ("a", "->../../../../../../etc/hostname", "leads out"),
            ("a", "->gone", "to nothing"),
            ("a", "->a", "to nothing"),
            ("a", "->../shared", "to a folder"),
            ("a", "->..", "to a folder"),
            ("a", "->../.git/config", "into .git"),
        ];
        for (name, content, says) in cases {
            let root = source(&[("shared/a.txt", ""), (".git/config", "token"), ("web/index.html", ""), (&format!("web/{name}"), content)]);
            let error = names(root.path(), &[mapping("web", &[])]).expect_err(content);
            assert!(error.contains("web/a is a link") && error.contains(says), "{content}: {error}");
            assert!(names(root.path(), &[mapping("web", &["/a"])]).is_ok(), "what is left out does not matter: {content}");
        }
        let root = source(&[("web", &format!("->{}", outside.path().display()))]);
        for from in ["web", "web/passwd"] {
            assert!(names(root.path(), &[mapping(from, &[])]).is_err_and(|error| error.contains("leads out")), "{from}");
        }
    }

    #[test]
    fn what_is_absent_or_no_file_is_named() {
        let root = source(&[("web/index.html", "")]);
        let absent = names(root.path(), &[mapping("dist", &[])]).expect_err("absent");
        assert!(absent.contains("there is no dist in the source"), "{absent}");
        let socket = std::os::unix::net::UnixListener::bind(root.path().join("web/socket")).expect("a socket");
        let error = names(root.path(), &[mapping("web", &[])]).expect_err("a socket");
        assert!(error.contains("web/socket is neither a file nor a folder"), "{error}");
        drop(socket);
    }
}
