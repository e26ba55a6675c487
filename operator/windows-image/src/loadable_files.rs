//! What of the files beside a program (`image.files`) does Windows' loader care for?
//!
//! For each DLL that a program or a DLL imports, Windows looks into the program's own folder first, then into its own. So a file there takes
//! an import off the list of what the base lacks; and a DLL that comes along has imports of its own, which may be absent as well.

use crate::Flavor;
use crate::imports;
use crate::pe_file::{PeError, PeFile};
use crate::warnings::{Learned, MOST_WARNINGS, Warning, part};
use crate::windows_apis::WindowsApis;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek};

/// The program's own folder, in lower case.
const PROGRAM_FOLDER: &str = r"c:\app\";

/// What is known of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadableFiles {
    /// Names, in lower case, of those in the program's own folder.
    in_program_folder: BTreeSet<String>,
    /// DLLs that a file imports, by the file's path in the image.
    imports: BTreeMap<String, BTreeSet<String>>,
}

impl LoadableFiles {
    /// Takes note of a file at this path in the image (`C:\app\odbc.dll`). It is opened only where its name says that it is loaded; one that
    /// is no PE file for 64 bits is passed over: Windows will say so itself.
    ///
    /// # Errors
    /// Reading failed.
    pub fn note<R: Read + Seek>(&mut self, path: &str, open: impl FnOnce() -> io::Result<R>) -> io::Result<()> {
        let lower = path.to_ascii_lowercase();
        let name = lower.strip_prefix(PROGRAM_FOLDER).filter(|name| !name.contains('\\'));
        self.in_program_folder.extend(name.map(str::to_owned));
        if ![".dll", ".exe"].iter().any(|ending| lower.ends_with(ending)) {
            return Ok(());
        }
        match PeFile::open(open()?).and_then(|mut file| imports::dlls(&mut file)) {
            Ok(dlls) => drop(self.imports.insert(path.to_owned(), dlls)),
            Err(PeError::Damaged(_)) => {}
            Err(PeError::Read(error)) => return Err(error),
        }
        Ok(())
    }

    /// What was learned from a program, now that these files lie beside it.
    #[must_use]
    pub fn with(&self, mut learned: Learned, apis: &WindowsApis, flavors: &BTreeSet<Flavor>) -> Learned {
        learned.warnings.retain(|warning| !matches!(warning, Warning::AbsentImport { dll } if self.in_program_folder.contains(dll)));
        for (file, dlls) in &self.imports {
            let absent = dlls.iter().filter(|dll| !self.in_program_folder.contains(*dll) && apis.is_absent(dll, flavors));
            learned.warnings.extend(absent.map(|dll| Warning::AbsentFileImport { file: part(file), dll: part(dll) }));
        }
        learned.warnings.truncate(MOST_WARNINGS);
        learned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::tests::importing;
    use std::io::Cursor;

    fn warned(program: &[&str], files: &[(&str, &[u8])], flavor: Flavor) -> Vec<String> {
        let (apis, flavors) = (WindowsApis::shipped(), BTreeSet::from([flavor]));
        let learned = Learned::read(Cursor::new(importing(program, &[])), apis, &flavors).expect("a program");
        let mut loadable = LoadableFiles::default();
        for (path, bytes) in files {
            loadable.note(path, || Ok(Cursor::new(*bytes))).expect("readable");
        }
        let learned = loadable.with(learned, apis, &flavors);
        learned.warnings.iter().filter(|warning| **warning != Warning::Unread).map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_dll_that_comes_along_lacks_is_named() {
        let dll = importing(&["KERNEL32.dll", "USER32.dll"], &["winmm.dll"]);
        let files = [(r"C:\app\lib\Driver.DLL", &dll[..]), (r"C:\app\user32.txt", b"no DLL"), (r"C:\app\broken.dll", b"MZ")];
        let expected = [r"AbsentFileImport|C:\app\lib\Driver.DLL|user32.dll", r"AbsentFileImport|C:\app\lib\Driver.DLL|winmm.dll"];
        assert_eq!(warned(&[], &files, Flavor::NanoServer), expected);
        assert_eq!(warned(&[], &files, Flavor::ServerCore), [""; 0], "Server Core has them");
    }

    #[test]
    fn what_lies_in_the_programs_folder_is_not_absent() {
        let (driver, user32) = (importing(&["user32.dll"], &[]), importing(&["kernel32.dll"], &[]));
        assert_eq!(warned(&["USER32.dll"], &[], Flavor::NanoServer), ["AbsentImport|user32.dll"]);
        let beside = [(r"C:\app\driver.dll", &driver[..]), (r"C:\App\User32.dll", &user32[..])];
        assert_eq!(warned(&["USER32.dll"], &beside, Flavor::NanoServer), [""; 0]);
        let elsewhere = [(r"C:\app\lib\user32.dll", &user32[..])];
        assert_eq!(warned(&["USER32.dll"], &elsewhere, Flavor::NanoServer), ["AbsentImport|user32.dll"], "no folder is searched for it");
    }

    #[test]
    fn a_crowd_of_dlls_gives_no_novel() {
        let dll = importing(&["user32.dll"], &[]);
        let names: Vec<String> = (0..50).map(|number| format!(r"C:\app\{number}.dll")).collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &dll[..])).collect();
        assert!(warned(&[], &files, Flavor::NanoServer).len() < MOST_WARNINGS + 1);
    }
}
