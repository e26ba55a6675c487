//! How does a layer of a Windows image become a folder that can lie over a Wine prefix?
//!
//! `Files/` becomes `drive_c/`; `Hives/` and `UtilityVM/` are left out, since the registry and the kernel are
//! Wine's. Three rules make the result behave like one disk:
//!
//! - Windows ignores case, an overlay does not: a name is spelled as the layers below spell it.
//! - What the prefix has as a file stays Wine's own: a base image's `ntdll.dll` must not replace it.
//! - `.wh.NAME` becomes the overlay's own whiteout, a character device 0:0.
//!
//! Left out: security descriptors and attributes (Wine has none), alternate data streams. Refused: symbolic links
//! and devices.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use nix::sys::stat::{Mode, SFlag, mknod};
use sha2::{Digest, Sha256};
use tar::{Archive, Entry, EntryType};

/// The folder of a layer or prefix that stands for `C:\`.
pub const DRIVE: &str = "drive_c";

/// Folders of which the upper hide the lower, as an overlay shows them, but blind to case.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Highest first.
    roots: Vec<PathBuf>,
}

impl Stack {
    /// The stack of `roots`, highest first.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots }
    }

    /// `path` (relative) spelled as the stack has it; what does not exist keeps its spelling.
    pub fn spelled(&self, path: &Path) -> PathBuf {
        path.components().fold(PathBuf::new(), |folder, name| folder.join(self.entry(&folder, name)))
    }

    /// The highest existing file or folder at `path`, which must be spelled rightly.
    pub fn find(&self, path: &Path) -> Option<PathBuf> {
        self.roots.iter().map(|root| root.join(path)).find(|path| path.symlink_metadata().is_ok())
    }

    fn entry(&self, folder: &Path, name: Component<'_>) -> PathBuf {
        let name = name.as_os_str();
        let exact = PathBuf::from(name);
        if self.find(&folder.join(&exact)).is_some() {
            return exact;
        }
        let entries = self.roots.iter().filter_map(|root| fs::read_dir(root.join(folder)).ok()).flatten().flatten();
        let same = entries.map(|entry| entry.file_name()).find(|other| other.eq_ignore_ascii_case(name));
        same.map_or(exact, PathBuf::from)
    }
}

/// Unpacks the layer in `blob` (a tar, with gzip, zstd or nothing around it) as `target/drive_c`.
///
/// `below` are the folders it will lie on, highest first, of which the last is the Wine prefix. Fails when the
/// unpacked bytes do not have the digest `diff_id`.
pub fn extract(blob: &Path, diff_id: &str, below: &[PathBuf], target: &Path) -> Result<()> {
    let prefix = below.last().context("a layer needs a prefix below it")?;
    fs::create_dir_all(target.join(DRIVE))?;
    let roots = [target.to_path_buf()].into_iter().chain(below.iter().cloned()).collect();
    let extraction = Extraction { target, prefix, stack: Stack::new(roots) };
    let mut content = Hashing { inner: open(blob)?, hash: Sha256::new() };
    let mut archive = Archive::new(&mut content);
    for entry in archive.entries()? {
        extraction.entry(entry?)?;
    }
    io::copy(&mut content, &mut io::sink())?;
    let actual = format!("sha256:{}", hex::encode(content.hash.finalize()));
    ensure!(actual == diff_id, "a layer unpacks to {actual}, but the config says {diff_id}");
    Ok(())
}

fn open(blob: &Path) -> Result<Box<dyn Read>> {
    let mut file = File::open(blob).with_context(|| format!("open {}", blob.display()))?;
    let mut magic = Vec::new();
    file.by_ref().take(4).read_to_end(&mut magic)?;
    let content = BufReader::new(io::Cursor::new(magic.clone()).chain(file));
    Ok(match magic[..] {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(content)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::with_buffer(content)?),
        _ => Box::new(content),
    })
}

struct Extraction<'a> {
    target: &'a Path,
    prefix: &'a Path,
    stack: Stack,
}

impl Extraction<'_> {
    fn entry(&self, mut entry: Entry<'_, impl Read>) -> Result<()> {
        let Some(path) = on_drive(&entry.path()?)? else {
            return Ok(());
        };
        let path = self.stack.spelled(&path);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(removed) = name.strip_prefix(".wh.") {
            return self.whiteout(&self.stack.spelled(&path.with_file_name(removed)));
        }
        if name.contains(':') || self.prefix.join(&path).is_file() {
            return Ok(());
        }
        let target = self.target.join(&path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        match entry.header().entry_type() {
            EntryType::Directory => fs::create_dir_all(&target)?,
            EntryType::Regular => drop(io::copy(&mut entry, &mut File::create(&target)?)?),
            EntryType::Link => self.hard_link(&entry, &target)?,
            other => bail!("{}: entries of type {other:?} cannot be unpacked here", path.display()),
        }
        Ok(())
    }

    fn whiteout(&self, path: &Path) -> Result<()> {
        if self.prefix.join(path).exists() {
            return Ok(());
        }
        let target = self.target.join(path);
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder)?;
        }
        mknod(&target, SFlag::S_IFCHR, Mode::empty(), 0).with_context(|| format!("white out {}", path.display()))
    }

    fn hard_link(&self, entry: &Entry<'_, impl Read>, target: &Path) -> Result<()> {
        let link = entry.link_name()?.context("a hard link without a target")?;
        let link = on_drive(&link)?.with_context(|| format!("a hard link to {} outside Files/", link.display()))?;
        let source = self.stack.find(&self.stack.spelled(&link));
        let source = source.with_context(|| format!("a hard link to {}, which does not exist", link.display()))?;
        fs::hard_link(&source, target).or_else(|_| fs::copy(&source, target).map(drop))?;
        Ok(())
    }
}

