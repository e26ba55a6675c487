//! What is published under a tag or digest, and is it right?
//!
//! Answered from manifests and configurations, a few KB; nothing that a build step said is believed before this.

use super::source::Source;
use super::{OciError, Reference, Registry};
use gowindows_crds::v1alpha1::ImageStatus;
use gowindows_model::conversions::image_status;
use windows_image::base::Base;
use windows_image::digest::Digest;
use windows_image::read_back::ReadBack;
use windows_image::sizes::Sizes;
use windows_image::verify::Rule;
use windows_image::verify::{self, Author, Finding};

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
    /// Reads an image back and checks it, as one that `author` wrote. None if there is nothing under this tag or digest.
    ///
    /// With the `bases` that it should stand on, their layers and versions are checked too; pass none if they are not known.
    ///
    /// # Errors
    /// [`OciError::Invalid`] when something of it is missing or not what its digest says; and all others.
    pub async fn published(&self, reference: &Reference, author: Author, bases: &[Base]) -> Result<Option<Published>, OciError> {
        let top = match self.manifest(reference).await {
            Ok(top) => top,
            Err(OciError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let platforms = Source::Registry(self, reference.clone()).platforms(&top).await?;
        let mut findings: Vec<Finding> = platforms.iter().flat_map(|platform| author.findings(platform, bases)).collect();
        if platforms.is_empty() {
            findings.push(Finding::of(Rule::Platform, false, "the index has no windows/amd64 image"));
        }
        let repository = format!("{}/{}", reference.registry(), reference.repository());
        let status = image_status(&repository, top.digest.as_str(), &Sizes::of(&platforms));
        Ok(Some(Published { digest: top.digest, status, findings, platforms }))
    }
}
