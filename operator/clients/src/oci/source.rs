//! What do a base, or an image, consist of, wherever it is kept?
//!
//! Reads manifests and configurations from a registry or from an OCI layout on disk, by the same rules.

use super::manifests::Fetched;
use super::{Layout, OciError, Reference, Registry, at_digest};
use futures::{StreamExt, TryStreamExt, stream};
use std::fs::File;
use std::io::Seek;
use windows_image::base::{self, Base, Candidates, InvalidBase};
use windows_image::config::ImageConfig;
use windows_image::digest::Digest;
use windows_image::manifest::{Descriptor, Document, Manifest, Platform};
use windows_image::read_back::ReadBack;

/// The largest configuration that is read.
const LARGEST_CONFIG: usize = 4 * 1024 * 1024;
/// So many children are read at a time.
const AT_A_TIME: usize = 4;
/// An image for more releases than ever existed is not ours.
const MOST_PLATFORMS: usize = 32;

/// Where an image is kept.
pub enum Source<'a> {
    /// In a registry, under this reference.
    Registry(&'a Registry, Reference),
    /// In a folder.
    Layout(Layout),
}

/// Why a base could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] OciError),
    /// It cannot be built on.
    #[error(transparent)]
    Invalid(#[from] InvalidBase),
}

/// The bases that a reference leads to.
#[derive(Debug)]
pub struct Bases {
    /// Those that were read.
    pub bases: Vec<Base>,
    /// All full versions that there are, also those that were not asked for.
    pub listed: Vec<String>,
}

impl<'a> Source<'a> {
    /// `oci:DIR` is a layout, everything else a reference.
    ///
    /// # Errors
    /// [`OciError::Local`] when it is neither.
    pub fn parse(registry: &'a Registry, text: &str) -> Result<Self, OciError> {
        match text.strip_prefix("oci:") {
            Some(folder) => Ok(Self::Layout(Layout::new(folder))),
            None => Ok(Self::Registry(registry, super::parse_reference(text)?)),
        }
    }

    /// Reads the bases that are here: manifests and configurations, no layer. `releases` narrows what is read.
    ///
    /// # Errors
    /// [`BaseError::Invalid`] when they cannot be built on, [`BaseError::Read`] when they cannot be read.
    pub async fn bases(&self, text: &str, releases: &[String]) -> Result<Bases, BaseError> {
        let top = self.top().await?;
        let entries = match base::candidates(text, self.parsed(&top)?)? {
            Candidates::Single(manifest) => {
                let config = self.config(&manifest).await?;
                let base = Base::new(text, top.digest, *manifest, config)?;
                return Ok(Bases { listed: vec![base.os_version.clone()], bases: vec![base] });
            }
            Candidates::Children(entries) => entries,
        };
        let mut listed: Vec<String> = entries.iter().filter_map(|entry| base::listed_version(entry).map(String::from)).collect();
        let mut bases = Vec::new();
        let worth_reading = entries.iter().filter(|entry| base::worth_reading(entry, releases)).take(MOST_PLATFORMS);
        for child in self.children(worth_reading).await? {
            let ReadBack { entry, digest, manifest, config } = child;
            let base = Base::new(text, digest, manifest, config)?;
            if let Some(entry) = &entry {
                base::agree(entry, &base)?;
            }
            if !listed.contains(&base.os_version) {
                listed.push(base.os_version.clone());
            }
            bases.push(base);
        }
        Ok(Bases { bases, listed })
    }

    /// Reads the image that is here: the digest of its index or only manifest, and its Windows images. No layer.
    ///
    /// # Errors
    /// It is not there, or is no image.
    pub async fn image(&self) -> Result<(Digest, Vec<ReadBack>), OciError> {
        let top = self.top().await?;
        let platforms = self.platforms(&top).await?;
        Ok((top.digest, platforms))
    }

