//! Build info is read as Go writes it, from programs made here to the byte; `contract_go` compares with the real Go.

use super::*;
use crate::pe_file::tests::{CODE, DATA, program};
use std::io::Cursor;

/// What Go 1.26 writes for a small program.
pub(crate) const TEXT: &str = "path\texample.com/shop/cmd/storefront\nmod\texample.com/shop\t(devel)\t\n\
    dep\tgolang.org/x/crypto\tv0.41.0\th1:WKYxWedPGCTVVl5+WHSSrOBT0O8lx32+zxmHxijgXp4=\n\
    dep\tgolang.org/x/text\tv0.28.0\n=>\t../text\t(devel)\t\n\
    build\t-buildmode=exe\nbuild\t-compiler=gc\nbuild\t-ldflags=\"-s -w -buildid=\"\nbuild\tCGO_ENABLED=0\n\
    build\tGOARCH=amd64\nbuild\tGOOS=windows\nbuild\tGOAMD64=v1\n";

/// The build info of a program, framed and counted.
pub(crate) fn blob(version: &str, text: &str) -> Vec<u8> {
    let mut blob = [MARKER, &[8, FLAG_INLINE], &[0; 16]].concat();
    let framed = if text.is_empty() { Vec::new() } else { [&[0x30; 16], text.as_bytes(), &[0x31; 16]].concat() };
    for text in [version.as_bytes(), &framed] {
        let mut length = text.len();
        while length >= 0x80 {
            blob.push(length as u8 | 0x80);
            length >>= 7;
        }
        blob.push(length as u8);
        blob.extend(text);
    }
    blob
}

fn go_program(at: usize, blob: &[u8]) -> Vec<u8> {
    let data = [vec![0; at], blob.to_vec(), vec![0; 100]].concat();
    program(&[(".text", CODE, 0x1000, &[0xc3; 600]), (".data", DATA, 0x2000, &data)], &[])
}

fn read(bytes: &[u8]) -> Result<BuildInfo, BuildInfoError> {
    BuildInfo::read(&mut PeFile::open(Cursor::new(bytes))?)
}

#[test]
fn everything_that_go_writes_is_read() {
    let info = read(&go_program(64, &blob("go1.26.8", TEXT))).expect("build info");
    assert_eq!((info.go_version.as_str(), info.path.as_str()), ("go1.26.8", "example.com/shop/cmd/storefront"));
    assert_eq!(info.main, Module { path: "example.com/shop".into(), version: "(devel)".into(), ..Module::default() });
    let [crypto, text] = &info.deps[..] else { panic!("two modules: {:?}", info.deps) };
    assert_eq!((crypto.sum.as_str(), &crypto.replace), ("h1:WKYxWedPGCTVVl5+WHSSrOBT0O8lx32+zxmHxijgXp4=", &None));
    let folder = Module { path: "../text".into(), version: "(devel)".into(), ..Module::default() };
    assert_eq!((text.version.as_str(), text.replace.as_deref()), ("v0.28.0", Some(&folder)));
    assert_eq!((info.setting("-ldflags"), info.setting("GOOS"), info.setting("-race")), (Some("-s -w -buildid="), Some("windows"), None));
    assert_eq!(info.settings.len(), 7);
}

#[test]
fn it_is_found_wherever_the_linker_put_it() {
    for at in [0, 16, 65_520, 65_536, 200_000] {
        assert_eq!(read(&go_program(at, &blob("go1.26.8", TEXT))).expect("build info").deps.len(), 2, "at {at}");
    }
    // A copy of the marker among a program's own data, at no fitting place, is not the linker's.
    let data = [b"abc".to_vec(), MARKER.to_vec(), vec![0; 15], blob("go1.26.8", TEXT)].concat();
    let bytes = program(&[(".data", DATA, 0x2000, &data)], &[]);
    assert_eq!(read(&bytes).expect("build info").deps.len(), 2);
}

#[test]
fn a_program_made_without_modules_has_its_compiler_alone() {
    let info = read(&go_program(0, &blob("go1.26.8 X:jsonv2", ""))).expect("build info");
    assert_eq!(info, BuildInfo { go_version: "go1.26.8 X:jsonv2".into(), ..BuildInfo::default() });
}

#[test]
fn what_has_none_is_named() {
    let complaint = |bytes: &[u8]| read(bytes).expect_err("no build info").to_string();
    assert!(complaint(&go_program(0, b"nothing")).contains("not compiled by Go"));
    assert!(complaint(&program(&[(".text", CODE, 0x1000, b"x")], &[])).contains("not compiled by Go"));
    let mut old = blob("go1.17", "");
    old[FLAGS] = 0;
    assert!(complaint(&go_program(0, &old)).contains("Go 1.17 or older"));
    assert!(complaint(b"\x7fELF").contains("damaged"));
}

#[test]
fn lengths_and_lines_that_lie_are_errors() {
    let mut long = blob("go1.26.8", TEXT);
    long[32] = 0xff;
    assert!(read(&go_program(0, &long)).is_err());
    let endless = [&blob("go1.26.8", "")[..32], &[0xff; 12]].concat();
    assert!(read(&program(&[(".data", DATA, 0x2000, &endless)], &[])).is_err());
    for line in [
        "mod\tonly-a-path\n",
        "dep\ta\tb\tc\td\n",
        "=>\ta\tb\tc\n",
        "dep\ta\tb\n=>\ta\tb\tc\n=>\ta\tb\tc\n",
        "build\t=x\n",
        "build\tx\n",
        "build\ta=\"b\n",
        "build\t\"a\"b\n",
        "build\ta=\"b\"c\n",
    ] {
        let result = BuildInfo::parse("go1.26.8".into(), line);
        assert!(result.is_err_and(|error| error.to_string().contains("line ")), "{line:?}");
    }
}

#[test]
fn no_cut_and_no_changed_byte_makes_it_panic() {
    let bytes = go_program(16, &blob("go1.26.8", TEXT));
    for at in 0..bytes.len() {
        let _ = read(&bytes[..at]);
        for value in [0, 1, 0x55, 0x7f, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            let _ = read(&changed);
        }
    }
}
