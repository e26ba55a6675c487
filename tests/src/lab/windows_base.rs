//! Which Windows base images does the lab's registry offer, and how are they made?
//!
//! No image comes from a public registry: `nanoserver`- and `servercore`-shaped bases are generated for each
//! release and pushed. They have what a tool that writes Windows images meets in a real one: `Files/`, `Hives/`
//! and `UtilityVM/` entries with the PAX records of Windows, hard links, a whiteout, two gzip layers (the release
//! and its cumulative update), a four-part `os.version`, `User: ContainerUser` (empty for servercore), `Env: null`
//! and manifest lists in Docker media types, as the vendor's registry serves them.
//!
//! The content is noise drawn from the name of what it stands for: it does not compress, it is equal in every run,
//! and a new update of the same build ("Patch Tuesday") changes the upper layer alone. Nothing in here is
//! Windows: what runs such an image has to bring the system itself.

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};

mod layer;
mod repository;

pub use layer::WindowsLayer;
pub use repository::Repository;

const MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// 2021-05-08, the day of the first Windows Server 2022 images; every generated time is this one.
const EPOCH: u64 = 1_620_432_000;
const CREATED: &str = "2021-05-08T00:00:00Z";

/// The releases on offer, oldest first: tag and newest `os.version`, as the vendor's registry had them in August 2026.
pub const RELEASES: [(&str, &str); 3] =
    [("ltsc2019", "10.0.17763.8389"), ("ltsc2022", "10.0.20348.5499"), ("ltsc2025", "10.0.26100.33296")];

/// The two base images that Go programs are put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// `windows/nanoserver`: the smallest, runs as ContainerUser.
    Nanoserver,
    /// `windows/servercore`: its `User` is empty, which means ContainerAdministrator.
    Servercore,
}

impl Flavor {
    /// The repository in the lab's registry.
    pub fn repository(self) -> &'static str {
        match self {
            Self::Nanoserver => "windows/nanoserver",
            Self::Servercore => "windows/servercore",
        }
    }

    fn user(self) -> &'static str {
        match self {
            Self::Nanoserver => "ContainerUser",
            Self::Servercore => "",
        }
    }
}

/// How many bytes the layers of one base hold.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes of a nanoserver base.
    pub nanoserver: usize,
    /// Bytes of a servercore base.
    pub servercore: usize,
}

impl Default for Sizes {
    /// Large enough that downloading a base where none is needed shows, small enough for a laptop.
    fn default() -> Self {
        Self { nanoserver: 24 << 20, servercore: 40 << 20 }
    }
}

impl Sizes {
    fn of(self, flavor: Flavor) -> usize {
        match flavor {
            Flavor::Nanoserver => self.nanoserver,
            Flavor::Servercore => self.servercore,
        }
    }
}

/// A blob or a manifest with what refers to it.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Its media type.
    pub media_type: &'static str,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Blob {
    /// Wraps `bytes` and computes their digest.
    pub fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { media_type, digest: digest(&bytes), bytes }
    }

    fn descriptor(&self) -> serde_json::Value {
        json!({ "mediaType": self.media_type, "size": self.bytes.len(), "digest": self.digest })
    }
}

/// One base image of one release.
#[derive(Clone, Debug)]
pub struct Base {
    /// Four parts, such as `10.0.20348.5499`.
    pub os_version: String,
    /// The image config.
    pub config: Blob,
    /// The layers, lowest first.
    pub layers: Vec<Blob>,
    /// The manifest that names config and layers.
    pub manifest: Blob,
}

impl Base {
    /// Generates the base of `flavor` for `os_version` with about `size` bytes of content. Equal arguments give
    /// equal digests; versions that differ in the fourth part alone share the lower layer.
    pub fn generate(flavor: Flavor, os_version: &str, size: usize) -> Result<Self> {
        let (build, _) = os_version.rsplit_once('.').with_context(|| format!("os.version {os_version:?} has no parts"))?;
        let release = layer(&format!("{flavor:?} {build}.1"), size / 4 * 3, Contents::Release)?;
        let update = layer(&format!("{flavor:?} {os_version}"), size / 4, Contents::Update)?;
        let config = json!({
            "architecture": "amd64",
            "config": {
                "Hostname": "", "Domainname": "", "User": flavor.user(), "AttachStdin": false, "AttachStdout": false,
                "AttachStderr": false, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": null,
                "Cmd": ["c:\\windows\\system32\\cmd.exe"], "Image": "", "Volumes": null, "WorkingDir": "",
                "Entrypoint": null, "OnBuild": null, "Labels": null
            },
            "created": CREATED,
            "history": [
                { "created": CREATED, "created_by": format!("Apply image {build}.1") },
                { "created": CREATED, "created_by": format!("Install update {os_version}") }
            ],
            "os": "windows",
            "os.version": os_version,
            "rootfs": { "type": "layers", "diff_ids": [release.1, update.1] }
        });
        Self::new(os_version, &config, vec![release.0, update.0])
    }

