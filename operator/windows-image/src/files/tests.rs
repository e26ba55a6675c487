use super::*;
use crate::compression::Compression;
use crate::verify_layer;

const EPOCH: i64 = 1_767_225_600;

fn packing() -> Packing {
    Packing { epoch: EPOCH, compression: Compression::default(), threads: 2 }
}

fn program() -> ProgramName {
    "shop.exe".parse().expect("a name")
}

fn found(to: &str, content: &str) -> Found {
    Found { from: content.to_owned(), to: to.to_owned(), size: content.len() as u64 }
}

/// The content of a file of these tests is where it was found.
fn content(file: &Found) -> io::Cursor<Vec<u8>> {
    io::Cursor::new(file.from.clone().into_bytes())
}

fn tar_of(tree: &Tree) -> Vec<u8> {
    let mut tar = Vec::new();
    write_tar(tree, |file| Ok(content(file)), EPOCH, &mut tar).expect("a layer");
    assert_eq!(tar_size(tree).ok(), Some(tar.len() as u64));
    tar
}

fn tree(files: &[(&str, &str)]) -> Result<Tree, UnfitFiles> {
    Tree::new(files.iter().map(|(to, content)| found(to, content)), &program())
}

/// Path, kind, Windows attribute, descriptor and content of each entry, as any reader of tar sees them.
fn listing(tar: &[u8]) -> Vec<(String, char, String, String, String)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().expect("a tar");
    let read = entries.map(|entry| {
        let mut entry = entry.expect("an entry");
        let path = String::from_utf8(entry.path_bytes().into_owned()).expect("UTF-8");
        let kind = if entry.header().entry_type().is_dir() { 'd' } else { 'f' };
        assert_eq!(entry.header().mtime().ok(), u64::try_from(EPOCH).ok(), "{path}");
        let mut records = BTreeMap::new();
        for record in entry.pax_extensions().expect("records").expect("some").flatten() {
            records.insert(record.key().expect("a key").to_owned(), record.value().expect("a value").to_owned());
        }
        let record = |key: &str| records.get(key).cloned().unwrap_or_default();
        assert_eq!(record("LIBARCHIVE.creationtime"), format!("{EPOCH}.000000000"), "{path}");
        let (attribute, descriptor) = (record("MSWINDOWS.fileattr"), record("MSWINDOWS.rawsd"));
        let mut content = String::new();
        entry.read_to_string(&mut content).expect("content");
        (path, kind, attribute, descriptor, content)
    });
    read.collect()
}

#[test]
fn the_layer_is_the_documented_one() {
    let tree = tree(&[(r"C:\app\web\b.txt", "b"), (r"C:\app\web\a\index.html", "a"), (r"C:\data\x", "x")]).expect("a tree");
    let entry = |path: &str, kind, attribute: &str, descriptor: &str, content: &str| {
        (path.to_owned(), kind, attribute.to_owned(), descriptor.to_owned(), content.to_owned())
    };
    let expected = [
        entry("Hives", 'd', "16", "", ""),
        entry("Files", 'd', "16", "", ""),
        entry("Files/app", 'd', "16", STRICT_DIRECTORY, ""),
        entry("Files/app/web", 'd', "16", STRICT_DIRECTORY, ""),
        entry("Files/app/web/a", 'd', "16", STRICT_DIRECTORY, ""),
        entry("Files/app/web/a/index.html", 'f', "32", STRICT_FILE, "a"),
        entry("Files/app/web/b.txt", 'f', "32", STRICT_FILE, "b"),
        entry("Files/data", 'd', "16", STRICT_DIRECTORY, ""),
        entry("Files/data/x", 'f', "32", STRICT_FILE, "x"),
    ];
    assert_eq!(listing(&tar_of(&tree)), expected);
}

