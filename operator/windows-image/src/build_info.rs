//! What does a Go program say of its own making? The build info that Go's linker writes: modules, settings, compiler.
//!
//! As `debug/buildinfo` of Go reads it: a marker in the first writable section, then two texts with their lengths, the second
//! being what `go version -m` prints. It survives stripping. Only what Go 1.18 and later write is read; texts and their parts
//! are taken as they are and must be treated as data of a stranger.

mod literal;

use crate::pe_file::{PeError, PeFile, Section};
use object::pe::{IMAGE_SCN_ALIGN_32BYTES, IMAGE_SCN_CNT_INITIALIZED_DATA, IMAGE_SCN_MEM_READ, IMAGE_SCN_MEM_WRITE};
use std::io::{Read, Seek};
use thiserror::Error;

const MARKER: &[u8] = b"\xff Go buildinf:";
const MARKER_ALIGN: usize = 16;
const HEADER_BYTES: u64 = 32;
const FLAGS: usize = 15;
const FLAG_INLINE: u8 = 2;
/// A compiler's name with its experiments.
const LONGEST_VERSION: u64 = 4 * 1024;
/// Kubernetes, with some 200 modules, needs 30 KB.
const LONGEST_TEXT: u64 = 4 * 1024 * 1024;
/// Random bytes before and after the text, by which running programs find it.
const FRAME: usize = 16;

/// What Go's linker wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildInfo {
    /// The compiler: `go1.26.8`, also with experiments: `go1.26.8 X:jsonv2`.
    pub go_version: String,
    /// Import path of the main package; `command-line-arguments` when files were compiled.
    pub path: String,
    /// The module of the main package; empty when it was compiled outside of one.
    pub main: Module,
    /// Every other module that the program has code of, sorted by path.
    pub deps: Vec<Module>,
    /// `-trimpath`=`true`, `CGO_ENABLED`=`0`, `GOOS`=`windows` ..., in the order written.
    pub settings: Vec<(String, String)>,
}

/// A Go module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Its path.
    pub path: String,
    /// `v1.2.3`, or `(devel)` for the main module.
    pub version: String,
    /// `h1:` and base64, as in `go.sum`; empty for the main module and for folders.
    pub sum: String,
    /// What was compiled instead.
    pub replace: Option<Box<Module>>,
}

/// Why there is no build info.
#[derive(Debug, Error)]
pub enum BuildInfoError {
    /// No readable PE file.
    #[error(transparent)]
    Pe(#[from] PeError),
    /// No marker.
    #[error("the program has no Go build info: it was not compiled by Go")]
    NotGo,
    /// Before Go 1.18.
    #[error("the program was compiled by Go 1.17 or older: compile it with a Go that is still supported")]
    OldGo,
    /// The text is not as Go writes it.
    #[error("the program's Go build info is damaged: {0}")]
    Damaged(String),
}

fn damaged(what: impl Into<String>) -> BuildInfoError {
    BuildInfoError::Damaged(what.into())
}

impl BuildInfo {
    /// Reads it from an opened program. A few KB of memory, whatever the program's size.
    ///
    /// # Errors
    /// See [`BuildInfoError`].
    pub fn read(file: &mut PeFile<impl Read + Seek>) -> Result<Self, BuildInfoError> {
        let section = file.sections().iter().copied().find(is_data).ok_or(BuildInfoError::NotGo)?;
        let at = file.find(section, MARKER_ALIGN, MARKER, MARKER.len(), |_| true)?.ok_or(BuildInfoError::NotGo)?;
        let mut header = [0; HEADER_BYTES as usize];
        file.read(at, &mut header)?;
        if header[FLAGS] & FLAG_INLINE == 0 {
            return Err(BuildInfoError::OldGo);
        }
        let (version, next) = counted_text(file, at + HEADER_BYTES, LONGEST_VERSION)?;
        let (text, _) = counted_text(file, next, LONGEST_TEXT)?;
        let go_version = String::from_utf8(version).map_err(|_| damaged("the compiler's name is not UTF-8"))?;
        if go_version.is_empty() {
            return Err(BuildInfoError::NotGo);
        }
        // Without its frame there is no text: the program was compiled without modules.
        let framed = text.len() > 2 * FRAME && text[text.len() - FRAME - 1] == b'\n';
        let text = if framed { &text[FRAME..text.len() - FRAME] } else { &[] };
        let text = std::str::from_utf8(text).map_err(|_| damaged("it is not UTF-8"))?;
        Self::parse(go_version, text)
    }