    /// The image with one more layer and this environment.
    pub fn with_layer(&self, layer: Blob, diff_id: &str, environment: &[&str]) -> Result<Self> {
        let mut config: serde_json::Value = serde_json::from_slice(&self.config.bytes)?;
        config["config"]["Env"] = json!(environment);
        config["rootfs"]["diff_ids"].as_array_mut().context("a config without layers")?.push(json!(diff_id));
        let made = json!({"created": CREATED, "created_by": "Add a layer"});
        config["history"].as_array_mut().context("a config without history")?.push(made);
        Self::new(&self.os_version, &config, self.layers.iter().cloned().chain([layer]).collect())
    }

    fn new(os_version: &str, config: &serde_json::Value, layers: Vec<Blob>) -> Result<Self> {
        let config = Blob::new(CONFIG, serde_json::to_vec(config)?);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>()
        });
        let manifest = Blob::new(MANIFEST, serde_json::to_vec(&manifest)?);
        Ok(Self { os_version: os_version.to_owned(), config, layers, manifest })
    }
}

/// The manifest list over `bases`, in their order.
pub fn manifest_list(bases: &[&Base]) -> Result<Blob> {
    let manifests: Vec<_> = bases
        .iter()
        .map(|base| {
            let mut descriptor = base.manifest.descriptor();
            descriptor["platform"] = json!({ "architecture": "amd64", "os": "windows", "os.version": base.os_version });
            descriptor
        })
        .collect();
    let list = json!({ "schemaVersion": 2, "mediaType": MANIFEST_LIST, "manifests": manifests });
    Ok(Blob::new(MANIFEST_LIST, serde_json::to_vec(&list)?))
}

/// Generates and pushes every base to `registry` (`host:port`, plain HTTP). For each flavor there are
///
/// - `:ltsc2019`, `:ltsc2022`, `:ltsc2025`, and the same under their `os.version`: lists with one entry;
/// - `:multi`: a list of all releases, oldest first;
/// - `:ltsc2022-amd64` and so on: the bare manifest.
pub async fn publish(registry: &str, sizes: Sizes) -> Result<()> {
    for flavor in [Flavor::Nanoserver, Flavor::Servercore] {
        let generated =
            RELEASES.map(|(_, os_version)| tokio::task::spawn_blocking(move || Base::generate(flavor, os_version, sizes.of(flavor))));
        let mut bases = Vec::new();
        for ((tag, _), base) in RELEASES.into_iter().zip(generated) {
            let base = base.await.context("generate a base")??;
            publish_release(registry, flavor, tag, &base).await?;
            bases.push(base);
        }
        let multi = manifest_list(&bases.iter().collect::<Vec<_>>())?;
        Repository::new(registry, flavor.repository())?.push_manifest("multi", &multi).await?;
    }
    Ok(())
}

/// Pushes one base under the tags of its release. Pushing a newer update under the same tag is what the vendor does
/// on Patch Tuesday.
pub async fn publish_release(registry: &str, flavor: Flavor, tag: &str, base: &Base) -> Result<()> {
    let repository = Repository::new(registry, flavor.repository())?;
    for blob in base.layers.iter().chain([&base.config]) {
        repository.push_blob(blob).await?;
    }
    repository.push_manifest(&format!("{tag}-amd64"), &base.manifest).await?;
    let list = manifest_list(&[base])?;
    repository.push_manifest(tag, &list).await?;
    repository.push_manifest(&base.os_version, &list).await
}

/// Pushes to `repository` of `registry` an image of tools: one more layer, with its diff id, on a nanoserver of this version. Returns its
/// reference by digest.
pub async fn publish_tools(registry: &str, repository: &str, os_version: &str, layer: (Blob, String), path: &str) -> Result<String> {
    let image = Base::generate(Flavor::Nanoserver, os_version, 1 << 20)?.with_layer(layer.0, &layer.1, &[path])?;
    let place = Repository::new(registry, repository)?;
    for blob in image.layers.iter().chain([&image.config]) {
        place.push_blob(blob).await?;
    }
    place.push_manifest(&image.manifest.digest, &image.manifest).await?;
    let list = manifest_list(&[&image])?;
    place.push_manifest("latest", &list).await?;
    Ok(format!("{registry}/{repository}@{}", list.digest))
}

#[derive(Clone, Copy)]
enum Contents {
    Release,
    Update,
}

/// One layer of about `size` bytes of noise drawn from `seed`.
fn layer(seed: &str, size: usize, contents: Contents) -> Result<(Blob, String)> {
    let mut layer = NoisyLayer { layer: WindowsLayer::new(), noise: Noise::new(seed) };
    match contents {
        Contents::Release => release_entries(&mut layer, size)?,
        Contents::Update => update_entries(&mut layer, size)?,
    }
    layer.layer.finish()
}

