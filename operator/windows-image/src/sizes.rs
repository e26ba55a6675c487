//! What has to be stored and pulled?
//!
//! Answered from manifests and configurations alone, with what their writer has noted there.

use crate::digest::Digest;
use crate::manifest::{Descriptor, Manifest};
use crate::notes::{FILES_BYTES, PROGRAM_BYTES, PROGRAM_SHA256, WARNINGS, own_layers};
use crate::read_back::ReadBack;
use crate::release;
use crate::warnings::{MOST_WARNINGS, Warning};
use std::collections::BTreeMap;

/// The codes that are known among those noted on an image's application layer.
fn warnings(platform: &ReadBack) -> Vec<String> {
    let noted = platform.manifest.layers.last().and_then(|layer| layer.annotations.get(WARNINGS));
    let codes = noted.iter().flat_map(|codes| codes.split(',')).take(MOST_WARNINGS);
    codes.filter_map(|code| code.parse::<Warning>().ok()).map(String::from).collect()
}

/// What is stored and pulled of an image, one entry a release.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// The releases, in the order of the index: newest build first.
    pub platforms: Vec<PlatformSizes>,
    /// The program, as the writer noted it; none for an image of another writer.
    pub program: Option<NotedProgram>,
    /// What a node pulls of the first release.
    pub pull: Option<Pull>,
    /// Bytes that the registry stores, each blob once.
    pub stored_bytes: Option<u64>,
    /// Warnings noted on the first release, as codes; unknown ones are left out.
    pub warnings: Vec<String>,
}

/// The sizes of one release's image, compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformSizes {
    /// The base's full version, four parts. Example: `10.0.20348.5499`.
    pub os_version: String,
    /// The release's name, where its build is known. Example: `ltsc2022`.
    pub release: Option<String>,
    /// Digest of the release's manifest.
    pub digest: Digest,
    /// Bytes of all layers and the configuration.
    pub total_bytes: u64,
    /// Bytes of the base's layers.
    pub base_bytes: u64,
    /// Bytes of our layers.
    pub app_bytes: u64,
    /// Bytes of the program and the files beside it, uncompressed, as the writer noted them.
    pub app_unpacked_bytes: Option<u64>,
    /// Number of layers.
    pub layers: usize,
}

/// A program as its writer noted it on the layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedProgram {
    /// File name. Example: `storefront.exe`.
    pub name: String,
    /// Uncompressed bytes.
    pub bytes: u64,
    /// sha256 in hex.
    pub sha256: String,
}

/// What a node pulls, in compressed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pull {
    /// With the base unpacked already.
    pub base_cached: u64,
    /// With nothing.
    pub cold: u64,
}

impl Sizes {
    /// Of an image's releases.
    pub fn of(platforms: &[ReadBack]) -> Self {
        let first = platforms.first();
        Self {
            platforms: platforms.iter().map(PlatformSizes::of).collect(),
            program: first.and_then(NotedProgram::of),
            pull: first.map(Pull::of),
            stored_bytes: (!platforms.is_empty()).then(|| distinct(platforms.iter().flat_map(blobs))),
            warnings: first.map(warnings).unwrap_or_default(),
        }
    }
}

impl PlatformSizes {
    fn of(platform: &ReadBack) -> Self {
        let ReadBack { entry: _, digest, manifest, config } = platform;
        let Manifest { schema_version: _, media_type: _, config: config_descriptor, layers, annotations: _ } = manifest;
        let os_version = config.os_version.clone().unwrap_or_default();
        let total = |layers: &[Descriptor]| layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
        let unpacked =
            |layer: &Descriptor| [PROGRAM_BYTES, FILES_BYTES].iter().find_map(|note| layer.annotations.get(*note)?.parse::<u64>().ok());
        let own = own_layers(manifest);
        let (app, base) = (total(own), total(&layers[..layers.len() - own.len()]));
        Self {
            release: release::name(&os_version).map(String::from),
            os_version,
            digest: digest.clone(),
            total_bytes: base.saturating_add(app).saturating_add(config_descriptor.size),
            base_bytes: base,
            app_bytes: app,
            // Of one layer alone it would be a number that means nothing.
            app_unpacked_bytes: own.iter().map(unpacked).try_fold(0_u64, |sum, one| Some(sum.saturating_add(one?))),
            layers: layers.len(),
        }
    }
}

impl Pull {
    /// What a node fetches is told apart by digest, what it unpacks by chain ID; the base's layers have the chain IDs that they have in the base.
    fn of(platform: &ReadBack) -> Self {
        let config = std::iter::once(&platform.manifest.config);
        Self { base_cached: distinct(config.chain(own_layers(&platform.manifest))), cold: distinct(blobs(platform)) }
    }
}

impl NotedProgram {
    fn of(platform: &ReadBack) -> Option<Self> {
        let notes = &platform.manifest.layers.last()?.annotations;
        let entrypoint = platform.config.config.entrypoint.first()?;
        Some(Self {
            name: entrypoint.rsplit('\\').next()?.to_string(),
            bytes: notes.get(PROGRAM_BYTES)?.parse().ok()?,
            sha256: notes.get(PROGRAM_SHA256)?.clone(),
        })
    }
}

fn blobs(platform: &ReadBack) -> impl Iterator<Item = &Descriptor> {
    std::iter::once(&platform.manifest.config).chain(&platform.manifest.layers)
}