/// `Files/a/b` as `drive_c/a/b`; nothing for what is not under `Files/`. Paths that would leave it are refused.
fn on_drive(path: &Path) -> Result<Option<PathBuf>> {
    ensure!(path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)), "{} leaves the layer", path.display());
    let Ok(inside) = path.strip_prefix("Files") else {
        return Ok(None);
    };
    Ok(Some(Path::new(DRIVE).join(inside)))
}

struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::FileTypeExt};

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    struct Disk {
        _folder: tempfile::TempDir,
        root: PathBuf,
    }

    fn disk() -> Disk {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_path_buf();
        fs::create_dir_all(root.join("prefix/drive_c/windows/system32")).unwrap();
        fs::write(root.join("prefix/drive_c/windows/system32/ntdll.dll"), "wine's").unwrap();
        Disk { _folder: folder, root }
    }

    /// Unpacks what matters here of a base image's two layers, the release and its cumulative update.
    fn layers(disk: &Disk) -> Vec<PathBuf> {
        let mut release = tar::Builder::new(Vec::new());
        for path in ["Files/Windows/System32/synthetic-base.dat", "Files/Windows/System32/ntdll.dll", "Files/Windows/System32/wininit.exe"]
        {
            release.append_data(&mut header(EntryType::Regular), path, io::empty()).unwrap();
        }
        let (name, of) = ("Files/Windows/WinSxS/amd64_synthetic/ntdll.dll", "Files/Windows/System32/ntdll.dll");
        release.append_link(&mut header(EntryType::Link), name, of).unwrap();
        release.append_data(&mut header(EntryType::Regular), "Hives/Software_Base", io::empty()).unwrap();
        let mut update = tar::Builder::new(Vec::new());
        update.append_data(&mut header(EntryType::Regular), "Files/Windows/System32/.wh.wininit.exe", io::empty()).unwrap();
        let mut below = vec![disk.root.join("prefix")];
        for (index, tar) in [release, update].into_iter().enumerate() {
            let (blob, target) = (disk.root.join(format!("blob{index}")), disk.root.join(format!("layer{index}")));
            let tar = tar.into_inner().unwrap();
            let mut gzip = GzEncoder::new(File::create(&blob).unwrap(), Compression::fast());
            gzip.write_all(&tar).unwrap();
            gzip.finish().unwrap();
            extract(&blob, &format!("sha256:{}", hex::encode(Sha256::digest(&tar))), &below, &target).unwrap();
            below.insert(0, target);
        }
        below
    }

    fn header(kind: EntryType) -> tar::Header {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(0);
        header
    }

    #[test]
    fn a_base_is_spelled_as_the_prefix_and_never_replaces_its_files() {
        let disk = disk();
        let below = layers(&disk);
        let system = disk.root.join("layer0/drive_c/windows/system32");
        assert!(system.join("synthetic-base.dat").is_file());
        assert!(!system.join("ntdll.dll").exists());
        assert!(!disk.root.join("layer0/drive_c/Windows").exists());
        assert!(!disk.root.join("layer0/Hives").exists());
        let stack = Stack::new(below);
        assert_eq!(stack.spelled(Path::new("drive_c/WINDOWS/New")), Path::new("drive_c/windows/New"));
    }

    #[test]
    fn a_whiteout_is_the_overlays_own_and_a_hard_link_may_lead_into_the_prefix() {
        let disk = disk();
        layers(&disk);
        let gone = disk.root.join("layer1/drive_c/windows/system32/wininit.exe");
        if nix::unistd::geteuid().is_root() {
            assert!(gone.symlink_metadata().unwrap().file_type().is_char_device());
        }
        let linked = disk.root.join("layer0/drive_c/windows/WinSxS/amd64_synthetic/ntdll.dll");
        assert_eq!(fs::read_to_string(linked).unwrap(), "wine's");
    }

    #[test]
    fn a_wrong_diff_id_and_a_path_that_leaves_the_layer_are_refused() {
        let disk = disk();
        let blob = disk.root.join("blob");
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_data(&mut header(EntryType::Regular), "Files/a", io::empty()).unwrap();
        fs::write(&blob, tar.into_inner().unwrap()).unwrap();
        let below = [disk.root.join("prefix")];
        let error = extract(&blob, "sha256:0", &below, &disk.root.join("target")).unwrap_err();
        assert!(error.to_string().contains("the config says sha256:0"), "{error}");
        assert!(on_drive(Path::new("Files/../../etc")).is_err());
    }
}