fn release_entries(tar: &mut NoisyLayer, size: usize) -> Result<()> {
    const SYSTEM: [&str; 6] = ["ntdll.dll", "kernel32.dll", "kernelbase.dll", "ucrtbase.dll", "ws2_32.dll", "wininit.exe"];
    for directory in [
        "Files",
        "Files/Users",
        "Files/Users/ContainerUser",
        "Files/Windows",
        "Files/Windows/System32",
        "Files/Windows/WinSxS",
        "Files/Windows/WinSxS/amd64_synthetic",
    ] {
        tar.layer.directory(directory)?;
    }
    tar.layer.content("Files/License.txt", b"A synthetic base of the gowindows lab. No part of it is Windows.\r\n")?;
    tar.file("Files/Windows/System32/synthetic-base.dat", b"MZ", size / 2)?;
    for name in SYSTEM {
        tar.file(&format!("Files/Windows/System32/{name}"), b"MZ", size / 32)?;
    }
    tar.layer.hard_link("Files/Windows/WinSxS/amd64_synthetic/ntdll.dll", "Files/Windows/System32/ntdll.dll")?;
    tar.layer.directory("Hives")?;
    for hive in ["DefaultUser", "Sam", "Security", "Software", "System"] {
        tar.file(&format!("Hives/{hive}_Base"), b"regf", size / 64)?;
    }
    tar.layer.directory("UtilityVM")?;
    tar.layer.directory("UtilityVM/Files")?;
    tar.file("UtilityVM/Files/bootmgr.efi", b"MZ", size / 64)?;
    tar.file("UtilityVM/SystemTemplate.vhdx", b"vhdxfile", size / 6)
}

fn update_entries(tar: &mut NoisyLayer, size: usize) -> Result<()> {
    for directory in ["Files", "Files/Windows", "Files/Windows/System32"] {
        tar.layer.directory(directory)?;
    }
    tar.file("Files/Windows/System32/.wh.wininit.exe", b"", 0)?;
    tar.file("Files/Windows/System32/ntdll.dll", b"MZ", size / 4)?;
    tar.file("Files/Windows/System32/synthetic-update.dat", b"MZ", size / 2)?;
    tar.layer.directory("Hives")?;
    tar.file("Hives/Software_Delta", b"regf", size / 4)
}

/// A layer that is filled with noise.
struct NoisyLayer {
    layer: WindowsLayer,
    noise: Noise,
}

impl NoisyLayer {
    fn file(&mut self, path: &str, magic: &[u8], size: usize) -> Result<()> {
        let mut content = magic.to_vec();
        self.noise.extend(&mut content, size);
        self.layer.content(path, &content)
    }
}

/// SplitMix64: incompressible, quick, and equal for equal seeds.
struct Noise(u64);

impl Noise {
    fn new(seed: &str) -> Self {
        let hash = Sha256::digest(seed.as_bytes());
        Self(hash.iter().take(8).fold(0, |state, byte| state << 8 | u64::from(*byte)))
    }

    fn extend(&mut self, bytes: &mut Vec<u8>, count: usize) {
        let end = bytes.len() + count;
        while bytes.len() < end {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.0;
            word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            bytes.extend_from_slice(&(word ^ word >> 31).to_le_bytes());
        }
        bytes.truncate(end);
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_arguments_give_equal_digests() {
        let first = Base::generate(Flavor::Nanoserver, "10.0.20348.5499", 4096).unwrap();
        let second = Base::generate(Flavor::Nanoserver, "10.0.20348.5499", 4096).unwrap();
        assert_eq!(first.manifest.digest, second.manifest.digest);
    }

    #[test]
    fn an_update_changes_the_upper_layer_alone() {
        let before = Base::generate(Flavor::Servercore, "10.0.20348.5499", 4096).unwrap();
        let after = Base::generate(Flavor::Servercore, "10.0.20348.5600", 4096).unwrap();
        assert_eq!(before.layers[0].digest, after.layers[0].digest);
        assert_ne!(before.layers[1].digest, after.layers[1].digest);
        assert_ne!(before.manifest.digest, after.manifest.digest);
    }

    #[test]
    fn the_config_is_shaped_like_the_vendors() {
        let base = Base::generate(Flavor::Nanoserver, "10.0.26100.33296", 4096).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&base.config.bytes).unwrap();
        assert_eq!(config["os.version"], "10.0.26100.33296");
        assert_eq!(config["config"]["User"], "ContainerUser");
        assert!(config["config"]["Env"].is_null());
        assert_eq!(config["rootfs"]["diff_ids"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn the_default_size_is_that_of_a_real_download() {
        let base = Base::generate(Flavor::Nanoserver, "10.0.20348.5499", Sizes::default().nanoserver).unwrap();
        let bytes: usize = base.layers.iter().map(|layer| layer.bytes.len()).sum();
        assert!(bytes > 20 << 20, "{bytes} bytes");
    }
}
