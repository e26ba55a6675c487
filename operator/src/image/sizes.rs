//! What has to be stored and pulled?
//!
//! Answered from manifests and configurations alone. Size and digest of the program itself cannot be seen there, so the
//! writer notes them on the application layer's descriptor: whoever trusts the manifest's digest may trust them.

use super::digest::Digest;
use super::files::FilesLayer;
use super::layer::Layer;
use super::manifest::{Descriptor, Manifest};
use super::release;
use super::verify::ReadBack;
use super::warnings::{Learned, MOST_WARNINGS, Warning};
use gowindows_crds::v1alpha1::{BinaryStatus, ImageStatus, PlatformStatus, PullBytes};
use std::collections::BTreeMap;

/// On the application layer's descriptor: sha256 of the program, in hex.
pub const PROGRAM_SHA256: &str = "dev.gowindows.program.sha256";
/// On the application layer's descriptor: bytes of the program.
pub const PROGRAM_BYTES: &str = "dev.gowindows.program.bytes";

/// On the application layer's descriptor: the warnings, as codes with commas between them; absent where there are none.
pub const WARNINGS: &str = "dev.gowindows.warnings";
/// On the descriptor of the layer of `image.files`: how many files are in it.
pub const FILES_COUNT: &str = "dev.gowindows.files.count";
/// On the descriptor of the layer of `image.files`: their bytes, uncompressed.
pub const FILES_BYTES: &str = "dev.gowindows.files.bytes";

/// The notes for a layer of files that was written.
pub fn files_annotations(layer: &FilesLayer) -> BTreeMap<String, String> {
    BTreeMap::from([(FILES_BYTES.to_string(), layer.bytes.to_string()), (FILES_COUNT.to_string(), layer.files.to_string())])
}

/// The layers of a manifest that are not the base's: the program's, which is the last, and before it one of files, if its descriptor says
/// that it is one.
pub fn own_layers(manifest: &Manifest) -> &[Descriptor] {
    let is_files = |layer: &Descriptor| layer.annotations.contains_key(FILES_COUNT);
    let own = match manifest.layers.as_slice() {
        [.., files, _] if is_files(files) => 2,
        layers => layers.len().min(1),
    };
    &manifest.layers[manifest.layers.len() - own..]
}

/// The notes for a layer that was written.
pub fn annotations(layer: &Layer, learned: &Learned) -> BTreeMap<String, String> {
    let mut notes = BTreeMap::from([
        (PROGRAM_BYTES.to_string(), layer.program_size.to_string()),
        (PROGRAM_SHA256.to_string(), layer.program.hex().to_string()),
    ]);
    if !learned.warnings.is_empty() {
        let codes: Vec<String> = learned.warnings.iter().map(ToString::to_string).collect();
        notes.insert(WARNINGS.to_string(), codes.join(","));
    }
    notes
}

/// The codes that are known among those noted on an image's application layer.
fn warnings(platform: &ReadBack) -> Vec<String> {
    let noted = platform.manifest.layers.last().and_then(|layer| layer.annotations.get(WARNINGS));
    let codes = noted.iter().flat_map(|codes| codes.split(',')).take(MOST_WARNINGS);
    codes.filter_map(|code| code.parse::<Warning>().ok()).map(String::from).collect()
}

/// What `status.image` holds of an image in `repository`, as far as the registry knows it; `digest` is its index's or only
/// manifest's, `platforms` stand newest build first.
pub fn image_status(repository: &str, digest: &str, platforms: &[ReadBack]) -> ImageStatus {
    let platform_statuses: Vec<PlatformStatus> = platforms.iter().map(platform_status).collect();
    ImageStatus {
        reference: format!("{repository}@{digest}"),
        digest: digest.to_string(),
        binary: platforms.first().and_then(binary_status),
        pull_bytes: platforms.first().map(pull_bytes),
        stored_bytes: (!platforms.is_empty()).then(|| bytes(distinct(platforms.iter().flat_map(blobs)))),
        platforms: platform_statuses,
        warnings: platforms.first().map(warnings).unwrap_or_default(),
        ..ImageStatus::default()
    }
}

fn platform_status(platform: &ReadBack) -> PlatformStatus {
    let ReadBack { entry: _, digest, manifest, config } = platform;
    let Manifest { schema_version: _, media_type: _, config: config_descriptor, layers, annotations: _ } = manifest;
    let os_version = config.os_version.clone().unwrap_or_default();
    let total = |layers: &[Descriptor]| layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
    let unpacked =
        |layer: &Descriptor| [PROGRAM_BYTES, FILES_BYTES].iter().find_map(|note| layer.annotations.get(*note)?.parse::<u64>().ok());
    let own = own_layers(manifest);
    let (app, base) = (total(own), total(&layers[..layers.len() - own.len()]));
    PlatformStatus {
        release: release::name(&os_version).map(String::from),
        os_version,
        digest: digest.to_string(),
        total_bytes: bytes(base.saturating_add(app).saturating_add(config_descriptor.size)),
        base_bytes: bytes(base),
        app_bytes: bytes(app),
        // Of one layer alone it would be a number that means nothing.
        app_unpacked_bytes: own.iter().map(unpacked).try_fold(0_u64, |sum, one| Some(sum.saturating_add(one?))).map(bytes),
        layers: i32::try_from(layers.len()).unwrap_or(i32::MAX),
    }
}

