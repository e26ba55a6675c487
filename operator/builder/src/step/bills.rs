//! How does the bill of an image's parts get beside the image? One for each of its digests, with the bases that it stands on.

use crate::progress::Say;
use gowindows_clients::oci::{Layout, OciError, Reference, Registry};
use std::collections::BTreeMap;
use windows_image::artifact::Artifact;
use windows_image::assemble::{Blob, Image};
use windows_image::base::Base;
use windows_image::manifest::Descriptor;
use windows_image::sbom::{self, Contents};

/// Of the image first, then of its manifests where it is an index.
pub(super) struct Bills(Vec<Artifact>);

impl Bills {
    pub(super) fn of(image: &Image, bases: &[Base], contents: &Contents<'_>) -> serde_json::Result<Self> {
        let bill = |of: &Blob, bases: &[&Base]| {
            let document = sbom::document(&of.digest, bases, contents)?;
            Artifact::new(sbom::MEDIA_TYPE, &of.descriptor(), document, BTreeMap::new())
        };
        let index = image.index.iter().map(|index| bill(index, &bases.iter().collect::<Vec<_>>()));
        let platforms = image.platforms.iter().zip(bases).map(|(platform, base)| bill(&platform.manifest, &[base]));
        index.chain(platforms).collect::<serde_json::Result<_>>().map(Self)
    }

    /// Of an image that somebody else has written, on one base.
    pub(super) fn of_one(image: &Descriptor, base: &Base, contents: &Contents<'_>) -> serde_json::Result<Self> {
        let document = sbom::document(&image.digest, &[base], contents)?;
        Artifact::new(sbom::MEDIA_TYPE, image, document, BTreeMap::new()).map(|bill| Self(vec![bill]))
    }

    /// The digest of what says so of the whole; none at a registry that takes no artifacts, for which an image is not given up.
    pub(super) async fn attach(&self, registry: &Registry, repository: &Reference, say: Say<'_>) -> Result<Option<String>, OciError> {
        for bill in &self.0 {
            match registry.attach(repository, bill).await {
                Ok(()) => {}
                Err(error @ OciError::Refused { .. }) => {
                    say(format!("sbom: not attached: {error}"));
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.first())
    }

    /// Adds them to a layout's blobs.
    pub(super) fn keep(&self, layout: &Layout) -> Result<Option<String>, OciError> {
        for bill in &self.0 {
            for blob in bill.blobs.iter().chain([&bill.manifest]) {
                layout.write_blob(&blob.digest, &blob.bytes)?;
            }
        }
        Ok(self.first())
    }

    fn first(&self) -> Option<String> {
        self.0.first().map(|bill| bill.manifest.digest.to_string())
    }
}
