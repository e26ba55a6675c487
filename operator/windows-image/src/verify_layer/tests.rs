//! Layers of ours, and layers as other tools make them.

use super::*;
use crate::compression::Compression;
use crate::descriptor::{STRICT_DIRECTORY, STRICT_FILE};
use crate::layer::{self, Packing};
use crate::manifest::media_type::LAYER_GZIP;
use crate::security::tests::{ADMINISTRATORS, USERS, descriptor};

fn name() -> ProgramName {
    "hello.exe".parse().expect("a name")
}

fn written(program: &[u8]) -> (layer::Layer, Vec<u8>) {
    packed(program, Compression::default())
}

fn packed(program: &[u8], compression: Compression) -> (layer::Layer, Vec<u8>) {
    let (mut blob, packing) = (Vec::new(), Packing { epoch: 0, compression, threads: 1 });
    let layer = layer::write(&name(), program, program.len() as u64, packing, &mut blob).expect("a layer");
    (layer, blob)
}

fn unpacked_of(media_type: &str, blob: &[u8]) -> io::Result<Unpacked> {
    unpacked(media_type, blob, 1 << 20, Some(&name().layer_path()), &mut io::sink())
}

fn failed(blob: &[u8]) -> Vec<Rule> {
    let tree = unpacked_of(LAYER_GZIP, blob).expect("a layer").tree;
    tree.findings_of_ours(&name()).into_iter().filter(|finding| !finding.passed()).map(|finding| finding.rule).collect()
}

fn gzip(tar: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(tar).and_then(|()| gzip.finish()).expect("a vector takes all")
}

/// Path, PAX records and content.
type Entry<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// A tar of entries: path (a slash at the end makes a folder), PAX records, content or the target of a hard link (`=`) or symbolic one (`>`).
fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, records, content) in entries {
        let records = records.iter().map(|(key, value)| (*key, value.as_bytes()));
        builder.append_pax_extensions(records).expect("records");
        let mut header = tar::Header::new_ustar();
        // Set by hand: the builder refuses what strangers may well have written.
        header.as_ustar_mut().expect("ustar").name[..path.len()].copy_from_slice(path.as_bytes());
        let target = content.strip_prefix('=').map(|target| (EntryType::Link, target));
        let target = target.or_else(|| content.strip_prefix('>').map(|target| (EntryType::Symlink, target)));
        header.set_size(if target.is_some() { 0 } else { content.len() as u64 });
        match target {
            Some((kind, target)) => {
                header.set_entry_type(kind);
                header.as_ustar_mut().expect("ustar").linkname[..target.len()].copy_from_slice(target.as_bytes());
            }
            None if path.ends_with('/') => header.set_entry_type(EntryType::Directory),
            None => header.set_entry_type(EntryType::Regular),
        }
        header.set_cksum();
        builder.append(&header, if target.is_some() { &b""[..] } else { content.as_bytes() }).expect("a tar");
    }
    builder.into_inner().expect("a tar")
}

use tar::EntryType;

