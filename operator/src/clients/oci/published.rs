//! What is published under a tag or digest, and is it right?
//!
//! Answered from manifests and configurations, a few KB; nothing that a build step said is believed before this.

use super::manifests::Fetched;
use super::transport::invalid;
use super::{OciError, Reference, Registry, at_digest};
use crate::image::base::{self, Base, Candidates, InvalidBase};
use crate::image::config::ImageConfig;
use crate::image::digest::Digest;
use crate::image::manifest::{Descriptor, Document, Manifest};
use crate::image::sizes;
use crate::image::verify::{self, Finding, ReadBack, Rule};
use gowindows_crds::v1alpha1::ImageStatus;

/// The largest configuration that is read.
const LARGEST_CONFIG: usize = 4 * 1024 * 1024;
/// An image for more releases than ever existed is not ours.
const MOST_PLATFORMS: usize = 32;

/// An image as a registry serves it.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Digest of its index or only manifest.
    pub digest: Digest,
    /// Reference, digest, platforms, sizes and program; the caller knows the rest.
    pub status: ImageStatus,
    /// Every rule that was checked.
    pub findings: Vec<Finding>,
    /// What was read, newest build first.
    pub platforms: Vec<ReadBack>,
}

impl Published {
    /// Why it may not be used, in one sentence; none if every rule passed.
    pub fn complaint(&self) -> Option<String> {
        verify::complaint(&self.findings)
    }
}

impl Registry {
    /// Reads an image back and checks it. None if there is nothing under this tag or digest.
    ///
    /// With the `bases` that it should stand on, their layers and versions are checked too; pass none if they are not known.
    ///
    /// # Errors
    /// [`OciError::Invalid`] when something of it is missing or not what its digest says; and all others.
    pub async fn published(&self, reference: &Reference, bases: &[Base]) -> Result<Option<Published>, OciError> {
        let top = match self.manifest(reference).await {
            Ok(top) => top,
            Err(OciError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let platforms = self.platforms(reference, &top).await?;
        let mut findings: Vec<Finding> = platforms.iter().flat_map(|platform| verify::image(platform, bases)).collect();
        if platforms.is_empty() {
            let message = "the index has no windows/amd64 image".into();
            findings.push(Finding { rule: Rule::Platform, passed: false, message });
        }
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        let status = sizes::image_status(&repository, top.digest.as_str(), &platforms);
        Ok(Some(Published { digest: top.digest, status, findings, platforms }))
    }

    /// Reads the bases that a reference leads to: their manifests and configurations. `releases` narrows.
    ///
    /// # Errors
    /// [`BaseError::Invalid`] when they cannot be built on, [`BaseError::Registry`] when they cannot be read.
    pub async fn bases(&self, text: &str, releases: &[String]) -> Result<(Vec<Base>, Vec<String>), BaseError> {
        let reference = super::parse_reference(text)?;
        let top = self.manifest(&reference).await?;
        let purpose = Self::pull(&reference, format!("read base {text}"));
        let document = Document::parse(&top.bytes).map_err(|error| invalid(&purpose, &error.to_string()))?;
        let entries = match base::candidates(text, document)? {
            Candidates::Single(manifest) => {
                let base = self.base(text, &reference, top.digest, manifest).await?;
                let version = base.os_version.clone();
                return Ok((vec![base], vec![version]));
            }
            Candidates::Children(entries) => entries,
        };
        let mut listed: Vec<String> = entries.iter().filter_map(|entry| base::listed_version(entry).map(String::from)).collect();
        let mut bases = Vec::new();
        for entry in entries.iter().filter(|entry| base::worth_reading(entry, releases)).take(MOST_PLATFORMS) {
            let (digest, manifest) = self.child(&reference, entry).await?;
            let base = self.base(text, &reference, digest, manifest).await?;
            base::agree(entry, &base)?;
            if !listed.contains(&base.os_version) {
                listed.push(base.os_version.clone());
            }
            bases.push(base);
        }
        Ok((bases, listed))
    }

    async fn base(&self, text: &str, reference: &Reference, digest: Digest, manifest: Manifest) -> Result<Base, BaseError> {
        let config = self.config(reference, &manifest).await?;
        Ok(Base::new(text, digest, manifest, config)?)
    }

    async fn platforms(&self, reference: &Reference, top: &Fetched) -> Result<Vec<ReadBack>, OciError> {
        let purpose = Self::pull(reference, format!("read {}", reference.repository()));
        let document = Document::parse(&top.bytes).map_err(|error| invalid(&purpose, &error.to_string()))?;
        let index = match document {
            Document::Manifest(manifest) => {
                let config = self.config(reference, &manifest).await?;
                return Ok(vec![ReadBack { entry: None, digest: top.digest.clone(), manifest, config }]);
            }
            Document::Index(index) => index,
        };
        let windows: Vec<Descriptor> = index
            .manifests
            .into_iter()
            .filter(|entry| entry.platform.as_ref().is_some_and(|platform| platform.is_windows_amd64()))
            .collect();
        if windows.len() > MOST_PLATFORMS {
            return Err(invalid(
                &purpose,
                &format!("an index of {} Windows images, where at most {MOST_PLATFORMS} make sense", windows.len()),
            ));
        }
        let mut platforms = Vec::new();
        for entry in windows {
            let (digest, manifest) = self.child(reference, &entry).await?;
            let config = self.config(reference, &manifest).await?;
            platforms.push(ReadBack { entry: Some(entry), digest, manifest, config });
        }
        Ok(platforms)
    }

    async fn child(&self, reference: &Reference, entry: &Descriptor) -> Result<(Digest, Manifest), OciError> {
        let child = self.manifest(&at_digest(reference, &entry.digest)).await?;
        let purpose = Self::pull(reference, format!("read manifest {}@{}", reference.repository(), entry.digest));
        match Document::parse(&child.bytes) {
            Ok(Document::Manifest(manifest)) => Ok((child.digest, manifest)),
            Ok(Document::Index(_)) => Err(invalid(&purpose, "an index inside an index")),
            Err(error) => Err(invalid(&purpose, &error.to_string())),
        }
    }

    async fn config(&self, reference: &Reference, manifest: &Manifest) -> Result<ImageConfig, OciError> {
        let bytes = self.blob(reference, &manifest.config, LARGEST_CONFIG).await?;
        let purpose = Self::pull(reference, format!("read configuration {}@{}", reference.repository(), manifest.config.digest));
        serde_json::from_slice(&bytes).map_err(|error| invalid(&purpose, &error.to_string()))
    }
}

/// Why a base could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// It cannot be read.
    #[error(transparent)]
    Registry(#[from] OciError),
    /// It cannot be built on.
    #[error(transparent)]
    Invalid(#[from] InvalidBase),
}
