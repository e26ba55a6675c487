//! Which manifests and configurations make up the image?
//!
//! Needs from each base only its manifest and configuration. One release gives a bare manifest, because index-only images
//! confuse tools that look for linux/amd64; several give an index, newest build first, that shares the application layer.

use crate::Assembly;
use crate::base::Base;
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::files::FilesLayer;
use crate::layer::{Layer, ProgramName};
use crate::manifest::{Descriptor, Index, Manifest, media_type};
use crate::{notes, standard};
use std::collections::BTreeMap;

/// Bytes that a registry names by digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// What they are.
    pub media_type: &'static str,
    /// Their digest.
    pub digest: Digest,
    /// Themselves.
    pub bytes: Vec<u8>,
}

impl Blob {
    /// A document as JSON.
    ///
    /// # Errors
    /// Never in practice: plain structs become JSON.
    pub fn of(media_type: &'static str, document: &impl serde::Serialize) -> serde_json::Result<Self> {
        let bytes = serde_json::to_vec(document)?;
        Ok(Self { media_type, digest: Digest::of(&bytes), bytes })
    }

    /// Points at them.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type, self.digest.clone(), self.bytes.len() as u64)
    }
}

/// The image for one Windows release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformImage {
    /// Its configuration.
    pub config: Blob,
    /// Its manifest.
    pub manifest: Blob,
    /// Its entry in an index.
    pub entry: Descriptor,
}

/// A whole image, ready to be pushed: blobs first, manifests after, the index last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// One per release, newest build first.
    pub platforms: Vec<PlatformImage>,
    /// Over all of them, where there are several.
    pub index: Option<Blob>,
}

impl Image {
    /// What a tag points at: the index, or the only manifest. None only for an image without platforms.
    pub fn top(&self) -> Option<&Blob> {
        self.index.as_ref().or_else(|| self.platforms.first().map(|platform| &platform.manifest))
    }
}

/// Puts the layers on every base: the one of files, if there is one, and the program's, which changes more often, last. `bases` are in the order of [`crate::base::select`].
///
/// # Errors
/// Never in practice: plain structs become JSON.
pub fn assemble(
    assembly: &Assembly,
    bases: &[Base],
    program: &ProgramName,
    layer: &Layer,
    files: Option<&FilesLayer>,
) -> serde_json::Result<Image> {
    let platforms = bases.iter().map(|base| on_base(assembly, base, program, layer, files)).collect::<serde_json::Result<Vec<_>>>()?;
    let index = match platforms.as_slice() {
        [] | [_] => None,
        several => {
            let manifests = several.iter().map(|platform| platform.entry.clone()).collect();
            let annotations = with_users(standard::of_program(assembly, program), assembly);
            let index = Index { schema_version: 2, media_type: Some(media_type::INDEX.into()), manifests, annotations };
            Some(Blob::of(media_type::INDEX, &index)?)
        }
    };
    Ok(Image { platforms, index })
}

fn on_base(
    assembly: &Assembly,
    base: &Base,
    program: &ProgramName,
    layer: &Layer,
    files: Option<&FilesLayer>,
) -> serde_json::Result<PlatformImage> {
    let config = ImageConfig::on_base(base, assembly, program, &layer.diff_id, files.map(|files| &files.diff_id));
    let config = Blob::of(media_type::CONFIG, &config)?;
    let mut layers: Vec<Descriptor> = base.manifest.layers.iter().map(as_oci).collect();
    layers.extend(files.map(|files| Descriptor {
        annotations: notes::files_annotations(files),
        ..Descriptor::new(files.media_type, files.digest.clone(), files.size)
    }));
    layers.push(Descriptor {
        annotations: notes::annotations(layer, &assembly.learned),
        ..Descriptor::new(layer.media_type, layer.digest.clone(), layer.size)
    });
    let annotations = with_users(standard::on_base(assembly, program, base), assembly);
    let manifest =
        Manifest { schema_version: 2, media_type: Some(media_type::MANIFEST.into()), config: config.descriptor(), layers, annotations };
    let manifest = Blob::of(media_type::MANIFEST, &manifest)?;
    let entry = Descriptor { platform: Some(base.platform()), ..manifest.descriptor() };
    Ok(PlatformImage { config, manifest, entry })
}