const FOLDER: &[(&str, &str)] = &[("MSWINDOWS.fileattr", "16"), ("MSWINDOWS.rawsd", STRICT_DIRECTORY)];
const FILE: &[(&str, &str)] = &[("MSWINDOWS.fileattr", "32"), ("MSWINDOWS.rawsd", STRICT_FILE)];
const ROOTS: [Entry<'static>; 2] = [("Hives/", &[], ""), ("Files/", &[], "")];

/// What is found in a layer of the roots and these entries.
fn found(entries: &[Entry<'_>]) -> Vec<(Rule, Verdict, String)> {
    let all = [&ROOTS, entries].concat();
    let tree = tree(tar(&all).as_slice(), None, &mut io::sink()).expect("a tar");
    let bad = tree.findings().into_iter().filter(|finding| finding.verdict != Verdict::Passed);
    bad.map(|finding| (finding.rule, finding.verdict, finding.message)).collect()
}

fn rules(entries: &[Entry<'_>]) -> Vec<(Rule, Verdict)> {
    found(entries).into_iter().map(|(rule, verdict, _)| (rule, verdict)).collect()
}

#[test]
fn what_the_writer_wrote_is_read_back_the_same() {
    let program = [pe::tests::program(), vec![7; 100_000]].concat();
    for compression in [Compression::default(), Compression::Zstd(3)] {
        let (layer, blob) = packed(&program, compression);
        let Unpacked { digest, size, diff_id, tree } = unpacked_of(layer.media_type, &blob).expect("a layer");
        assert_eq!((&digest, size, &diff_id), (&layer.digest, layer.size, &layer.diff_id));
        assert_eq!(tree.program.as_ref().map(|program| program.size), Some(layer.program_size));
        let findings = tree.findings_of_ours(&name());
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Passed), "{compression}: {findings:?}");
    }
}

#[test]
fn a_linux_layer_fails_on_tree_and_program() {
    assert_eq!(failed(&gzip(&tar(&[("app/hello.exe", &[], "abc")]))), [Rule::LayerTree, Rule::LayerProgram]);
    let bare = failed(&gzip(&tar(&[("Files/app/hello.exe", &[], "abc")])));
    assert_eq!(bare, [Rule::LayerHives, Rule::LayerTree, Rule::LayerRecords, Rule::LayerProgram]);
}

#[test]
fn a_program_for_another_system_is_found() {
    assert_eq!(failed(&written(b"\x7fELF").1), [Rule::LayerProgram]);
}

#[test]
fn a_copy_with_link_is_named_as_what_it_is() {
    // BuildKit 0.32, COPY --link on a Windows base: no Files/, no records.
    let layer = tar(&[("app/", &[], ""), ("app/hello.exe", &[], "MZ")]);
    let findings = tree(layer.as_slice(), Some("Files/app/hello.exe"), &mut io::sink()).expect("a tar").findings();
    assert_eq!(findings.len(), 1, "one defect, named once: {findings:?}");
    assert!(findings[0].rule == Rule::LayerTree && findings[0].message.contains("plain Linux layer"), "{findings:?}");
}

#[test]
fn descriptors_that_are_not_strict_are_warned_of_by_name() {
    let loose = descriptor(ADMINISTRATORS, Some(&[(true, 0x1f01ff, ADMINISTRATORS), (true, 0x2, USERS)]));
    let folder = [("MSWINDOWS.fileattr", "16"), ("MSWINDOWS.rawsd", loose.as_str())];
    let all = found(&[("Files/app/", &folder, ""), ("Files/app/a.exe", FILE, "MZ")]);
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].0, all[0].1), (Rule::LayerAcl, Verdict::Warning));
    assert!(all[0].2.contains("\"Files/app\"") && all[0].2.contains("members of Users may create files"), "{}", all[0].2);
    // ko: an owner and a group, no list, no attribute.
    let ko = descriptor(USERS, None);
    let all = found(&[("Files/ko-app/", FOLDER, ""), ("Files/ko-app/hello", &[("MSWINDOWS.rawsd", &ko)], "MZ")]);
    assert_eq!(all.iter().map(|(rule, ..)| *rule).collect::<Vec<_>>(), [Rule::LayerRecords, Rule::LayerAcl]);
    assert!(all[1].2.contains("no DACL at all"), "{}", all[1].2);
    assert_eq!(
        rules(&[("Files/a", &[("MSWINDOWS.fileattr", "32"), ("MSWINDOWS.rawsd", "AAAA")], "")]),
        [(Rule::LayerAcl, Verdict::Failed)]
    );
}