#[test]
fn the_compressed_bytes_are_pinned() {
    let tree = tree(&[(r"C:\app\grüße.txt", "hello"), (r"C:\app\web\index.html", "<html>")]).expect("a tree");
    let layer = write(&tree, |file| Ok(content(file)), packing(), io::sink());
    // A new number here means that every image with files is built once more: only ever change it knowingly.
    let pinned = "sha256:1217a49a09d05b89e809ff44742c0a12bba5b7f3015fdff5c0d0b923211f17a5";
    assert_eq!(layer.map(|layer| layer.digest.to_string()).ok().as_deref(), Some(pinned));
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    let large = "some content, many times over; ".repeat(200_000);
    let tree = tree(&[(r"C:\app\a", &large), (r"C:\app\b", "b")]).expect("a tree");
    for compression in [Compression::Gzip(6), Compression::Zstd(3)] {
        let on =
            |threads| write(&tree, |file| Ok(content(file)), Packing { compression, threads, ..packing() }, io::sink()).expect("a layer");
        let one = on(1);
        assert_eq!(one, on(4), "{compression}");
        assert_eq!(one.media_type, compression.media_type());
    }
}

#[test]
fn what_windows_takes_for_one_is_refused() {
    let table: [(&[(&str, &str)], &str); 8] = [
        (&[(r"C:\app\a.txt", "1"), (r"C:\app\A.TXT", "2")], r"C:\app\"),
        (&[(r"C:\app\web\a", "1"), (r"C:\app\Web\b", "2")], r"C:\app\"),
        (&[(r"C:\app\ä", "1"), (r"C:\app\Ä", "2")], r"C:\app\"),
        (&[(r"C:\app\a", "1"), (r"C:\app\a", "2")], r"C:\app\a"),
        (&[(r"C:\app\a", "1"), (r"C:\app\a\b", "2")], r"C:\app\a"),
        (&[(r"C:\app\SHOP.exe", "1")], "the program shop.exe"),
        (&[(r"C:\App\x", "1")], "the program's folder"),
        (&[(r"C:\app", "1")], "the program's folder"),
    ];
    for (files, says) in table {
        let error = tree(files).expect_err("refused");
        assert!(matches!(error, UnfitFiles::Collision { .. }) && error.to_string().contains(says), "{files:?}: {error}");
    }
    assert!(matches!(tree(&[(r"C:\app\con", "1")]), Err(UnfitFiles::Path { .. })));
    assert!(matches!(tree(&[(r"C:\app\a:b", "1")]), Err(UnfitFiles::Path { .. })));
    assert!(matches!(tree(&[(r"C:\Windows\x", "1")]), Err(UnfitFiles::Path { .. })));
}

#[test]
fn too_much_is_refused() {
    let many = (0..=MOST_FILES).map(|number| found(&format!(r"C:\app\{number}"), ""));
    assert_eq!(Tree::new(many, &program()), Err(UnfitFiles::TooMany));
    let large = [Found { size: MOST_BYTES + 1, ..found(r"C:\app\a", "") }];
    assert_eq!(Tree::new(large, &program()), Err(UnfitFiles::TooLarge));
}

#[test]
fn a_file_that_changes_is_an_error() {
    let tree = tree(&[(r"C:\app\a", "123")]).expect("a tree");
    for content in ["12", "1234"] {
        let error = write(&tree, |_| Ok(content.as_bytes()), packing(), io::sink()).expect_err("changed");
        assert!(error.to_string().contains("changed while it was read"), "{error}");
    }
    let gone = write(&tree, |_| Err::<&[u8], _>(io::ErrorKind::NotFound.into()), packing(), io::sink()).expect_err("gone");
    assert!(gone.to_string().starts_with("123: "), "{gone}");
}

/// SplitMix64: a seed is a tree.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (word ^ word >> 27) as usize % most
    }

    fn files(&mut self) -> Vec<Found> {
        let names = ["a", "b.txt", "grüße", "日本.png", "A b", "[slug].js", "-", "zz", "B.TXT", ".env", "CON", "x:y", "trailing."];
        let long = "long-name-".repeat(12);
        let count = self.below(30);
        let file = |dice: &mut Self| {
            let top = ["C:\\app", "C:\\data", "C:\\srv\\x"][dice.below(3)].to_owned();
            // Unfit names are rare, or hardly a tree would be made.
            let most = if dice.below(40) == 0 { names.len() } else { 8 };
            let path = (0..=dice.below(4)).fold(top, |path, _| match dice.below(20) {
                0 => format!("{path}\\{long}"),
                _ => format!("{path}\\{}", names[dice.below(most)]),
            });
            let content = "content ".repeat(dice.below(200));
            Found { from: format!("{path} {content}"), to: path.clone(), size: (path.len() + 1 + content.len()) as u64 }
        };
        (0..count).map(|_| file(self)).collect()
    }

    fn shuffled(&mut self, mut files: Vec<Found>) -> Vec<Found> {
        for at in (1..files.len()).rev() {
            files.swap(at, self.below(at + 1));
        }
        files
    }
}

/// Any files: refused as a whole, or a layer that any reader of tar reads, parents first, with each file in it once and whole; and the
/// same bytes in whatever order they were found.
#[test]
fn any_tree_of_files_is_a_valid_layer() {
    let (mut made, mut refused) = (0, 0);
    for seed in 0..2_000 {
        let mut dice = Dice(seed);
        let files = dice.files();
        let again = Tree::new(dice.shuffled(files.clone()), &program());
        let tree = match Tree::new(files.clone(), &program()) {
            Ok(tree) => tree,
            Err(error) => {
                assert_eq!(again.map_err(|error| error.to_string()), Err(error.to_string()), "seed {seed}");
                refused += 1;
                continue;
            }
        };
        made += 1;
        let tar = tar_of(&tree);
        assert_eq!(tar, tar_of(&again.expect("the same files")), "seed {seed}");
        let listed = listing(&tar);
        let mut folders = std::collections::BTreeSet::from([String::from("Hives"), "Files".into()]);
        for (path, kind, attribute, descriptor, _) in &listed[2..] {
            let (parent, _) = path.rsplit_once('/').expect("below Files");
            assert!(folders.contains(parent), "seed {seed}: {path} before its folder");
            if *kind == 'd' {
                assert!(folders.insert(path.clone()), "seed {seed}: {path} twice");
            }
            let (wanted, strict) = if *kind == 'd' { ("16", STRICT_DIRECTORY) } else { ("32", STRICT_FILE) };
            assert_eq!((attribute.as_str(), descriptor.as_str()), (wanted, strict), "seed {seed}: {path}");
        }
        let mut expected: Vec<_> =
            files.iter().map(|file| (file.to.replacen("C:", "Files", 1).replace('\\', "/"), file.from.clone())).collect();
        expected.sort();
        let written: Vec<_> = listed.iter().filter(|entry| entry.1 == 'f').map(|entry| (entry.0.clone(), entry.4.clone())).collect();
        assert_eq!(written, expected, "seed {seed}");
    }
    assert!(made > 300 && refused > 300, "{made} layers, {refused} refusals");
}

#[test]
fn the_reader_of_layers_finds_nothing_wrong_but_that_there_is_no_program() {
    let long = format!(r"C:\app\{}\{}", "x".repeat(90), "y".repeat(90));
    let tree = tree(&[(&long, "1"), (r"C:\app\日本\a", "2")]).expect("a tree");
    let mut blob = Vec::new();
    let layer = write(&tree, |file| Ok(content(file)), packing(), &mut blob).expect("a layer");
    let unpacked = verify_layer::unpacked(layer.media_type, blob.as_slice(), 1 << 20, None, &mut std::io::sink()).expect("a layer");
    assert_eq!((&unpacked.digest, unpacked.size, &unpacked.diff_id), (&layer.digest, layer.size, &layer.diff_id));
    let findings = unpacked.tree.findings_of_ours(&program());
    let failed: Vec<_> = findings.iter().filter(|finding| !finding.passed()).map(|finding| finding.rule.id()).collect();
    assert_eq!(failed, ["layer-program"]);
}
