//! Is this file a program that a Windows container can run?
//!
//! Looks at the headers only: PE32+, amd64, an executable (no DLL), console subsystem. A program of the GUI subsystem starts
//! but never gets the console's stop event, so it would be killed at every rollout.

use object::LittleEndian as LE;
use object::pe::{
    IMAGE_FILE_DLL, IMAGE_FILE_EXECUTABLE_IMAGE, IMAGE_FILE_MACHINE_AMD64, IMAGE_SUBSYSTEM_WINDOWS_CUI, IMAGE_SUBSYSTEM_WINDOWS_GUI,
};
use object::pe::{ImageDosHeader, ImageNtHeaders64};
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader};
use thiserror::Error;

/// How many bytes from the start of a file hold all headers that are looked at.
pub const HEADER_BYTES: usize = 4096;

/// Why the program cannot run in a Windows container.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotRunnable {
    /// No PE file.
    #[error("the program is not a Windows executable (it begins with {0}): was it compiled with GOOS=windows?")]
    NotPe(String),
    /// The headers end early or contradict themselves.
    #[error("the program's PE headers are damaged ({0}): compile it again")]
    Damaged(String),
    /// Another processor.
    #[error("the program is for {0}, but Windows containers need amd64: compile it with GOARCH=amd64")]
    Machine(String),
    /// A library.
    #[error("the file is a DLL or an object, not a program: build a main package without -buildmode=c-shared")]
    NotAProgram,
    /// Window programs.
    #[error(
        "the program is of the {0} subsystem; in a container it would not be told to stop: compile it as a console program, without -H windowsgui"
    )]
    Subsystem(String),
}

/// Checks the first [`HEADER_BYTES`] bytes (or all, if there are fewer) of a program.
///
/// # Errors
/// Why it would not run, with the remedy.
pub fn check(start: &[u8]) -> Result<(), NotRunnable> {
    let damaged = |error: object::read::Error| NotRunnable::Damaged(error.to_string());
    if !start.starts_with(b"MZ") {
        return Err(NotRunnable::NotPe(beginning(start)));
    }
    let dos = ImageDosHeader::parse(start).map_err(damaged)?;
    let machine = machine(start, dos.nt_headers_offset())?;
    if machine != IMAGE_FILE_MACHINE_AMD64 {
        return Err(NotRunnable::Machine(machine_name(machine)));
    }
    let mut offset = dos.nt_headers_offset().into();
    let (headers, _) = ImageNtHeaders64::parse(start, &mut offset).map_err(damaged)?;
    let characteristics = headers.file_header.characteristics.get(LE);
    if characteristics & IMAGE_FILE_DLL != 0 || characteristics & IMAGE_FILE_EXECUTABLE_IMAGE == 0 {
        return Err(NotRunnable::NotAProgram);
    }
    match headers.optional_header().subsystem() {
        IMAGE_SUBSYSTEM_WINDOWS_CUI => Ok(()),
        IMAGE_SUBSYSTEM_WINDOWS_GUI => Err(NotRunnable::Subsystem("GUI".into())),
        other => Err(NotRunnable::Subsystem(format!("number {other}"))),
    }
}

/// Read by hand, because a 32-bit program must be named as such and its other headers have another shape.
fn machine(start: &[u8], nt_headers: u32) -> Result<u16, NotRunnable> {
    let at = nt_headers as usize;
    match at.checked_add(6).and_then(|end| start.get(at..end)) {
        Some([b'P', b'E', 0, 0, low, high]) => Ok(u16::from_le_bytes([*low, *high])),
        _ => Err(NotRunnable::Damaged("no PE signature where the DOS header says it is".into())),
    }
}

fn machine_name(machine: u16) -> String {
    match machine {
        object::pe::IMAGE_FILE_MACHINE_I386 => "386 (32-bit)".into(),
        object::pe::IMAGE_FILE_MACHINE_ARM64 => "arm64".into(),
        other => format!("machine {other:#06x}"),
    }
}

fn beginning(start: &[u8]) -> String {
    match start {
        [] => "nothing: the file is empty".into(),
        [0x7f, b'E', b'L', b'F', ..] => "ELF: a Linux program".into(),
        [b'#', b'!', ..] => "#!: a script".into(),
        [0xcf, 0xfa, 0xed, 0xfe, ..] => "Mach-O: a macOS program".into(),
        [..] => format!("the bytes {}", hex::encode(&start[..start.len().min(4)])),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The headers of a console program for amd64, as Go's linker writes them, and nothing else.
    pub(crate) fn program() -> Vec<u8> {
        let mut pe = vec![0_u8; 0x80];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x80;
        pe.extend(b"PE\0\0");
        pe.extend(IMAGE_FILE_MACHINE_AMD64.to_le_bytes());
        pe.extend([0; 14]);
        pe.extend(240_u16.to_le_bytes());
        pe.extend((IMAGE_FILE_EXECUTABLE_IMAGE | 0x20).to_le_bytes());
        let mut optional = vec![0_u8; 240];
        optional[..2].copy_from_slice(&0x20b_u16.to_le_bytes());
        optional[68..70].copy_from_slice(&IMAGE_SUBSYSTEM_WINDOWS_CUI.to_le_bytes());
        optional[108] = 16;
        pe.extend(optional);
        pe
    }

    fn with(at: usize, value: u16) -> Vec<u8> {
        let mut pe = program();
        pe[at..at + 2].copy_from_slice(&value.to_le_bytes());
        pe
    }

    const MACHINE: usize = 0x84;
    const CHARACTERISTICS: usize = 0x96;
    const SUBSYSTEM: usize = 0x98 + 68;

    #[test]
    fn a_console_program_for_amd64_is_accepted() {
        assert_eq!(check(&program()), Ok(()));
    }

    #[test]
    fn each_other_kind_is_named_with_its_remedy() {
        let message = |bytes: &[u8]| check(bytes).expect_err("not runnable").to_string();
        assert!(message(b"\x7fELF....").contains("GOOS=windows"));
        assert!(message(b"").contains("empty"));
        assert!(message(&with(MACHINE, 0x14c)).contains("GOARCH=amd64"));
        assert!(message(&with(MACHINE, 0xaa64)).contains("arm64"));
        assert!(message(&with(CHARACTERISTICS, 0x2022)).contains("c-shared"));
        assert!(message(&with(SUBSYSTEM, 2)).contains("windowsgui"));
    }

    #[test]
    fn no_truncation_and_no_changed_byte_makes_it_panic() {
        let pe = program();
        for end in 0..pe.len() {
            assert!(check(&pe[..end]).is_err(), "cut at {end}");
        }
        for at in 0..pe.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = pe.clone();
                changed[at] = value;
                let _ = check(&changed);
            }
        }
    }
}