    /// Reads the lines that `go version -m` prints.
    ///
    /// # Errors
    /// A line that Go does not write.
    pub fn parse(go_version: String, text: &str) -> Result<Self, BuildInfoError> {
        let mut info = Self { go_version, ..Self::default() };
        // Which module a replacement belongs to: that of the line before.
        let mut last: Option<Last> = None;
        for (number, line) in text.split_terminator('\n').enumerate() {
            let wrong = |what: String| damaged(format!("line {}: {what}", number + 1));
            let Some((kind, rest)) = line.split_once('\t') else { continue };
            match kind {
                "path" => info.path = rest.into(),
                "mod" => {
                    info.main = module(rest).map_err(wrong)?;
                    last = Some(Last::Main);
                }
                "dep" => {
                    info.deps.push(module(rest).map_err(wrong)?);
                    last = Some(Last::Dep);
                }
                "=>" => {
                    let replaced = match last.take() {
                        Some(Last::Main) => Some(&mut info.main),
                        Some(Last::Dep) => info.deps.last_mut(),
                        None => None,
                    };
                    let replaced = replaced.ok_or_else(|| wrong("a replacement of nothing".into()))?;
                    replaced.replace = Some(Box::new(module(rest).map_err(wrong)?));
                }
                "build" => info.settings.push(setting(rest).map_err(wrong)?),
                _ => {}
            }
        }
        Ok(info)
    }

    /// The value of a build setting, such as `-tags` or `CGO_ENABLED`; none if the linker did not write it.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

enum Last {
    Main,
    Dep,
}

fn is_data(section: &Section) -> bool {
    let kind = section.characteristics & !IMAGE_SCN_ALIGN_32BYTES;
    section.address != 0 && section.size != 0 && kind == IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ | IMAGE_SCN_MEM_WRITE
}

/// The bytes at an address, whose number stands before them as a varint, and the address behind them.
fn counted_text(file: &mut PeFile<impl Read + Seek>, at: u64, longest: u64) -> Result<(Vec<u8>, u64), BuildInfoError> {
    let mut number = [0; 10];
    let readable = usize::try_from(file.available(at)).unwrap_or(usize::MAX).min(number.len());
    file.read(at, &mut number[..readable])?;
    let (length, used) = varint(&number[..readable]).ok_or_else(|| damaged("a length has no end"))?;
    let from = at + used as u64;
    if length > longest || length > file.available(from) {
        return Err(damaged(format!("a text of {length} bytes does not fit")));
    }
    let mut text = vec![0; usize::try_from(length).unwrap_or_default()];
    if !text.is_empty() {
        file.read(from, &mut text)?;
    }
    Ok((text, from + length))
}

/// An unsigned varint of `encoding/binary`, and how many bytes it took.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate() {
        let bits = u64::from(byte & 0x7f);
        value |= bits.checked_shl(7 * index as u32).filter(|shifted| shifted >> (7 * index) == bits)?;
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

fn module(columns: &str) -> Result<Module, String> {
    let columns: Vec<&str> = columns.split('\t').collect();
    match columns[..] {
        [path, version] => Ok(Module { path: path.into(), version: version.into(), ..Module::default() }),
        [path, version, sum] => Ok(Module { path: path.into(), version: version.into(), sum: sum.into(), replace: None }),
        _ => Err(format!("{} columns instead of two or three", columns.len())),
    }
}

fn setting(line: &str) -> Result<(String, String), String> {
    let (key, value) = match literal::leading(line) {
        Some(result) => {
            let (key, rest) = result?;
            (key, rest.strip_prefix('=').ok_or("no = after a quoted key")?)
        }
        None => line.split_once('=').map(|(key, value)| (key.to_string(), value)).ok_or("no = after a key")?,
    };
    if key.is_empty() {
        return Err("an empty key".into());
    }
    let value = match literal::leading(value) {
        Some(result) => {
            let (value, rest) = result?;
            if !rest.is_empty() {
                return Err("something follows a quoted value".into());
            }
            value
        }
        None => value.to_string(),
    };
    Ok((key, value))
}

#[cfg(test)]
pub(crate) mod tests;
