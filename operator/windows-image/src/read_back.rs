//! What did a registry, or a folder, give back?

use crate::assemble::Image;
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::manifest::{Descriptor, Manifest};

/// An image for one release, as a registry or a layout gave it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBack {
    /// Its entry in the index, where there is one.
    pub entry: Option<Descriptor>,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its configuration.
    pub config: ImageConfig,
}

impl ReadBack {
    /// The image as it was just assembled, to check before anything is pushed.
    ///
    /// # Errors
    /// Never in practice: our own JSON parses.
    pub fn from_assembled(image: &Image) -> serde_json::Result<Vec<Self>> {
        let read = |platform: &crate::assemble::PlatformImage| {
            Ok(Self {
                entry: image.index.is_some().then(|| platform.entry.clone()),
                digest: platform.manifest.digest.clone(),
                manifest: serde_json::from_slice(&platform.manifest.bytes)?,
                config: serde_json::from_slice(&platform.config.bytes)?,
            })
        };
        image.platforms.iter().map(read).collect()
    }
}
