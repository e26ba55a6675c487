//! How does the lab write a Linux image of its own making?
//!
//! As an OCI layout of one layer in a directory, which `crane push` takes. Times and owners are 0, so the same files make the
//! same digest.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use super::kept::keep;

/// What a container of the image runs, and as whom.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program and its first arguments.
    pub entrypoint: Vec<String>,
    /// The environment, each `NAME=value`.
    pub env: Vec<String>,
    /// User and group id, such as `65532:65532`.
    pub user: &'static str,
}

/// The files of an image that is being written.
pub struct Tree {
    tar: Builder<Measured<GzEncoder<Measured<File>>>>,
}

/// Writes an image into the directory `layout`, with the files that `fill` adds. Appears there complete or not at all. Blocks.
pub fn write(layout: &Path, config: &Config, fill: impl FnOnce(&mut Tree) -> Result<()>) -> Result<()> {
    let written = keep(layout, |unfinished| {
        let blobs = unfinished.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(|| format!("cannot make {}", blobs.display()))?;
        write_into(unfinished, &blobs, config, fill)
    });
    written.with_context(|| format!("cannot write the image {}", layout.display()))
}

/// The digest of the one image in a layout.
pub fn digest(layout: &Path) -> Result<String> {
    let path = layout.join("index.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let index: Value = serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
    let digest = index["manifests"][0]["digest"].as_str();
    Ok(digest.with_context(|| format!("{} names no image", path.display()))?.to_owned())
}

fn write_into(layout: &Path, blobs: &Path, config: &Config, fill: impl FnOnce(&mut Tree) -> Result<()>) -> Result<()> {
    let unnamed = blobs.join("layer");
    // The fastest level: these images cross no network.
    let gzip = GzEncoder::new(Measured::new(File::create(&unnamed)?), Compression::fast());
    let mut tree = Tree { tar: Builder::new(Measured::new(gzip)) };
    fill(&mut tree)?;
    let plain = tree.tar.into_inner()?;
    let diff_id = plain.digest();
    let compressed = plain.inner.finish()?;
    let (layer, size) = (compressed.digest(), compressed.size);
    fs::rename(&unnamed, blobs.join(layer.trim_start_matches("sha256:")))?;

    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": config.entrypoint, "Env": config.env, "User": config.user, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(blobs, "application/vnd.oci.image.config.v1+json", &config)?,
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": layer, "size": size}],
    });
    let manifest = put(blobs, "application/vnd.oci.image.manifest.v1+json", &manifest)?;
    fs::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": [manifest]}).to_string())?;
    fs::write(layout.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())?;
    Ok(())
}

/// Writes a JSON blob and returns its descriptor.
fn put(blobs: &Path, media_type: &str, content: &Value) -> Result<Value> {
    let text = content.to_string();
    let digest = hex::encode(Sha256::digest(&text));
    fs::write(blobs.join(&digest), &text)?;
    Ok(json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": text.len()}))
}

impl Tree {
    /// Adds a directory; `path` has no leading slash.
    pub fn directory(&mut self, path: &str, mode: u32) -> Result<()> {
        self.append(EntryType::Directory, path, mode, 0, io::empty())
    }

    /// Adds a file with this content.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.append(EntryType::Regular, path, mode, content.len() as u64, content)
    }

    /// Adds the file `from` of this machine, links followed.
    pub fn copy(&mut self, from: &Path, path: &str, mode: u32) -> Result<()> {
        let open = || File::open(from).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = open().with_context(|| format!("cannot open {}", from.display()))?;
        self.append(EntryType::Regular, path, mode, size, file)
    }

    /// Adds the file `from` of this machine, which whoever runs it has these capabilities with, of the first 32.
    pub fn copy_with(&mut self, from: &Path, path: &str, capabilities: u32) -> Result<()> {
        // `struct vfs_cap_data`, revision 2, effective: permitted and inheritable, twice.
        let words = [0x0200_0001, capabilities, 0, 0, 0].map(u32::to_le_bytes);
        self.tar.append_pax_extensions([("SCHILY.xattr.security.capability", words.as_flattened())])?;
        self.copy(from, path, 0o755)
    }

    /// Adds a symbolic link to `target`.
    pub fn link(&mut self, path: &str, target: &str) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        header.set_mtime(0);
        self.tar.append_link(&mut header, path, target).with_context(|| format!("cannot add {path}"))
    }

    /// Adds the directory `from` of this machine with all in it, links followed, but for what `skip` says of a path below `from`.
    pub fn copy_tree(&mut self, from: &Path, path: &str, skip: &dyn Fn(&Path) -> bool) -> Result<()> {
        self.copy_below(from, Path::new(""), path, skip)
    }

    fn copy_below(&mut self, root: &Path, below: &Path, to: &str, skip: &dyn Fn(&Path) -> bool) -> Result<()> {
        let folder = root.join(below);
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut names = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        names.sort();
        for below in names.into_iter().map(|name| below.join(name)).filter(|below| !skip(below)) {
            let from = root.join(&below);
            let kind = fs::metadata(&from).with_context(|| format!("cannot look at {}", from.display()))?;
            let path = PathBuf::from(to).join(&below).to_string_lossy().into_owned();
            if kind.is_dir() {
                self.directory(&path, 0o755)?;
                self.copy_below(root, &below, to, skip)?;
            } else {
                let executable = std::os::unix::fs::PermissionsExt::mode(&kind.permissions()) & 0o100 != 0;
                self.copy(&from, &path, if executable { 0o755 } else { 0o644 })?;
            }
        }
        Ok(())
    }

    fn append(&mut self, kind: EntryType, path: &str, mode: u32, size: u64, content: impl io::Read) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(0);
        self.tar.append_data(&mut header, path, content).with_context(|| format!("cannot add {path}"))
    }
}

/// A writer that knows the size and the digest of what went through it.
struct Measured<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W> Measured<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    fn digest(&self) -> String {
        format!("sha256:{}", hex::encode(self.hash.clone().finalize()))
    }
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
