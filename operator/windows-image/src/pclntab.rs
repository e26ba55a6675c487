//! Which functions did Go's linker put into a program? Their names, from the table that stack traces are made of.
//!
//! The table (`pclntab`) survives stripping. Its header, since Go 1.20: a magic number, two zeroes, the size of the smallest
//! instruction (1) and of a pointer (8), then eight numbers of 8 bytes: functions, files, one unused, and the offsets of the
//! names, of the compilation units, files, line tables and functions, ascending. Names stand one after the other, each with a
//! zero byte at its end, and are passed on one at a time: a large program has 10 MB of them.
//!
//! A name is a fact that a string of the program is not: a hello world contains `netapi32` without ever calling it, but the
//! name `syscall.NetUserGetInfo` is there only if the function can be reached.

use crate::pe_file::{PeError, PeFile};
use object::pe::{IMAGE_SCN_CNT_INITIALIZED_DATA, IMAGE_SCN_MEM_EXECUTE};
use std::io::{Read, Seek};
use thiserror::Error;

/// The magic number, two zeroes, 1 and 8.
const BEGINNING: [u8; 8] = [0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
const HEADER_BYTES: usize = 72;
/// What the linker aligns the table to in a PE file: the size of a pointer, and no more.
const ALIGN: usize = 8;
const PIECE: usize = 64 * 1024;
/// The linker cuts nothing; a generic function of generic types can be some KB.
const LONGEST_NAME: usize = 64 * 1024;

/// Why no names can be read.
#[derive(Debug, Error)]
pub enum PclntabError {
    /// No readable PE file.
    #[error(transparent)]
    Pe(#[from] PeError),
    /// It is no Go program, or its Go is older than 1.20 or too new.
    #[error("the program has no table of Go functions in a form that is known (Go 1.20 and later)")]
    NotFound,
    /// It has a name without an end.
    #[error("the program's table of Go functions is damaged")]
    Damaged,
}

/// Passes the name of every function to `each`; methods as `net/http.(*Transport).RoundTrip`. Returns how many there were.
///
/// # Errors
/// See [`PclntabError`]; names may have been passed on before.
pub fn function_names(file: &mut PeFile<impl Read + Seek>, mut each: impl FnMut(&str)) -> Result<u64, PclntabError> {
    let (mut at, end) = names(file)?.ok_or(PclntabError::NotFound)?;
    let (mut piece, mut rest, mut count) = (vec![0; PIECE], Vec::new(), 0);
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
        file.read(at, &mut piece[..length])?;
        at += length as u64;
        for part in piece[..length].split_inclusive(|byte| *byte == 0) {
            rest.extend_from_slice(part);
            if rest.len() > LONGEST_NAME {
                return Err(PclntabError::Damaged);
            }
            if rest.pop_if(|byte| *byte == 0).is_some() {
                if !rest.is_empty() {
                    each(&String::from_utf8_lossy(&rest));
                    count += 1;
                }
                rest.clear();
            }
        }
    }
    if rest.is_empty() { Ok(count) } else { Err(PclntabError::Damaged) }
}

/// Where the names begin and end.
fn names(file: &mut PeFile<impl Read + Seek>) -> Result<Option<(u64, u64)>, PeError> {
    let constant =
        |characteristics: u32| characteristics & IMAGE_SCN_CNT_INITIALIZED_DATA != 0 && characteristics & IMAGE_SCN_MEM_EXECUTE == 0;
    let sections: Vec<_> = file.sections().iter().copied().filter(|section| constant(section.characteristics)).collect();
    for section in sections {
        let found = file.find(section, ALIGN, &BEGINNING, HEADER_BYTES, |piece| offsets(piece, section.size.into()).is_some())?;
        if let Some(at) = found {
            let mut header = [0; HEADER_BYTES];
            file.read(at, &mut header)?;
            let available = file.available(at);
            return Ok(offsets(&header, available).map(|(from, to)| (at + from, at + to)));
        }
    }
    Ok(None)
}

/// Offsets of the names' begin and end, if this is a header whose offsets ascend and stay within `available` bytes.
fn offsets(header: &[u8], available: u64) -> Option<(u64, u64)> {
    let numbers = header.strip_prefix(&BEGINNING)?;
    let mut numbers = numbers.chunks_exact(8).map(|bytes| bytes.iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte)));
    let (functions, _files, _unused) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let offsets: Vec<u64> = numbers.collect();
    let ascending = offsets.is_sorted() && offsets.first()? >= &(HEADER_BYTES as u64) && offsets.last()? <= &available;
    (functions > 0 && functions <= available && ascending).then(|| (offsets[0], offsets[1]))
}

