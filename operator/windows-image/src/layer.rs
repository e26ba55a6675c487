//! What is in the application layer, to the byte?
//!
//! A layer for Windows is no Linux layer: everything stands under `Files/`, parents come before children, and Windows
//! attributes, creation times and security descriptors travel as PAX records (hcsshim `pkg/ociwclayer`, go-winio
//! `backuptar`). Ours holds four entries: `Hives`, `Files`, `Files/app` and the program. The first two carry no
//! descriptor, so `C:\` keeps its own. Same program, same epoch and same compression give the same bytes; tests pin them.

use crate::compression::Compression;
use crate::descriptor::{STRICT_DIRECTORY, STRICT_FILE};
use crate::digest::{Digest, Hashing};
use crate::windows_path::is_device;
use std::io::{self, Read, Write};
use std::str::FromStr;
use thiserror::Error;

/// The largest file that a plain tar header can describe; a Windows program cannot be half as large.
const LARGEST_PROGRAM: u64 = 0o777_7777_7777;

pub(super) const BLOCK: usize = 512;
/// Bytes for a path in a plain header.
const LONGEST_PLAIN_PATH: usize = 100;
const PIECE: usize = 64 * 1024;

/// The program's file name in the image, known to be harmless on Windows. Example: `storefront.exe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramName(String);

/// The file name cannot stand in a Windows image.
#[derive(Debug, Error)]
#[error(
    "{0:?} cannot be the program's name in a Windows image: wanted are at most 80 of A-Z a-z 0-9 . _ - with .exe at the end, and no device name such as con or nul"
)]
pub struct InvalidProgramName(String);

impl ProgramName {
    /// The bare file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the program is in the container: the image's entrypoint.
    pub fn windows_path(&self) -> String {
        format!(r"C:\app\{}", self.0)
    }

    /// Where the program is in the layer.
    pub fn layer_path(&self) -> String {
        format!("Files/app/{}", self.0)
    }
}

impl FromStr for ProgramName {
    type Err = InvalidProgramName;

    fn from_str(name: &str) -> Result<Self, InvalidProgramName> {
        let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        match name.strip_suffix(".exe") {
            Some(stem) if fits && !stem.is_empty() && !stem.starts_with('.') && name.len() <= 80 && !is_device(stem) => {
                Ok(Self(name.to_string()))
            }
            _ => Err(InvalidProgramName(name.chars().take(100).collect())),
        }
    }
}

/// How a layer is written.
#[derive(Clone, Copy, Debug)]
pub struct Packing {
    /// Seconds since 1970 for every time in it.
    pub epoch: i64,
    /// How it is compressed.
    pub compression: Compression,
    /// On how many threads; the bytes do not depend on it.
    pub threads: usize,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its OCI media type.
    pub media_type: &'static str,
    /// Digest of the compressed bytes: what the manifest names.
    pub digest: Digest,
    /// Compressed size in bytes.
    pub size: u64,
    /// Digest of the uncompressed tar: what the configuration names.
    pub diff_id: Digest,
    /// Digest of the program itself.
    pub program: Digest,
    /// Size of the program in bytes.
    pub program_size: u64,
}