/// Bytes of blobs, each once.
fn distinct<'a>(blobs: impl Iterator<Item = &'a Descriptor>) -> u64 {
    let by_digest: BTreeMap<&Digest, u64> = blobs.map(|blob| (&blob.digest, blob.size)).collect();
    by_digest.values().fold(0, |sum, size| sum.saturating_add(*size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::layer::Layer;
    use crate::notes::annotations;
    use crate::verify::tests::{image_on, read_back};
    use crate::warnings::Learned;

    #[test]
    fn warnings_come_back_with_the_image() {
        let mut platforms = read_back(&image_on(&["10.0.20348.5499"]));
        assert_eq!(Sizes::of(&platforms).warnings, [""; 0]);
        let layer = Layer {
            media_type: crate::manifest::media_type::LAYER_GZIP,
            digest: Digest::of(b""),
            size: 0,
            diff_id: Digest::of(b""),
            program: Digest::of(b""),
            program_size: 0,
        };
        let learned = Learned { warnings: vec![Warning::Cgo, Warning::TlsRoots], ..Learned::default() };
        let mut notes = annotations(&layer, &learned);
        assert_eq!(notes[WARNINGS], "Cgo,TlsRoots");
        notes.insert(WARNINGS.into(), format!("Cgo,FromTheFuture,{}", ["TlsRoots"; 100].join(",")));
        platforms[0].manifest.layers.last_mut().expect("ours").annotations = notes;
        let found = Sizes::of(&platforms).warnings;
        assert_eq!((&found[..2], found.len()), (&["Cgo".to_string(), "TlsRoots".to_string()][..], MOST_WARNINGS - 1));
    }

    #[test]
    fn sizes_come_from_the_manifest() {
        let image = image_on(&["10.0.26100.1", "10.0.20348.5499"]);
        let platforms = read_back(&image);
        let status = Sizes::of(&platforms);
        let config = platforms[0].manifest.config.size;
        let platform = &status.platforms[0];
        assert_eq!((platform.release.as_deref(), platform.os_version.as_str()), (Some("ltsc2025"), "10.0.26100.1"));
        assert_eq!((platform.base_bytes, platform.app_bytes, platform.layers, platform.total_bytes), (2000, 50, 3, 2050 + config));
        assert_eq!(status.pull, Some(Pull { base_cached: 50 + config, cold: 2050 + config }));
        assert_eq!(platform.app_unpacked_bytes, Some(90), "the program alone");
        let binary = status.program.expect("noted on the layer");
        assert_eq!((binary.name.as_str(), binary.bytes, binary.sha256.len()), ("hello.exe", 90, 64));
    }

    /// The rule of the image specification: the first layer's is its diffID, every other's is of the chain below it and its own diffID.
    fn chain_ids(diff_ids: &[Digest]) -> Vec<String> {
        let mut chain: Vec<String> = Vec::new();
        for diff_id in diff_ids {
            let next = chain.last().map(|below| Digest::of(format!("{below} {diff_id}").as_bytes()).to_string());
            chain.push(next.unwrap_or_else(|| diff_id.to_string()));
        }
        chain
    }

    #[test]
    fn what_releases_share_is_stored_once_and_what_a_node_has_unpacked_is_not_pulled() {
        let mut platforms = read_back(&image_on(&["10.0.26100.1", "10.0.20348.5499"]));
        let configs: u64 = platforms.iter().map(|platform| platform.manifest.config.size).sum();
        let apart = Sizes::of(&platforms);
        assert_eq!(apart.stored_bytes, Some(2000 + 2000 + 50 + configs), "our layer once");
        // Two releases whose bases have the lower layer in common.
        let lower = platforms[0].manifest.layers[0].clone();
        platforms[1].manifest.layers[0] = lower;
        let lower = platforms[0].config.rootfs.diff_ids[0].clone();
        platforms[1].config.rootfs.diff_ids.splice(..2, [lower, Digest::of(b"another update")]);
        let shared = platforms[0].manifest.layers[0].size;
        let status = Sizes::of(&platforms);
        assert_eq!(status.stored_bytes, Some(4000 - shared + 50 + configs));
        assert_eq!(status.pull, apart.pull, "a node takes one release");
        // Exactly the layers that `baseCached` leaves out are among what a node with that base has unpacked.
        let platform = &platforms[0];
        let (own, chain) = (own_layers(&platform.manifest).len(), chain_ids(&platform.config.rootfs.diff_ids));
        let base = chain_ids(&platform.config.rootfs.diff_ids[..chain.len() - own]);
        let missing: Vec<&Descriptor> =
            platform.manifest.layers.iter().zip(&chain).filter(|(_, id)| !base.contains(id)).map(|(layer, _)| layer).collect();
        assert_eq!(missing, own_layers(&platform.manifest).iter().collect::<Vec<_>>());
        // And our layer on one base is none that a node has unpacked on another one.
        assert!(!chain_ids(&platforms[1].config.rootfs.diff_ids).contains(chain.last().expect("ours")));
    }

    #[test]
    fn a_blob_that_stands_twice_is_fetched_once_and_a_size_that_nobody_noted_is_not_made_up() {
        let mut platforms = read_back(&image_on(&["10.0.20348.5499"]));
        let before = Sizes::of(&platforms);
        let again = platforms[0].manifest.layers[0].clone();
        platforms[0].manifest.layers.insert(0, again);
        let twice = Sizes::of(&platforms);
        assert_eq!((twice.pull, twice.stored_bytes), (before.pull, before.stored_bytes));
        platforms[0].manifest.layers.last_mut().expect("ours").annotations.clear();
        assert_eq!(Sizes::of(&platforms).platforms[0].app_unpacked_bytes, None);
    }
}
