//! Which images does this node have, and what does it take to get one more?
//!
//! A pull resolves what the pod spec names, picks the manifest by the node's platform, downloads only the blobs
//! that are missing and unpacks only the layers whose chain (the layer with all below it) is new, as containerd does.
//! So a node that has a base downloads just the program's layer. One pull at a time, as a kubelet's default. A node that runs
//! nothing leaves the layers where they are: what it needs is in manifest and config.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    layer,
    platform::{Order, Platform, WindowsVersion, choose},
    registry::{Client, Reference},
};

/// What containerd says when no manifest of an image runs on the node.
const NO_MATCH: &str = "no match for platform in manifest: not found";

/// An image that is on the node.
#[derive(Clone, Debug)]
pub struct Image {
    /// `repository@digest` of what the reference named: an index or a manifest.
    pub id: String,
    /// The `os.version` of the manifest that the node took.
    pub os_version: String,
    /// Compressed bytes of manifest, config and layers.
    pub size: u64,
    /// How to run it.
    pub config: ImageConfig,
    /// Unpacked layers, lowest first.
    pub layers: Vec<PathBuf>,
}

/// The part of an image config that says how to run it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ImageConfig {
    /// A Windows account; empty means ContainerAdministrator.
    pub user: String,
    /// `NAME=value` each.
    pub env: Option<Vec<String>>,
    /// The program and its fixed arguments.
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    pub cmd: Option<Vec<String>>,
    /// A Windows path; empty means `C:\`.
    pub working_dir: String,
}

/// One pull that succeeded.
#[derive(Clone, Debug)]
pub struct Pull {
    /// What the pod spec named.
    pub reference: String,
    /// The image it led to.
    pub image: Arc<Image>,
    /// Bytes that came over the network.
    pub downloaded: u64,
    /// Time without waiting for other pulls.
    pub duration: Duration,
}

/// The images of one node.
#[derive(Debug)]
pub struct Images {
    folder: PathBuf,
    prefix: Option<PathBuf>,
    host: WindowsVersion,
    order: Order,
    registry: Client,
    present: Mutex<BTreeMap<String, Arc<Image>>>,
    pulls: Mutex<Vec<Pull>>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Option<Vec<Child>>,
}

#[derive(Deserialize)]
struct Child {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    size: u64,
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(flatten)]
    platform: Platform,
    #[serde(default)]
    config: Option<ImageConfig>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

impl Images {
    /// An empty store in `folder` for a node of version `host` whose layers will lie over `prefix`; without one no layer is
    /// pulled.
    pub fn new(folder: PathBuf, prefix: Option<PathBuf>, host: WindowsVersion, order: Order, registry: Client) -> Result<Self> {
        for part in ["blobs", "layers"] {
            fs::create_dir_all(folder.join(part)).with_context(|| format!("create {}", folder.display()))?;
        }
        let (present, pulls, turn) = Default::default();
        Ok(Self { folder, prefix, host, order, registry, present, pulls, turn })
    }