/// Writes the layer with `size` bytes of `program`.
///
/// Streams: memory does not grow with the program.
///
/// # Errors
/// Reading or writing failed, the program is not exactly `size` bytes long, or it is too large for a layer (8 GiB).
pub fn write(name: &ProgramName, program: impl Read, size: u64, packing: Packing, out: impl Write) -> io::Result<Layer> {
    let Packing { epoch, compression, threads } = packing;
    let overhead = io::copy(&mut tar(name, io::empty(), 0, epoch)?, &mut io::sink())?;
    let mut content = Hashing::new(compression.writer(overhead + size.next_multiple_of(BLOCK as u64), threads, Hashing::new(out))?);
    // One byte more than promised shows a program that is still being written.
    let mut program = Hashing::new(program.take(size + 1));
    copy_in_equal_pieces(&mut tar(name, &mut program, size, epoch)?, &mut content)?;
    let (program, read, _) = program.finish();
    if read != size {
        let message = format!("the program changed while it was read: {size} bytes were expected, {read} came");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let (diff_id, _, compressor) = content.finish();
    let (digest, compressed, mut out) = compressor.finish()?.finish();
    out.flush()?;
    Ok(Layer { media_type: compression.media_type(), digest, size: compressed, diff_id, program, program_size: size })
}

/// The same layer without compression, to be read. `program` gives `size` bytes.
///
/// # Errors
/// The program is too large for a layer (8 GiB).
pub fn tar<R: Read>(name: &ProgramName, program: R, size: u64, epoch: i64) -> io::Result<impl Read + use<R>> {
    let epoch = clamped(epoch);
    if size > LARGEST_PROGRAM {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a program of {size} bytes does not fit into a layer (8 GiB at most)"),
        ));
    }
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    write_entry(&mut head, &Entry { path: "Hives", epoch, size: None, rawsd: None })?;
    write_entry(&mut head, &Entry { path: "Files", epoch, size: None, rawsd: None })?;
    write_entry(&mut head, &Entry { path: "Files/app", epoch, size: None, rawsd: Some(STRICT_DIRECTORY) })?;
    write_entry(&mut head, &Entry { path: &name.layer_path(), epoch, size: Some(size), rawsd: Some(STRICT_FILE) })?;
    pad(&mut tail, size)?;
    tail.write_all(&[0; 2 * BLOCK])?;
    Ok(io::Cursor::new(head).chain(program).chain(io::Cursor::new(tail)))
}

/// Before 1970 a tar header has no number, after 2242 neither.
pub(super) fn clamped(epoch: i64) -> u64 {
    u64::try_from(epoch).unwrap_or(0).min(LARGEST_PROGRAM)
}

/// The compressor's output may depend on how its input is cut, so it must not depend on how the file system cuts reads.
pub(super) fn copy_in_equal_pieces(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        piece.clear();
        if from.take(PIECE as u64).read_to_end(&mut piece)? == 0 {
            return Ok(());
        }
        to.write_all(&piece)?;
    }
}

/// A header of a layer.
pub(super) struct Entry<'a> {
    pub(super) path: &'a str,
    /// Seconds since 1970.
    pub(super) epoch: u64,
    /// Bytes of a file; none for a directory.
    pub(super) size: Option<u64>,
    pub(super) rawsd: Option<&'static str>,
}

/// Attributes as in `WIN32_FIND_DATA`: `FILE_ATTRIBUTE_DIRECTORY` and `FILE_ATTRIBUTE_ARCHIVE`.
const ATTRIBUTE_DIRECTORY: &str = "16";
const ATTRIBUTE_ARCHIVE: &str = "32";

pub(super) fn write_entry(tar: &mut impl Write, entry: &Entry<'_>) -> io::Result<()> {
    let attribute = if entry.size.is_some() { ATTRIBUTE_ARCHIVE } else { ATTRIBUTE_DIRECTORY };
    let mut records = pax_record("LIBARCHIVE.creationtime", &format!("{}.000000000", entry.epoch));
    records += &pax_record("MSWINDOWS.fileattr", attribute);
    if let Some(rawsd) = entry.rawsd {
        records += &pax_record("MSWINDOWS.rawsd", rawsd);
    }
    let path = plain(entry.path);
    if path != entry.path {
        records += &pax_record("path", entry.path);
    }
    let (parent, base) = path.rsplit_once('/').map_or(("", path.as_str()), |(parent, base)| (parent, base));
    let pax_path = [parent, "PaxHeaders.0", base].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    write_header(tar, &plain(&pax_path), tar::EntryType::XHeader, 0o644, records.len() as u64, entry.epoch)?;
    tar.write_all(records.as_bytes())?;
    pad(tar, records.len() as u64)?;
    match entry.size {
        Some(size) => write_header(tar, &path, tar::EntryType::Regular, 0o555, size, entry.epoch),
        None => write_header(tar, &path, tar::EntryType::Directory, 0o755, 0, entry.epoch),
    }
}

fn write_header(tar: &mut impl Write, path: &str, kind: tar::EntryType, mode: u32, size: u64, epoch: u64) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(epoch);
    header.set_cksum();
    tar.write_all(header.as_bytes())
}

