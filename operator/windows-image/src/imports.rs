//! Which DLLs does a PE file name in its import tables? What is absent makes it fail to start (or, delayed, to go on).
//!
//! A Go program without cgo imports `kernel32.dll` alone and finds everything else while it runs: its imports tell nothing
//! about it (see `pclntab`). They do tell of C code and of DLLs that come along.

use crate::pe_file::{PeError, PeFile};
use object::pe::{IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, IMAGE_DIRECTORY_ENTRY_IMPORT};
use std::collections::BTreeSet;
use std::io::{Read, Seek};

/// Far more than any program imports.
const MOST_DLLS: u64 = 1024;
const LONGEST_NAME: usize = 256;
/// `IMAGE_IMPORT_DESCRIPTOR`: 20 bytes, the name's address at 12. `IMAGE_DELAYLOAD_DESCRIPTOR`: 32 bytes, at 4.
const TABLES: [(usize, u64, usize); 2] = [(IMAGE_DIRECTORY_ENTRY_IMPORT, 20, 12), (IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT, 32, 4)];

/// File names of the DLLs, in lower case.
///
/// # Errors
/// Reading failed, or a table is damaged.
pub fn dlls(file: &mut PeFile<impl Read + Seek>) -> Result<BTreeSet<String>, PeError> {
    let mut found = BTreeSet::new();
    for (entry, bytes, name) in TABLES {
        let Some((table, _)) = file.directory(entry) else { continue };
        for number in 0.. {
            if number == MOST_DLLS {
                return Err(PeError::Damaged("it imports more than 1024 DLLs"));
            }
            let mut address = [0; 4];
            file.read(u64::from(table) + number * bytes + name as u64, &mut address)?;
            let address = u32::from_le_bytes(address);
            if address == 0 {
                break;
            }
            let text = file.text(address.into(), LONGEST_NAME)?.ok_or(PeError::Damaged("an imported DLL's name has no end"))?;
            found.insert(text.to_ascii_lowercase());
        }
    }
    Ok(found)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::pe_file::tests::{READ_ONLY, program};
    use std::io::Cursor;

    /// A program that imports these DLLs, the second list when they are first used.
    pub(crate) fn importing(now: &[&str], later: &[&str]) -> Vec<u8> {
        const AT: u32 = 0x3000;
        let (first, second) = ((now.len() as u32 + 1) * 20, (later.len() as u32 + 1) * 32);
        let (mut tables, mut names) = (vec![0_u8; (first + second) as usize], Vec::new());
        let places = (0..now.len()).map(|n| n * 20 + 12).chain((0..later.len()).map(|n| first as usize + n * 32 + 4));
        for (place, name) in places.zip(now.iter().chain(later)) {
            tables[place..place + 4].copy_from_slice(&(AT + first + second + names.len() as u32).to_le_bytes());
            names.extend([name.as_bytes(), &[0]].concat());
        }
        let idata = [tables, names].concat();
        program(&[(".idata", READ_ONLY, AT, &idata)], &[(1, AT, first), (13, AT + first, second)])
    }

    fn read(bytes: &[u8]) -> Result<BTreeSet<String>, PeError> {
        dlls(&mut PeFile::open(Cursor::new(bytes))?)
    }

    #[test]
    fn both_tables_are_read() {
        let found = read(&importing(&["KERNEL32.dll", "msvcrt.dll"], &["USER32.DLL"])).expect("imports");
        assert_eq!(found, ["kernel32.dll", "msvcrt.dll", "user32.dll"].map(String::from).into());
        assert_eq!(read(&importing(&[], &[])).expect("imports"), BTreeSet::new());
        assert_eq!(read(&program(&[(".rdata", READ_ONLY, 0x1000, b"x")], &[])).expect("no tables"), BTreeSet::new());
    }

    #[test]
    fn no_cut_and_no_changed_byte_makes_it_panic() {
        let bytes = importing(&["kernel32.dll"], &["user32.dll"]);
        for at in 0..bytes.len() {
            let _ = read(&bytes[..at]);
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = read(&changed);
            }
        }
    }

    #[test]
    fn a_table_without_an_end_is_an_error() {
        let bytes = importing(&["kernel32.dll"; 1100], &[]);
        assert!(read(&bytes).is_err_and(|error| error.to_string().contains("1024")));
    }
}