    /// The image that was last pulled under the name `reference`.
    pub fn get(&self, reference: &str) -> Option<Arc<Image>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).get(reference).cloned()
    }

    /// Every image with the name it was pulled under.
    pub fn list(&self) -> Vec<(String, Arc<Image>)> {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.iter().map(|(name, image)| (name.clone(), image.clone())).collect()
    }

    /// Every pull so far, oldest first.
    pub fn pulls(&self) -> Vec<Pull> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Pulls what `reference` names. The error reads as the one that a kubelet gets from containerd.
    pub async fn pull(&self, reference: &str) -> Result<Pull> {
        let _turn = self.turn.lock().await;
        let started = Instant::now();
        let (image, downloaded) = match self.fetch(reference).await {
            Ok(fetched) => fetched,
            Err(error) => {
                let text = format!("{error:#}");
                let code = if text.ends_with("not found") { "NotFound" } else { "Unknown" };
                bail!("rpc error: code = {code} desc = failed to pull and unpack image \"{reference}\": {text}");
            }
        };
        let image = Arc::new(image);
        let pull = Pull { reference: reference.to_owned(), image: image.clone(), downloaded, duration: started.elapsed() };
        self.present.lock().unwrap_or_else(PoisonError::into_inner).insert(reference.to_owned(), image);
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner).push(pull.clone());
        Ok(pull)
    }

    async fn fetch(&self, name: &str) -> Result<(Image, u64)> {
        let reference = Reference::parse(name)?;
        let resolved = self.registry.manifest(&reference, &reference.version).await;
        let (id, bytes) = resolved.with_context(|| format!("failed to resolve reference \"{name}\""))?;
        let mut downloaded = bytes.len() as u64;
        let mut manifest = bytes;
        let index: Index = serde_json::from_slice(&manifest).context("read the manifest")?;
        if let Some(children) = index.manifests {
            let candidates = children.into_iter().map(|child| (child.platform.unwrap_or_else(windows), child.digest));
            let chosen = choose(self.host, self.order, candidates.collect()).context(NO_MATCH)?;
            (_, manifest) = self.registry.manifest(&reference, &chosen).await?;
            downloaded += manifest.len() as u64;
        }
        let size = manifest.len() as u64;
        let manifest: Manifest = serde_json::from_slice(&manifest).context("read the manifest")?;
        let (config_path, config_bytes) = self.blob(&reference, &manifest.config.digest).await?;
        let config: ConfigFile = serde_json::from_slice(&fs::read(config_path)?).context("read the image config")?;
        ensure!(config.platform.matches(self.host), NO_MATCH);
        ensure!(
            config.rootfs.diff_ids.len() == manifest.layers.len(),
            "the config names {} layers, the manifest {}",
            config.rootfs.diff_ids.len(),
            manifest.layers.len()
        );
        downloaded += config_bytes;
        let layers = match &self.prefix {
            Some(prefix) => {
                let (layers, bytes) = self.layers(&reference, &manifest, &config, prefix).await?;
                downloaded += bytes;
                layers
            }
            None => Vec::new(),
        };
        let size = size + manifest.config.size + manifest.layers.iter().map(|layer| layer.size).sum::<u64>();
        let (os_version, config) = (config.platform.os_version, config.config.unwrap_or_default());
        Ok((Image { id: reference.at(&id), os_version, size, config, layers }, downloaded))
    }

    /// The unpacked layers, lowest first, and how many bytes had to be downloaded for them.
    async fn layers(&self, reference: &Reference, manifest: &Manifest, config: &ConfigFile, prefix: &Path) -> Result<(Vec<PathBuf>, u64)> {
        let (mut layers, mut downloaded) = (Vec::new(), 0);
        let mut chain = String::new();
        for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            chain = chain_id(&chain, diff_id);
            let unpacked = self.folder.join("layers").join(short(&chain));
            if !unpacked.exists() {
                let (blob, bytes) = self.blob(reference, &layer.digest).await?;
                downloaded += bytes;
                let below: Vec<&Path> = layers.iter().rev().map(PathBuf::as_path).chain([prefix]).collect();
                unpack(blob, diff_id.clone(), &below, &unpacked).await?;
            }
            layers.push(unpacked);
        }
        Ok((layers, downloaded))
    }

    /// The file of a blob and how many bytes had to be downloaded for it.
    async fn blob(&self, reference: &Reference, digest: &str) -> Result<(PathBuf, u64)> {
        let hex = digest.strip_prefix("sha256:").filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let path = self.folder.join("blobs").join(hex.with_context(|| format!("{digest:?} is not a sha256 digest"))?);
        let downloaded = if path.exists() { 0 } else { self.registry.blob(reference, digest, &path).await? };
        Ok((path, downloaded))
    }
}

/// Unpacks a layer over what is `below` it, the highest first.
async fn unpack(blob: PathBuf, diff_id: String, below: &[&Path], target: &Path) -> Result<()> {
    let below: Vec<_> = below.iter().map(|path| path.to_path_buf()).collect();
    let unfinished = target.with_extension("unfinished");
    let folder = unfinished.clone();
    tokio::task::spawn_blocking(move || {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        layer::extract(&blob, &diff_id, &below, &folder)
    })
    .await??;
    fs::rename(&unfinished, target).with_context(|| format!("keep {}", target.display()))
}

/// The platform of a manifest that states none: its config is asked later.
fn windows() -> Platform {
    Platform { os: "windows".into(), architecture: "amd64".into(), os_version: String::new() }
}

/// The chain id of the image specification.
fn chain_id(below: &str, diff_id: &str) -> String {
    if below.is_empty() {
        return diff_id.to_owned();
    }
    format!("sha256:{}", hex::encode(Sha256::digest(format!("{below} {diff_id}"))))
}

/// Mount options have room for one page: long enough to be unique on a node, short enough for dozens of layers.
fn short(digest: &str) -> String {
    digest.trim_start_matches("sha256:").chars().take(24).collect()
}
