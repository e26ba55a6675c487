//! How is something attached to an image without becoming part of it?
//!
//! As an OCI 1.1 artifact: a manifest of its own whose `subject` is the image's manifest or index, with one blob. The image
//! keeps its digest, and a node never looks at it. A registry lists such referrers by subject; one that cannot is helped out
//! by an index under a tag made of the subject's digest (distribution-spec 1.1, "Referrers Tag Schema").

use crate::assemble::Blob;
use crate::digest::Digest;
use crate::manifest::{Descriptor, media_type, null_is_default};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The media type of a configuration that says nothing (image-spec 1.1, "Guidance for an Empty Descriptor").
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const EMPTY_CONTENT: &[u8] = b"{}";

/// A manifest that points at another one. Field order is part of what is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactManifest {
    /// Always 2.
    pub schema_version: u32,
    /// Always [`media_type::MANIFEST`].
    pub media_type: String,
    /// What it is.
    #[serde(default)]
    pub artifact_type: String,
    /// Empty.
    pub config: Descriptor,
    /// Its content: one blob.
    pub layers: Vec<Descriptor>,
    /// What it is about.
    pub subject: Option<Descriptor>,
    /// What a list of referrers shows of it.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An entry in a list of referrers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// Of the manifest: [`media_type::MANIFEST`].
    pub media_type: String,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Bytes of the manifest.
    pub size: u64,
    /// What it is. Some registries leave it out where it is the configuration's media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Those of the manifest.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An artifact, ready to be pushed: blobs first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// What it is about.
    pub subject: Digest,
    /// Its content and the empty configuration.
    pub blobs: Vec<Blob>,
    /// Its manifest.
    pub manifest: Blob,
    /// How a list of referrers shows it.
    pub entry: Referrer,
}

impl Artifact {
    /// Attaches `content` to `subject`.
    ///
    /// # Errors
    /// Never in practice: plain structs become JSON.
    pub fn new(
        artifact_type: &str,
        subject: &Descriptor,
        content: Blob,
        annotations: BTreeMap<String, String>,
    ) -> serde_json::Result<Self> {
        let config = Blob { media_type: EMPTY, digest: Digest::of(EMPTY_CONTENT), bytes: EMPTY_CONTENT.to_vec() };
        let manifest = ArtifactManifest {
            schema_version: 2,
            media_type: media_type::MANIFEST.into(),
            artifact_type: artifact_type.into(),
            config: config.descriptor(),
            layers: vec![content.descriptor()],
            subject: Some(Descriptor::new(&subject.media_type, subject.digest.clone(), subject.size)),
            annotations: annotations.clone(),
        };
        let manifest = Blob::of(media_type::MANIFEST, &manifest)?;
        let entry = Referrer {
            media_type: media_type::MANIFEST.into(),
            digest: manifest.digest.clone(),
            size: manifest.bytes.len() as u64,
            artifact_type: Some(artifact_type.into()),
            annotations,
        };
        Ok(Self { subject: subject.digest.clone(), blobs: vec![config, content], manifest, entry })
    }
}

/// The tag under which the referrers of a digest are listed where the registry does not do so itself.
pub fn fallback_tag(subject: &Digest) -> String {
    format!("sha256-{}", subject.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_says_what_it_is_and_what_it_is_about() {
        let subject = Descriptor::new(media_type::INDEX, Digest::of(b"image"), 5);
        let bytes = b"{\"spdxVersion\":\"SPDX-2.3\"}".to_vec();
        let content = Blob { media_type: "application/spdx+json", digest: Digest::of(&bytes), bytes };
        let artifact = Artifact::new("application/spdx+json", &subject, content, BTreeMap::new()).expect("an artifact");
        let manifest: serde_json::Value = serde_json::from_slice(&artifact.manifest.bytes).expect("JSON");
        let empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let expected = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "application/spdx+json",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2},
            "layers": [{"mediaType": "application/spdx+json", "digest": Digest::of(b"{\"spdxVersion\":\"SPDX-2.3\"}"), "size": 26}],
            "subject": {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": Digest::of(b"image"), "size": 5},
        });
        assert_eq!(manifest, expected);
        assert_eq!((artifact.entry.digest, artifact.subject), (artifact.manifest.digest, Digest::of(b"image")));
    }

    #[test]
    fn the_fallback_tag_is_the_digest_with_a_dash() {
        let digest = Digest::of(b"");
        assert_eq!(fallback_tag(&digest), "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