fn with_users(mut annotations: BTreeMap<String, String>, assembly: &Assembly) -> BTreeMap<String, String> {
    annotations.extend(assembly.annotations.clone());
    annotations
}

/// Only the name of the media type changes: one manifest must not mix two families.
fn as_oci(layer: &Descriptor) -> Descriptor {
    let media_type = media_type::oci_layer(&layer.media_type).unwrap_or(&layer.media_type);
    Descriptor::new(media_type, layer.digest.clone(), layer.size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::tests::base;

    fn image(bases: &[Base]) -> Image {
        image_of(&Assembly::default(), bases)
    }

    fn image_of(assembly: &Assembly, bases: &[Base]) -> Image {
        let layer = Layer {
            media_type: media_type::LAYER_GZIP,
            digest: Digest::of(b"gz"),
            size: 2,
            diff_id: Digest::of(b"tar"),
            program: Digest::of(b"exe"),
            program_size: 3,
        };
        assemble(assembly, bases, &"hello.exe".parse().expect("a name"), &layer, None).expect("an image")
    }

    #[test]
    fn one_release_is_a_bare_manifest_in_oci_types() {
        let image = image(&[base("10.0.20348.5499")]);
        assert_eq!(image.index, None);
        let top = image.top().expect("a manifest");
        assert_eq!(top.digest, Digest::of(&top.bytes));
        let manifest: Manifest = serde_json::from_slice(&top.bytes).expect("a manifest");
        let types: Vec<_> = manifest.layers.iter().map(|layer| layer.media_type.as_str()).collect();
        assert_eq!(types, [media_type::LAYER_GZIP; 3]);
        assert_eq!(manifest.layers[0].digest, base("10.0.20348.5499").manifest.layers[0].digest);
        assert!(!String::from_utf8_lossy(&top.bytes).contains("docker"));
    }

    #[test]
    fn annotations_stand_on_every_manifest_and_on_the_index() {
        let annotations = BTreeMap::from([("com.example.team".to_string(), "shop".to_string())]);
        let assembly = Assembly { annotations, revision: Some("c0ffee".into()), ..Assembly::default() };
        let image = image_of(&assembly, &[base("10.0.26100.33296"), base("10.0.20348.5499")]);
        let index: Index = serde_json::from_slice(&image.index.expect("an index").bytes).expect("an index");
        let keys = |annotations: &BTreeMap<String, String>| {
            let short = annotations.keys().map(|key| key.replace("org.opencontainers.image.", ""));
            short.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(keys(&index.annotations), "com.example.team created revision title");
        for (platform, base) in image.platforms.iter().zip([base("10.0.26100.33296"), base("10.0.20348.5499")]) {
            let manifest: Manifest = serde_json::from_slice(&platform.manifest.bytes).expect("a manifest");
            assert_eq!(keys(&manifest.annotations), "com.example.team base.digest base.name created revision title");
            assert_eq!(manifest.annotations["org.opencontainers.image.base.digest"], base.digest.to_string());
        }
    }

    #[test]
    fn several_releases_are_an_index_that_names_full_versions() {
        let image = image(&[base("10.0.26100.33296"), base("10.0.20348.5499")]);
        let index: Index = serde_json::from_slice(&image.index.as_ref().expect("an index").bytes).expect("an index");
        let versions: Vec<_> = index.manifests.iter().filter_map(|entry| entry.platform.as_ref()?.os_version.as_deref()).collect();
        assert_eq!(versions, ["10.0.26100.33296", "10.0.20348.5499"]);
        assert_eq!(image.top().map(|top| &top.digest), image.index.as_ref().map(|index| &index.digest));
    }
}