/// The package of a function: `golang.org/x/sys/windows` of `golang.org/x/sys/windows.(*LazyProc).Call`. Dots in a path's last
/// part are written as `%2e` by the compiler, so the first dot after the last slash ends the path.
pub fn package(function: &str) -> &str {
    // Type parameters may hold slashes of other packages.
    let plain = function.split('[').next().unwrap_or_default();
    let last = plain.rfind('/').map_or(0, |slash| slash + 1);
    let dot = plain[last..].find('.').map_or(plain.len(), |dot| last + dot);
    &plain[..dot]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::pe_file::tests::{CODE, READ_ONLY, program};
    use std::io::Cursor;

    /// A table with these names, as the linker lays it out, without lines and files.
    pub(crate) fn table(names: &[&str]) -> Vec<u8> {
        let text: Vec<u8> = names.iter().flat_map(|name| [name.as_bytes(), &[0]].concat()).collect();
        let end = (HEADER_BYTES + text.len()) as u64;
        let mut table = BEGINNING.to_vec();
        for number in [names.len() as u64, 1, 0, HEADER_BYTES as u64, end, end, end, end] {
            table.extend(number.to_le_bytes());
        }
        table.extend(text);
        table
    }

    fn go_program(at: usize, table: &[u8]) -> Vec<u8> {
        let data = [vec![0; at], table.to_vec(), vec![0; 64]].concat();
        program(&[(".text", CODE, 0x1000, &table[..8]), (".rdata", READ_ONLY, 0x2000, &data)], &[])
    }

    fn read(bytes: &[u8]) -> Result<Vec<String>, PclntabError> {
        let mut names = Vec::new();
        let count = function_names(&mut PeFile::open(Cursor::new(bytes))?, |name| names.push(name.to_string()))?;
        assert_eq!(count, names.len() as u64);
        Ok(names)
    }

    #[test]
    fn names_are_read_wherever_the_table_stands() {
        let long = "x".repeat(PIECE - 10);
        let names = ["go:buildid", "main.main", "net/http.(*Transport).RoundTrip", &long, "syscall.NetUserGetInfo"];
        for at in [0, 8, PIECE - 8, PIECE, 3 * PIECE + 24] {
            assert_eq!(read(&go_program(at, &table(&names))).expect("a table"), names, "at {at}");
        }
    }

    #[test]
    fn what_only_looks_like_a_table_is_passed_over() {
        let mut decoy = table(&["a"])[..HEADER_BYTES].to_vec();
        decoy[40] = 0xff;
        decoy.resize(80, 0);
        let both = [decoy, table(&["main.main"])].concat();
        assert_eq!(read(&go_program(0, &both)).expect("the second"), ["main.main"]);
        assert!(matches!(read(&go_program(0, b"no table")), Err(PclntabError::NotFound)));
    }

    #[test]
    fn a_name_without_an_end_is_an_error() {
        let mut cut = table(&["main.main"]);
        let last = cut.len() - 1;
        cut[last] = b'!';
        assert!(matches!(read(&go_program(0, &cut)), Err(PclntabError::Damaged)));
    }

    #[test]
    fn packages_are_told_from_functions() {
        for (function, expected) in [
            ("main.main", "main"),
            ("runtime.gcStart", "runtime"),
            ("golang.org/x/sys/windows.(*LazyProc).Call", "golang.org/x/sys/windows"),
            ("gopkg.in/yaml%2ev3.Unmarshal", "gopkg.in/yaml%2ev3"),
            ("slices.SortFunc[go.shape.[]net/http.x]", "slices"),
            ("go:buildid", "go:buildid"),
            ("", ""),
        ] {
            assert_eq!(package(function), expected, "{function}");
        }
    }

    #[test]
    fn no_cut_and_no_changed_byte_makes_it_panic() {
        let bytes = go_program(32, &table(&["main.main", "os/user.Lookup"]));
        for at in 0..bytes.len() {
            let _ = read(&bytes[..at]);
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = read(&changed);
            }
        }
    }
}