#[test]
fn names_that_windows_cannot_have_or_tell_apart_are_refused() {
    let names = ["con", "nul.txt", "COM1", "a:stream", "a.", "a ", "a?b", r"a\b", "a\u{1}", ".."];
    for name in names {
        let path = format!("Files/{name}");
        assert_eq!(rules(&[(&path, FILE, "")]), [(Rule::LayerNames, Verdict::Failed)], "{name}");
    }
    assert_eq!(rules(&[("Files/a.txt", FILE, ""), ("Files/A.TXT", FILE, "")]), [(Rule::LayerNames, Verdict::Failed)]);
    assert_eq!(rules(&[("Files/console", FILE, ""), ("Files/com10", FILE, ""), ("Files/grüße", FILE, "")]), []);
    for path in ["/Files/a", "../a", "etc/passwd", "Files2/a"] {
        assert!(rules(&[(path, FILE, "")]).contains(&(Rule::LayerTree, Verdict::Failed)), "{path}");
    }
}

#[test]
fn links_and_whiteouts_are_followed_in_thought() {
    let failed = [(Rule::LayerLinks, Verdict::Failed)];
    assert_eq!(rules(&[("Files/a", FILE, ""), ("Files/b", &[], "=Files/a")]), []);
    assert_eq!(rules(&[("Files/b", &[], "=app/a")]), failed);
    assert_eq!(rules(&[("Files/b", &[], "=Files/../a")]), failed);
    assert_eq!(rules(&[("Files/b", &[], ">a")]), []);
    assert_eq!(rules(&[("Files/b", &[], ">../../x")]), failed);
    assert_eq!(rules(&[("Files/.wh.old", &[], "")]), []);
    assert_eq!(rules(&[("Files/.wh..wh..opq", &[], "")]).first(), failed.first());
}

#[test]
fn the_folders_of_windows_are_left_alone() {
    let system = |verdict| [(Rule::SystemFolders, verdict)];
    assert_eq!(rules(&[("Files/Windows/", FOLDER, ""), ("Files/Windows/a.dll", FILE, "")])[0], system(Verdict::Failed)[0]);
    assert_eq!(rules(&[("Files/Windows/", &[("MSWINDOWS.fileattr", "16")], "")])[0], system(Verdict::Warning)[0]);
    assert_eq!(rules(&[("Files/.wh.Windows", &[], "")]), system(Verdict::Warning));
    // Buildah describes the root itself.
    let root = tree(tar(&[("Hives/", &[], ""), ("Files/", FOLDER, "")]).as_slice(), None, &mut io::sink()).expect("a tar");
    assert!(root.findings().iter().any(|finding| finding.rule == Rule::SystemFolders && finding.verdict == Verdict::Warning));
}

#[test]
fn a_layer_of_windows_itself_is_not_judged() {
    let base = tar(&[("Files/", &[], ""), ("Files/Windows/", FOLDER, ""), ("Hives/", &[], ""), ("Hives/System_Base", &[], "regf")]);
    let tree = tree(base.as_slice(), None, &mut io::sink()).expect("a tar");
    assert!(tree.is_windows && tree.findings().is_empty());
}

#[test]
fn a_layer_that_unpacks_to_too_much_is_an_error() {
    let (_, blob) = written(&vec![0; 2 << 20]);
    assert!(blob.len() < 10_000 && unpacked_of(LAYER_GZIP, &blob).is_err());
}

#[test]
fn no_cut_and_no_changed_byte_makes_it_panic() {
    let (_, blob) = written(&pe::tests::program());
    for at in 0..blob.len() {
        let _ = unpacked_of(LAYER_GZIP, &blob[..at]);
        let mut changed = blob.clone();
        changed[at] ^= 0x55;
        let _ = unpacked_of(LAYER_GZIP, &changed);
    }
    let layer = tar(&[&ROOTS[..], &[("Files/a/", FOLDER, ""), ("Files/a/b", FILE, "x"), ("Files/c", &[], "=Files/a/b")]].concat());
    for at in 0..layer.len() {
        let mut changed = layer.clone();
        changed[at] ^= 0x55;
        let _ = tree(changed.as_slice(), Some("Files/a/b"), &mut io::sink()).map(|tree| tree.findings());
    }
}