/// What a plain header can say of a path: the whole of it where it is short and ASCII, as nearly all are. The rest is for readers of
/// before 2001; what counts then is the record `path`.
fn plain(path: &str) -> String {
    let ascii: String =
        path.chars().map(|character| if character.is_ascii_graphic() || character == ' ' { character } else { '_' }).collect();
    match ascii.char_indices().nth(LONGEST_PLAIN_PATH) {
        Some((end, _)) => ascii[..end].trim_end_matches('/').to_owned(),
        None => ascii,
    }
}

/// `<length> <key>=<value>\n`, where the length counts itself.
fn pax_record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}")
}

pub(super) fn pad(tar: &mut impl Write, size: u64) -> io::Result<()> {
    let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    tar.write_all(&[0; BLOCK][..padding as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression;

    const EPOCH: i64 = 1_767_225_600;

    fn name() -> ProgramName {
        "hello.exe".parse().expect("a fine name")
    }

    fn packing(compression: Compression) -> Packing {
        Packing { epoch: EPOCH, compression, threads: 2 }
    }

    fn tar_of(program: &[u8], epoch: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        tar(&name(), program, program.len() as u64, epoch).and_then(|mut tar| tar.read_to_end(&mut bytes)).expect("a layer");
        bytes
    }

    #[test]
    fn the_layer_is_the_documented_one_to_the_byte() {
        let tar = tar_of(b"MZ program", EPOCH);
        let times = format!("48 LIBARCHIVE.creationtime={EPOCH}.000000000\n");
        let expected = [
            ("PaxHeaders.0/Hives", b'x', format!("{times}25 MSWINDOWS.fileattr=16\n")),
            ("Hives", b'5', String::new()),
            ("PaxHeaders.0/Files", b'x', format!("{times}25 MSWINDOWS.fileattr=16\n")),
            ("Files", b'5', String::new()),
            ("Files/PaxHeaders.0/app", b'x', format!("{times}25 MSWINDOWS.fileattr=16\n189 MSWINDOWS.rawsd={STRICT_DIRECTORY}\n")),
            ("Files/app", b'5', String::new()),
            ("Files/app/PaxHeaders.0/hello.exe", b'x', format!("{times}25 MSWINDOWS.fileattr=32\n189 MSWINDOWS.rawsd={STRICT_FILE}\n")),
            ("Files/app/hello.exe", b'0', "MZ program".to_string()),
        ];
        let mut at = 0;
        for (path, kind, content) in expected {
            let header = &tar[at..at + BLOCK];
            let text = |from: usize, to: usize| String::from_utf8_lossy(&header[from..to]).trim_end_matches('\0').to_string();
            assert_eq!((text(0, 100), header[156]), (path.to_string(), kind));
            assert_eq!((text(108, 116), text(116, 124)), ("0000000".into(), "0000000".into()), "{path}: uid and gid");
            assert_eq!(u64::from_str_radix(&text(136, 148), 8), Ok(EPOCH as u64), "{path}: mtime");
            assert_eq!(
                (text(257, 265), text(265, 297), text(297, 329)),
                ("ustar\x0000".into(), String::new(), String::new()),
                "{path}: no names"
            );
            let size = usize::from_str_radix(&text(124, 136), 8).expect("a size");
            at += BLOCK;
            assert_eq!(String::from_utf8_lossy(&tar[at..at + size]), content, "{path}");
            assert!(tar[at + size..at + size.next_multiple_of(BLOCK)].iter().all(|byte| *byte == 0), "{path}: padding");
            at += size.next_multiple_of(BLOCK);
        }
        assert_eq!(&tar[at..], &[0; 2 * BLOCK], "two empty blocks end it");
    }

    /// The version of a library in Cargo.lock.
    fn locked(library: &str) -> String {
        let lock = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"));
        let package = lock.split("[[package]]").find(|package| package.contains(&format!("\nname = \"{library}\"\n")));
        let version = package.and_then(|package| package.split("version = \"").nth(1)?.split('"').next());
        version.unwrap_or("none").to_owned()
    }

    /// A new number here means that every image in the world is built once more: only ever change it knowingly.
    #[test]
    fn the_compressed_bytes_are_pinned() {
        let program: Vec<u8> = (0..1_200_000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> (i % 23)).to_le_bytes()).collect();
        for (compression, library, version, digest) in [
            (Compression::Gzip(4), "libdeflate-sys", "1.26.1", "sha256:ac558678ce40add4c63a8552fecbd7b0f7362498f3d64b51651dde94a1301723"),
            (
                Compression::Zstd(3),
                "zstd-sys",
                "2.1.3+zstd.1.5.7",
                "sha256:007d218a708d06945f14de675cb099499c6e76c0ecaa8da8ea375f92049b810c",
            ),
        ] {
            let mut blob = Vec::new();
            let layer = write(&name(), program.as_slice(), program.len() as u64, packing(compression), &mut blob).expect("a layer");
            assert_eq!(layer.digest, Digest::of(&blob));
            let now = locked(library);
            assert_eq!(
                layer.digest.as_str(),
                digest,
                "{compression} writes other bytes: {library} is {now} in Cargo.lock and was {version} when this was pinned (equal: it was us)"
            );
            let mut tar = Vec::new();
            compression::reader(layer.media_type, blob.as_slice()).and_then(|mut reader| reader.read_to_end(&mut tar)).expect("unpacked");
            assert_eq!((layer.diff_id, layer.program), (Digest::of(&tar), Digest::of(&program)));
        }
    }

    #[test]
    fn a_gzip_header_names_no_file_no_time_and_no_system() {
        let mut blob = Vec::new();
        write(&name(), &b"MZ"[..], 2, packing(Compression::default()), &mut blob).expect("a layer");
        assert_eq!(&blob[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    }

    /// Gives between 1 and 977 bytes at a time.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = (self.1 * 31 + 7) % 977;
            let wanted = buffer.len().min(self.1 + 1);
            self.0.read(&mut buffer[..wanted])
        }
    }

    #[test]
    fn the_bytes_do_not_depend_on_how_the_program_is_read() {
        let program: Vec<u8> = (0..100_000_u32).flat_map(|i| (i % 1013 * i).to_le_bytes()).collect();
        let layer = |reader: &mut dyn Read| {
            write(&name(), reader, program.len() as u64, packing(Compression::default()), io::sink()).expect("a layer")
        };
        assert_eq!(layer(&mut Dribble(&program, 0)), layer(&mut program.as_slice()));
    }

    #[test]
    fn sizes_at_the_block_borders_give_whole_blocks() {
        for size in [0, 1, 511, 512, 513, 1024] {
            assert_eq!(tar_of(&vec![7; size], 0).len() % BLOCK, 0, "{size}");
        }
    }

    #[test]
    fn a_program_that_shrinks_or_grows_is_an_error() {
        for (bytes, size) in [(3, 4), (5, 4)] {
            let result = write(&name(), vec![0; bytes].as_slice(), size, packing(Compression::default()), io::sink());
            assert!(result.is_err_and(|error| error.to_string().contains("changed while it was read")));
        }
    }

    #[test]
    fn times_that_tar_cannot_say_are_clamped() {
        assert_eq!(tar_of(b"x", -5), tar_of(b"x", 0));
        tar_of(b"x", i64::MAX);
    }

    #[test]
    fn pax_lengths_count_themselves() {
        for value in ["", "1", &"x".repeat(90), &"x".repeat(91), &"x".repeat(92), &"x".repeat(993)] {
            let record = pax_record("k", value);
            let (length, _) = record.split_once(' ').expect("a space");
            assert_eq!(length.parse(), Ok(record.len()), "{value}");
        }
    }

    #[test]
    fn only_harmless_names_are_accepted() {
        for good in ["hello.exe", "a.exe", "my-app_2.v1.exe", "console.exe", "Storefront.exe"] {
            assert!(good.parse::<ProgramName>().is_ok(), "{good}");
        }
        let long = format!("{}.exe", "x".repeat(80));
        for bad in [
            "",
            ".exe",
            "hello",
            "hello.EXE",
            "..exe",
            "a b.exe",
            "a/b.exe",
            r"a\b.exe",
            "con.exe",
            "NUL.exe",
            "com1.exe",
            "aux.x.exe",
            "a$(x).exe",
            "ä.exe",
            &long,
        ] {
            assert!(bad.parse::<ProgramName>().is_err(), "{bad}");
        }
    }
}