/// What a node fetches is told apart by digest, what it unpacks by chain ID; the base's layers have the chain IDs that they have in the base.
fn pull_bytes(platform: &ReadBack) -> PullBytes {
    let config = std::iter::once(&platform.manifest.config);
    let base_cached = distinct(config.chain(own_layers(&platform.manifest)));
    PullBytes { base_cached: bytes(base_cached), cold: bytes(distinct(blobs(platform))) }
}

fn blobs(platform: &ReadBack) -> impl Iterator<Item = &Descriptor> {
    std::iter::once(&platform.manifest.config).chain(&platform.manifest.layers)
}

/// Bytes of blobs, each once.
fn distinct<'a>(blobs: impl Iterator<Item = &'a Descriptor>) -> u64 {
    let by_digest: BTreeMap<&Digest, u64> = blobs.map(|blob| (&blob.digest, blob.size)).collect();
    by_digest.values().fold(0, |sum, size| sum.saturating_add(*size))
}

fn binary_status(platform: &ReadBack) -> Option<BinaryStatus> {
    let notes = &platform.manifest.layers.last()?.annotations;
    let entrypoint = platform.config.config.entrypoint.first()?;
    Some(BinaryStatus {
        name: entrypoint.rsplit('\\').next()?.to_string(),
        bytes: notes.get(PROGRAM_BYTES)?.parse().ok()?,
        sha256: notes.get(PROGRAM_SHA256)?.clone(),
        inputs: None,
    })
}

/// Kubernetes numbers are signed; no layer comes near the limit.
fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::digest::Digest;
    use super::super::verify::tests::{image_on, read_back};
    use super::*;

    #[test]
    fn warnings_come_back_with_the_image() {
        let mut platforms = read_back(&image_on(&["10.0.20348.5499"]));
        assert_eq!(image_status("r", "d", &platforms).warnings, [""; 0]);
        let layer = Layer {
            media_type: super::super::manifest::media_type::LAYER_GZIP,
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
        let found = image_status("r", "d", &platforms).warnings;
        assert_eq!((&found[..2], found.len()), (&["Cgo".to_string(), "TlsRoots".to_string()][..], MOST_WARNINGS - 1));
    }

    #[test]
    fn sizes_come_from_the_manifest() {
        let image = image_on(&["10.0.26100.1", "10.0.20348.5499"]);
        let platforms = read_back(&image);
        let status = image_status("example.com/app", "sha256:x", &platforms);
        let config = platforms[0].manifest.config.size as i64;
        let platform = &status.platforms[0];
        assert_eq!(status.reference, "example.com/app@sha256:x");
        assert_eq!((platform.release.as_deref(), platform.os_version.as_str()), (Some("ltsc2025"), "10.0.26100.1"));
        assert_eq!((platform.base_bytes, platform.app_bytes, platform.layers, platform.total_bytes), (2000, 50, 3, 2050 + config));
        assert_eq!(status.pull_bytes, Some(PullBytes { base_cached: 50 + config, cold: 2050 + config }));
        assert_eq!(platform.app_unpacked_bytes, Some(90), "the program alone");
        let binary = status.binary.expect("noted on the layer");
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
        let configs: i64 = platforms.iter().map(|platform| platform.manifest.config.size as i64).sum();
        let apart = image_status("r", "d", &platforms);
        assert_eq!(apart.stored_bytes, Some(2000 + 2000 + 50 + configs), "our layer once");
        // Two releases whose bases have the lower layer in common.
        let lower = platforms[0].manifest.layers[0].clone();
        platforms[1].manifest.layers[0] = lower;
        let lower = platforms[0].config.rootfs.diff_ids[0].clone();
        platforms[1].config.rootfs.diff_ids.splice(..2, [lower, Digest::of(b"another update")]);
        let shared = platforms[0].manifest.layers[0].size as i64;
        let status = image_status("r", "d", &platforms);
        assert_eq!(status.stored_bytes, Some(4000 - shared + 50 + configs));
        assert_eq!(status.pull_bytes, apart.pull_bytes, "a node takes one release");
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
        let before = image_status("r", "d", &platforms);
        let again = platforms[0].manifest.layers[0].clone();
        platforms[0].manifest.layers.insert(0, again);
        let twice = image_status("r", "d", &platforms);
        assert_eq!((twice.pull_bytes, twice.stored_bytes), (before.pull_bytes, before.stored_bytes));
        platforms[0].manifest.layers.last_mut().expect("ours").annotations.clear();
        assert_eq!(image_status("r", "d", &platforms).platforms[0].app_unpacked_bytes, None);
    }
}
