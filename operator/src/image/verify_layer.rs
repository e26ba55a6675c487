//! Is an application layer one that a Windows node can import, and is the program in it?
//!
//! Reads a layer once, from start to end, without writing any of it anywhere. What it unpacks to is limited, so that a
//! small download cannot keep us busy for long.

use super::compression;
use super::digest::{Digest, Hashing};
use super::layer::ProgramName;
use super::pe;
use super::verify::{Finding, Rule};
use std::collections::BTreeSet;
use std::io::{self, Read};

/// No layer of ours holds more than four entries; one that someone else wrote may hold assets.
const MOST_ENTRIES: usize = 100_000;

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerFacts {
    /// Digest of the compressed bytes.
    pub digest: Digest,
    /// Compressed size in bytes.
    pub size: u64,
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Digest and size of the program, if it is there.
    pub program: Option<(Digest, u64)>,
    /// The rules.
    pub findings: Vec<Finding>,
}

/// Reads a layer of a media type, which should hold `program`; unpacks at most `most_bytes`.
///
/// # Errors
/// Reading failed, or it is not compressed as it should be, or no tar, or too large.
pub fn read(media_type: &str, layer: impl Read, program: &ProgramName, most_bytes: u64) -> io::Result<LayerFacts> {
    let mut compressed = Hashing::new(layer);
    let unpacked = Hashing::new(compression::reader(media_type, &mut compressed)?.take(most_bytes));
    let mut archive = tar::Archive::new(unpacked);
    let mut seen = Seen::new(program);
    for entry in archive.entries()? {
        seen.entry(entry?)?;
    }
    let mut unpacked = archive.into_inner();
    io::copy(&mut unpacked, &mut io::sink())?;
    let (diff_id, bytes, limited) = unpacked.finish();
    drop(limited);
    if bytes == most_bytes {
        return Err(io::Error::other(format!("the layer unpacks to more than {most_bytes} bytes")));
    }
    io::copy(&mut compressed, &mut io::sink())?;
    let (digest, size, _) = compressed.finish();
    let (program, findings) = seen.judge();
    Ok(LayerFacts { digest, size, diff_id, program, findings })
}

/// What has been seen of the entries so far.
struct Seen<'a> {
    wanted: &'a ProgramName,
    folders: BTreeSet<String>,
    entries: usize,
    program: Option<(Digest, u64)>,
    stray: Option<String>,
    bare: Option<String>,
    unfit: Option<String>,
}

impl<'a> Seen<'a> {
    fn new(wanted: &'a ProgramName) -> Self {
        Self { wanted, folders: BTreeSet::new(), entries: 0, program: None, stray: None, bare: None, unfit: None }
    }

    fn entry<R: Read>(&mut self, mut entry: tar::Entry<'_, R>) -> io::Result<()> {
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err(io::Error::other(format!("the layer has more than {MOST_ENTRIES} entries")));
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).trim_end_matches('/').to_string();
        let folder = entry.header().entry_type().is_dir();
        let placed = match path.rsplit_once('/') {
            None => folder && (path == "Hives" || path == "Files"),
            Some((parent, name)) => self.folders.contains(parent) && path.starts_with("Files/") && !["", ".", ".."].contains(&name),
        };
        if !placed {
            self.stray.get_or_insert_with(|| path.chars().take(200).collect());
        }
        if path.starts_with("Files/app") && !described(&mut entry, folder)? {
            self.bare.get_or_insert_with(|| path.clone());
        }
        if path == self.wanted.layer_path() {
            self.read_program(entry)?;
        }
        if folder {
            self.folders.insert(path);
        }
        Ok(())
    }

    fn read_program(&mut self, mut entry: impl Read) -> io::Result<()> {
        let mut start = Vec::with_capacity(pe::HEADER_BYTES);
        (&mut entry).take(pe::HEADER_BYTES as u64).read_to_end(&mut start)?;
        self.unfit = pe::check(&start).err().map(|error| error.to_string());
        let mut program = Hashing::new(io::Cursor::new(start).chain(entry));
        io::copy(&mut program, &mut io::sink())?;
        let (digest, size, _) = program.finish();
        self.program = Some((digest, size));
        Ok(())
    }

    fn judge(self) -> (Option<(Digest, u64)>, Vec<Finding>) {
        let Self { wanted, folders: _, entries: _, program, stray, bare, unfit } = self;
        let tree = stray.as_ref().map_or("all entries are under Files, parents first".into(), |path| {
            format!("the layer's entry {path:?} is not under Files, or comes before its folder")
        });
        let records = bare.as_ref().map_or("the program carries Windows attributes and a descriptor".into(), |path| {
            format!("the layer's entry {path:?} lacks MSWINDOWS.fileattr or MSWINDOWS.rawsd")
        });
        let runs = match (&program, &unfit) {
            (None, _) => format!("the layer has no {}", wanted.layer_path()),
            (Some(_), Some(why)) => why.clone(),
            (Some(_), None) => "the program is a console program for amd64".into(),
        };
        let findings = vec![
            Finding::of(Rule::LayerTree, stray.is_none(), tree),
            Finding::of(Rule::LayerRecords, bare.is_none(), records),
            Finding::of(Rule::LayerProgram, program.is_some() && unfit.is_none(), runs),
        ];
        (program, findings)
    }
}

