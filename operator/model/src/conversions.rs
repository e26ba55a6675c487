//! What are the API's words in the image writer's, and the other way round? The writer knows no Kubernetes; only here do the two meet.

use gowindows_crds::v1alpha1::{
    BaseFlavor, BinaryStatus, CompressionAlgorithm, CompressionSpec, ImageEnvVar, ImageStatus, NodeSystem, PlatformStatus, PullBytes,
};
use windows_image::compression::InvalidCompression;
use windows_image::sizes::{NotedProgram, PlatformSizes, Pull, Sizes};
use windows_image::{Compression, EnvVar, FileMapping, Flavor, System};

/// The family of `image.base.flavor`.
pub fn flavor(flavor: BaseFlavor) -> Flavor {
    match flavor {
        BaseFlavor::NanoServer => Flavor::NanoServer,
        BaseFlavor::ServerCore => Flavor::ServerCore,
    }
}

/// The system of nodes.
pub fn system(system: NodeSystem) -> System {
    match system {
        NodeSystem::Linux => System::Linux,
        NodeSystem::Windows => System::Windows,
    }
}

/// A variable of `image.env`.
pub fn variable(variable: ImageEnvVar) -> EnvVar {
    let ImageEnvVar { name, value } = variable;
    EnvVar { name, value }
}

/// An entry of `image.files`.
pub fn mapping(mapping: gowindows_crds::v1alpha1::FileMapping) -> FileMapping {
    let gowindows_crds::v1alpha1::FileMapping { from, to, ignore } = mapping;
    FileMapping { from, to, ignore }
}

/// What `image.compression` asks for.
///
/// # Errors
/// The algorithm has no such level.
pub fn compression(spec: Option<&CompressionSpec>) -> Result<Compression, InvalidCompression> {
    let Some(CompressionSpec { algorithm, level }) = spec else { return Ok(Compression::default()) };
    let name = match algorithm.unwrap_or_default() {
        CompressionAlgorithm::Gzip => "gzip",
        CompressionAlgorithm::Zstd => "zstd",
    };
    level.map_or_else(|| name.to_owned(), |level| format!("{name}:{level}")).parse()
}

/// What `status.image` holds of an image in `repository`, as far as the registry knows it; `digest` is its index's or only
/// manifest's.
pub fn image_status(repository: &str, digest: &str, sizes: &Sizes) -> ImageStatus {
    let Sizes { platforms, program, pull, stored_bytes, warnings } = sizes;
    ImageStatus {
        reference: format!("{repository}@{digest}"),
        digest: digest.to_string(),
        binary: program.as_ref().map(binary_status),
        pull_bytes: pull.map(pull_bytes),
        stored_bytes: stored_bytes.map(bytes),
        platforms: platforms.iter().map(platform_status).collect(),
        warnings: warnings.clone(),
        ..ImageStatus::default()
    }
}

fn platform_status(sizes: &PlatformSizes) -> PlatformStatus {
    let PlatformSizes { os_version, release, digest, total_bytes, base_bytes, app_bytes, app_unpacked_bytes, layers } = sizes;
    PlatformStatus {
        os_version: os_version.clone(),
        release: release.clone(),
        digest: digest.to_string(),
        total_bytes: bytes(*total_bytes),
        base_bytes: bytes(*base_bytes),
        app_bytes: bytes(*app_bytes),
        app_unpacked_bytes: app_unpacked_bytes.map(bytes),
        layers: i32::try_from(*layers).unwrap_or(i32::MAX),
    }
}

fn binary_status(program: &NotedProgram) -> BinaryStatus {
    let NotedProgram { name, bytes: size, sha256 } = program;
    BinaryStatus { name: name.clone(), bytes: bytes(*size), sha256: sha256.clone(), inputs: None }
}

fn pull_bytes(pull: Pull) -> PullBytes {
    PullBytes { base_cached: bytes(pull.base_cached), cold: bytes(pull.cold) }
}

/// Kubernetes numbers are signed; no layer comes near the limit.
fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
