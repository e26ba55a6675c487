//! What has to be stored and pulled?
//!
//! Answered from manifests and configurations alone. Size and digest of the program itself cannot be seen there, so the
//! writer notes them on the application layer's descriptor: whoever trusts the manifest's digest may trust them.

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
    let newest = platform_statuses.first();
    ImageStatus {
        reference: format!("{repository}@{digest}"),
        digest: digest.to_string(),
        binary: platforms.first().and_then(binary_status),
        pull_bytes: newest
            .map(|platform| PullBytes { base_cached: platform.total_bytes - platform.base_bytes, cold: platform.total_bytes }),
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
    let own = own_layers(manifest);
    let (app, base) = (total(own), total(&layers[..layers.len() - own.len()]));
    PlatformStatus {
        release: release::name(&os_version).map(String::from),
        os_version,
        digest: digest.to_string(),
        total_bytes: bytes(base.saturating_add(app).saturating_add(config_descriptor.size)),
        base_bytes: bytes(base),
        app_bytes: bytes(app),
        layers: i32::try_from(layers.len()).unwrap_or(i32::MAX),
    }
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
        let binary = status.binary.expect("noted on the layer");
        assert_eq!((binary.name.as_str(), binary.bytes, binary.sha256.len()), ("hello.exe", 90, 64));
    }
}