/// Whether an entry has the Windows records that it needs, with the attribute of its kind.
fn described<R: Read>(entry: &mut tar::Entry<'_, R>, folder: bool) -> io::Result<bool> {
    let Some(records) = entry.pax_extensions()? else { return Ok(false) };
    let (mut attribute, mut descriptor) = (false, false);
    for record in records {
        let record = record?;
        match record.key_bytes() {
            b"MSWINDOWS.fileattr" => attribute = record.value_bytes() == if folder { b"16" } else { b"32" },
            b"MSWINDOWS.rawsd" => descriptor = !record.value_bytes().is_empty(),
            _ => {}
        }
    }
    Ok(attribute && descriptor)
}

#[cfg(test)]
mod tests {
    use super::super::compression::Compression;
    use super::super::layer::{self, Packing};
    use super::super::manifest::media_type::LAYER_GZIP;
    use super::*;
    use std::io::Write;

    fn name() -> ProgramName {
        "hello.exe".parse().expect("a name")
    }

    fn written(program: &[u8]) -> (layer::Layer, Vec<u8>) {
        packed(program, Compression::default())
    }

    fn packed(program: &[u8], compression: Compression) -> (layer::Layer, Vec<u8>) {
        let mut blob = Vec::new();
        let layer = layer::write(&name(), program, program.len() as u64, Packing { epoch: 0, compression, threads: 1 }, &mut blob)
            .expect("a layer");
        (layer, blob)
    }

    fn failed(blob: &[u8]) -> Vec<Rule> {
        let facts = read(LAYER_GZIP, blob, &name(), 1 << 20).expect("a layer");
        facts.findings.into_iter().filter(|finding| !finding.passed).map(|finding| finding.rule).collect()
    }

    fn gzip(tar: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(tar).and_then(|()| gzip.finish()).expect("a vector takes all")
    }

    fn linux_layer(path: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(3);
        builder.append_data(&mut header, path, &b"abc"[..]).expect("a tar");
        gzip(&builder.into_inner().expect("a tar"))
    }

    #[test]
    fn what_the_writer_wrote_is_read_back_the_same() {
        let program = [pe::tests::program(), vec![7; 100_000]].concat();
        for compression in [Compression::default(), Compression::Zstd(3)] {
            let (layer, blob) = packed(&program, compression);
            let facts = read(layer.media_type, blob.as_slice(), &name(), 1 << 20).expect("a layer");
            assert_eq!((&facts.digest, facts.size, &facts.diff_id), (&layer.digest, layer.size, &layer.diff_id));
            assert_eq!(facts.program, Some((layer.program, layer.program_size)));
            assert!(facts.findings.iter().all(|finding| finding.passed), "{compression}: {:?}", facts.findings);
        }
    }

    #[test]
    fn a_linux_layer_fails_on_tree_and_program() {
        assert_eq!(failed(&linux_layer("app/hello.exe")), [Rule::LayerTree, Rule::LayerProgram]);
        assert_eq!(failed(&linux_layer("Files/app/hello.exe")), [Rule::LayerTree, Rule::LayerRecords, Rule::LayerProgram]);
    }

    #[test]
    fn a_program_for_another_system_is_found() {
        assert_eq!(failed(&written(b"\x7fELF").1), [Rule::LayerProgram]);
    }

    #[test]
    fn a_layer_that_unpacks_to_too_much_is_an_error() {
        let (_, blob) = written(&vec![0; 2 << 20]);
        assert!(blob.len() < 10_000 && read(LAYER_GZIP, blob.as_slice(), &name(), 1 << 20).is_err());
    }

    #[test]
    fn no_cut_and_no_changed_byte_makes_it_panic() {
        let (_, blob) = written(&pe::tests::program());
        for at in 0..blob.len() {
            let _ = read(LAYER_GZIP, &blob[..at], &name(), 1 << 20);
            let mut changed = blob.clone();
            changed[at] ^= 0x55;
            let _ = read(LAYER_GZIP, changed.as_slice(), &name(), 1 << 20);
        }
    }
}