    /// The bytes of a layer, in a file that has no name or must not be written to. The caller checks digest and size.
    ///
    /// # Errors
    /// It is not there, or more bytes come than announced.
    pub async fn layer(&self, layer: &Descriptor) -> Result<File, OciError> {
        let failed = |error: std::io::Error| OciError::local(format!("keep layer {} for a moment", layer.digest), error);
        match self {
            Self::Registry(registry, reference) => {
                let mut file = tempfile::tempfile().map_err(failed)?;
                let mut copy = tokio::fs::File::from_std(file.try_clone().map_err(failed)?);
                registry.read_blob(reference, layer, &mut copy).await?;
                file.rewind().map_err(failed)?;
                Ok(file)
            }
            Self::Layout(layout) => {
                let attempt = format!("read layer {} of {layout}", layer.digest);
                File::open(layout.path(&layer.digest)).map_err(|error| OciError::local(attempt, error))
            }
        }
    }

    /// Reads the Windows images under an index or manifest that was read before.
    pub(super) async fn platforms(&self, top: &Fetched) -> Result<Vec<ReadBack>, OciError> {
        let index = match self.parsed(top)? {
            Document::Manifest(manifest) => {
                let config = self.config(&manifest).await?;
                return Ok(vec![ReadBack { entry: None, digest: top.digest.clone(), manifest, config }]);
            }
            Document::Index(index) => index,
        };
        let is_windows = |entry: &Descriptor| entry.platform.as_ref().is_some_and(Platform::is_windows_amd64);
        let windows: Vec<Descriptor> = index.manifests.into_iter().filter(is_windows).collect();
        if windows.len() > MOST_PLATFORMS {
            return Err(self.invalid(
                &top.digest,
                &format!("{} Windows images in one index, where at most {MOST_PLATFORMS} make sense", windows.len()),
            ));
        }
        self.children(windows.iter()).await
    }

    /// In their order.
    async fn children<'e>(&self, entries: impl Iterator<Item = &'e Descriptor>) -> Result<Vec<ReadBack>, OciError> {
        let reads: Vec<_> = entries.map(|entry| self.child(entry)).collect();
        stream::iter(reads).buffered(AT_A_TIME).try_collect().await
    }

    async fn child(&self, entry: &Descriptor) -> Result<ReadBack, OciError> {
        let child = match self {
            Self::Registry(registry, reference) => registry.manifest(&at_digest(reference, &entry.digest)).await?,
            Self::Layout(layout) => layout.manifest(&entry.digest)?,
        };
        let Document::Manifest(manifest) = self.parsed(&child)? else {
            return Err(self.invalid(&entry.digest, "an index inside an index"));
        };
        let config = self.config(&manifest).await?;
        Ok(ReadBack { entry: Some(entry.clone()), digest: child.digest, manifest, config })
    }

    async fn top(&self) -> Result<Fetched, OciError> {
        match self {
            Self::Registry(registry, reference) => registry.manifest(reference).await,
            Self::Layout(layout) => layout.top(),
        }
    }

    async fn config(&self, manifest: &Manifest) -> Result<ImageConfig, OciError> {
        let bytes = match self {
            Self::Registry(registry, reference) => registry.blob(reference, &manifest.config, LARGEST_CONFIG).await?,
            Self::Layout(layout) => layout.small_blob(&manifest.config.digest, LARGEST_CONFIG)?,
        };
        serde_json::from_slice(&bytes).map_err(|error| self.invalid(&manifest.config.digest, &error.to_string()))
    }

    fn parsed(&self, document: &Fetched) -> Result<Document, OciError> {
        Document::parse(&document.bytes).map_err(|error| self.invalid(&document.digest, &error.to_string()))
    }

    fn invalid(&self, digest: &Digest, detail: &str) -> OciError {
        match self {
            Self::Registry(_, reference) => OciError::Invalid {
                host: reference.registry().into(),
                attempt: format!("read {}@{digest}", reference.repository()),
                detail: detail.into(),
            },
            Self::Layout(layout) => OciError::local(format!("read {digest} of {layout}"), detail),
        }
    }
}
