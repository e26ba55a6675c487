//! How do registries describe images? Manifests and indexes, read in OCI and Docker form, written in OCI form only.
//!
//! Field order is part of what we publish: the bytes are hashed. Hence structs of our own with a fixed order, and no maps
//! that could iterate differently. Digests and sizes are checked while parsing (HR2): a negative size or a malformed
//! digest is a parse error.

use crate::digest::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// OCI media types; the only ones that we write.
pub mod media_type {
    /// An image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An index of manifests.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An image configuration.
    pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// A gzip layer.
    pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// A zstd layer.
    pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker's image manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's index.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

    /// What is asked for when something is resolved.
    pub const ACCEPTED: [&str; 4] = [INDEX, MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];

    /// The OCI name of a layer's media type; bytes and digest stay the same. None: not a layer that a Windows node can import.
    pub fn oci_layer(media_type: &str) -> Option<&'static str> {
        match media_type {
            LAYER_GZIP
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip" => Some(LAYER_GZIP),
            LAYER_ZSTD | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(LAYER_ZSTD),
            "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
                Some("application/vnd.oci.image.layer.v1.tar")
            }
            _ => None,
        }
    }
}

/// Points at content by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// For entries of an index: what it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What else its writer says of it.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// A plain one.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self { media_type: media_type.into(), digest, size, platform: None, annotations: BTreeMap::new() }
    }
}

/// Reads `null` as the default, for serde's `deserialize_with`: other writers put it where they mean nothing.
///
/// # Errors
/// What is there is neither `null` nor a value of the type.
pub fn null_is_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// What an image runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// Processor. Example: `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// System. Example: `windows`.
    #[serde(default)]
    pub os: String,
    /// Four parts. Example: `10.0.20348.5499`.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Example: `["win32k"]`.
    #[serde(rename = "os.features", default, skip_serializing_if = "Option::is_none")]
    pub os_features: Option<Vec<String>>,
}

impl Platform {
    /// Whether this is Windows on 64-bit Intel or AMD: the only platform that is built.
    pub fn is_windows_amd64(&self) -> bool {
        self.os == "windows" && self.architecture == "amd64"
    }
}

/// An image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// [`media_type::MANIFEST`] or Docker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, base first.
    pub layers: Vec<Descriptor>,
    /// What its writer says of the image.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Images for several platforms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// [`media_type::INDEX`] or Docker's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// One entry per platform; a node takes the first best.
    pub manifests: Vec<Descriptor>,
    /// What its writer says of the image.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Either of the two that a reference can lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// Several.
    Index(Index),
}

impl Document {
    /// Reads the bytes of a manifest or an index. The content decides, as servers' content types are not always right.
    ///
    /// # Errors
    /// It is not JSON of either form, or has a digest or a size that cannot be.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Probe {
            manifests: Option<serde::de::IgnoredAny>,
        }
        let document = match serde_json::from_slice::<Probe>(bytes)?.manifests {
            Some(_) => Self::Index(serde_json::from_slice(bytes)?),
            None => Self::Manifest(serde_json::from_slice(bytes)?),
        };
        let version = match &document {
            Self::Manifest(manifest) => manifest.schema_version,
            Self::Index(index) => index.schema_version,
        };
        if version != 2 {
            return Err(serde::de::Error::custom(format!("schemaVersion is {version}, not 2")));
        }
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn impossible_sizes_and_digests_do_not_parse() {
        let manifest = |size: &str, digest: &str| {
            let descriptor = format!(r#"{{"mediaType":"m","size":{size},"digest":"{digest}"}}"#);
            Document::parse(format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[]}}"#).as_bytes())
        };
        assert!(manifest("7", DIGEST).is_ok());
        for size in ["-1", "1e30", "18446744073709551616", "\"7\""] {
            assert!(manifest(size, DIGEST).is_err(), "{size}");
        }
        assert!(manifest("7", "sha256:../../etc").is_err());
    }

    #[test]
    fn the_content_decides_between_manifest_and_index() {
        assert!(matches!(Document::parse(br#"{"schemaVersion":2,"manifests":[]}"#), Ok(Document::Index(_))));
        assert!(Document::parse(br#"{"schemaVersion":1,"manifests":[]}"#).is_err(), "a signed schema 1 manifest is no image for us");
        assert!(Document::parse(b"{}").is_err());
        assert!(Document::parse(b"<html>").is_err());
    }
}
