use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use tar::{Builder, Header};

/// Path, type, content.
type Entry<'a> = (&'a str, EntryType, &'a [u8]);

/// A tar of entries.
fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = Header::new_gnu();
        // Past the checks of `set_path`, as somebody who means ill would.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        if *kind == EntryType::Symlink {
            header.set_link_name("/etc/passwd").expect("a link");
        }
        header.set_cksum();
        tar.append(&header, *content).expect("appended");
    }
    tar.into_inner().expect("a tar")
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).expect("zipped");
    gzip.finish().expect("zipped")
}

/// What is unpacked of an image with this manifest and one layer.
fn of(manifest: &str, layer: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let (image, into) = (folder.path().join("image.tar"), folder.path().join("out"));
    std::fs::create_dir(&into).expect("a folder");
    let saved = [
        ("sha256:00", EntryType::Regular, b"{}".as_slice()),
        ("11.tar.gz", EntryType::Regular, layer),
        ("manifest.json", EntryType::Regular, manifest.as_bytes()),
    ];
    std::fs::write(&image, archive(&saved)).expect("written");
    unpack(&image, &into).map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
    let files = std::fs::read_dir(&into).expect("a folder").map(|entry| {
        let entry = entry.expect("an entry");
        (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).expect("readable"))
    });
    Ok(files.collect())
}

const ONE: &str = r#"[{"Config":"sha256:00","RepoTags":["a:b"],"Layers":["11.tar.gz"]}]"#;
const FILE: EntryType = EntryType::Regular;
const PROGRAM: Entry<'_> = ("shop.exe", FILE, b"MZ");

#[test]
fn the_one_file_is_the_program_however_the_layer_is_written() {
    let expected = vec![("shop.exe".to_owned(), b"MZ".to_vec())];
    let root = ("/", EntryType::Directory, b"".as_slice());
    assert_eq!(of(ONE, &archive(&[PROGRAM])), Ok(expected.clone()));
    assert_eq!(of(ONE, &zipped(&archive(&[root, ("/shop.exe", FILE, b"MZ")]))), Ok(expected.clone()));
    assert_eq!(of(ONE, &zipped(&archive(&[("./shop.exe", FILE, b"MZ")]))), Ok(expected));
}

#[test]
fn anything_else_is_refused() {
    let layers: [(&[Entry<'_>], &str); 8] = [
        (&[], "empty"),
        (&[PROGRAM, ("b.exe", FILE, b"MZ")], "b.exe"),
        (&[PROGRAM, PROGRAM], "shop.exe"),
        (&[("../shop.exe", FILE, b"MZ")], "shop.exe"),
        (&[("bin/shop.exe", FILE, b"MZ")], "bin/shop.exe"),
        (&[("bin", EntryType::Directory, b""), PROGRAM], "bin"),
        (&[("shop.exe", EntryType::Symlink, b"")], "shop.exe"),
        (&[("shop.exe", EntryType::Char, b"")], "shop.exe"),
    ];
    for (entries, says) in layers {
        let refused = of(ONE, &zipped(&archive(entries))).expect_err(says);
        assert!(refused.contains(says) && refused.contains("image.tar"), "{says}: {refused}");
    }
    let two = r#"[{"Layers":["11.tar.gz","22.tar.gz"]}]"#;
    for (manifest, says) in [(two, "2 layers"), ("[]", "0 images"), (r#"[{"Layers":["gone"]}]"#, "gone"), ("nonsense", "expected ident")] {
        let refused = of(manifest, &archive(&[PROGRAM])).expect_err(says);
        assert!(refused.contains(says), "{says}: {refused}");
    }
    assert!(of(ONE, &zipped(&archive(&[PROGRAM]))[..40]).is_err(), "cut short");
}
