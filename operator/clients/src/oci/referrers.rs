//! What is attached to an image, and how is more attached?
//!
//! ```text
//! list:    referrers API --404--> index under the tag sha256-<hex>
//! attach:  listed already? -> blobs -> manifest --answer without OCI-Subject--> entry in that index
//! ```
//!
//! A registry that knows subjects answers the manifest with an `OCI-Subject` header; for any other the index under the tag is
//! the only list there is (distribution-spec 1.1). That index has no precondition that registries keep, so a writer reads it
//! again after writing: an entry that another writer has overwritten is written once more.

use super::manifests::{Fetched, LARGEST_MANIFEST};
use super::transport::{Purpose, invalid};
use super::{OciError, Reference, Registry, at_digest, at_tag};
use reqwest::header::{ACCEPT, LINK};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use windows_image::Digest;
use windows_image::artifact::{Artifact, ArtifactManifest, Referrer, fallback_tag};
use windows_image::assemble::Blob;
use windows_image::manifest::{Descriptor, media_type, null_is_default};

/// Pages of a list that are read.
const MOST_PAGES: usize = 16;
/// Entries of an index that an image of ours may get: whoever may push can add to it.
const MOST_ENTRIES: usize = 4096;
/// So often an entry of the index is written before the other writers have won.
const MOST_WRITES: usize = 5;

#[derive(Deserialize)]
struct Listed {
    // Where nothing is attached, some registries answer `null`.
    #[serde(default, deserialize_with = "null_is_default")]
    manifests: Vec<Value>,
}

impl Registry {
    /// What is attached to `subject` and of this artifact type, in the registry's order; nothing where nothing is.
    ///
    /// # Errors
    /// [`OciError::Invalid`] for a list that cannot be read, and all but [`OciError::NotFound`].
    pub async fn referrers(&self, repository: &Reference, subject: &Digest, artifact_type: &str) -> Result<Vec<Referrer>, OciError> {
        let listed = match self.listed_by_api(repository, subject, artifact_type).await? {
            Some(listed) => listed,
            None => self.fallback_index(repository, subject).await?,
        };
        // An entry of somebody else that cannot be read is no reason to see none of ours.
        let entries = listed.into_iter().filter_map(|entry| serde_json::from_value::<Referrer>(entry).ok());
        Ok(entries.filter(|entry| entry.artifact_type.as_deref() == Some(artifact_type)).collect())
    }

    /// Reads the one blob of a referrer, of at most `most` bytes, after checking that it is about `subject`.
    ///
    /// # Errors
    /// [`OciError::Invalid`] when it is about something else or has not just one blob; and all others.
    pub async fn attached(&self, repository: &Reference, referrer: &Referrer, subject: &Digest, most: usize) -> Result<Vec<u8>, OciError> {
        let purpose = Self::pull(repository, format!("read {}@{}", repository.repository(), referrer.digest));
        let Fetched { bytes, .. } = self.manifest(&at_digest(repository, &referrer.digest)).await?;
        let manifest: ArtifactManifest = serde_json::from_slice(&bytes).map_err(|error| invalid(&purpose, &error.to_string()))?;
        match (manifest.subject, manifest.layers.as_slice()) {
            (Some(Descriptor { digest, .. }), [content]) if digest == *subject => self.blob(repository, content, most).await,
            _ => Err(invalid(&purpose, &format!("it is listed as a referrer of {subject}, and is none with one blob"))),
        }
    }

    /// Attaches an artifact to its subject. One that is listed already is not pushed again.
    ///
    /// # Errors
    /// [`OciError::Invalid`] if it is not listed afterwards, and all others.
    pub async fn attach(&self, repository: &Reference, artifact: &Artifact) -> Result<(), OciError> {
        let Artifact { subject, blobs, manifest, entry } = artifact;
        let artifact_type = entry.artifact_type.as_deref().unwrap_or_default();
        let listed = self.referrers(repository, subject, artifact_type).await?;
        if listed.iter().any(|listed| listed.digest == entry.digest) {
            return Ok(());
        }
        for blob in blobs {
            if !self.blob_exists(repository, &blob.digest).await? {
                self.upload_bytes(repository, &blob.digest, &blob.bytes).await?;
            }
        }
        match self.push_artifact_manifest(repository, manifest).await? {
            Some(known) if known == *subject => Ok(()),
            _ => self.list_in_fallback(repository, subject, entry).await,
        }
    }

    /// The list of the referrers API; none where the registry has no such API.
    async fn listed_by_api(&self, repository: &Reference, subject: &Digest, artifact_type: &str) -> Result<Option<Vec<Value>>, OciError> {
        let purpose = Self::pull(repository, format!("list what is attached to {}@{subject}", repository.repository()));
        let mut url = self.transport.url(&purpose, &format!("{}/referrers/{subject}", repository.repository()))?;
        url.query_pairs_mut().append_pair("artifactType", artifact_type);
        let mut listed = Vec::new();
        for _ in 0..MOST_PAGES {
            let absent = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
            let send = self.transport.send(&purpose, &absent, |client| client.get(url.clone()).header(ACCEPT, media_type::INDEX));
            let response = send.await?;
            // Some registries answer paths that they do not know with a page for people.
            if !response.status().is_success() || super::manifests::content_type(response.headers()) != media_type::INDEX {
                return Ok(None);
            }
            let next = next_page(&purpose, &url, &response)?;
            let body = self.transport.body(&purpose, response, LARGEST_MANIFEST).await?;
            listed.extend(entries(&purpose, &body)?);
            match next {
                Some(next) if listed.len() <= MOST_ENTRIES => url = next,
                _ => break,
            }
        }
        Ok(Some(listed))
    }

    async fn fallback_index(&self, repository: &Reference, subject: &Digest) -> Result<Vec<Value>, OciError> {
        let purpose = Self::pull(repository, format!("read {}:{}", repository.repository(), fallback_tag(subject)));
        match self.manifest(&at_tag(repository, &fallback_tag(subject))).await {
            Ok(found) => entries(&purpose, &found.bytes),
            Err(OciError::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Entries of others stay as they are, in their order.
    async fn list_in_fallback(&self, repository: &Reference, subject: &Digest, entry: &Referrer) -> Result<(), OciError> {
        let tag = fallback_tag(subject);
        let purpose = Self::push(repository, format!("list {} under {}:{tag}", entry.digest, repository.repository()));
        let local = |error: serde_json::Error| OciError::local(&purpose.attempt, error);
        for write in 0..=MOST_WRITES {
            let mut manifests = self.fallback_index(repository, subject).await?;
            if manifests.iter().any(|listed| listed["digest"] == entry.digest.as_str()) {
                return Ok(());
            }
            if manifests.len() >= MOST_ENTRIES {
                return Err(invalid(&purpose, &format!("{} entries are there already; delete that tag", manifests.len())));
            }
            if write == MOST_WRITES {
                break;
            }
            manifests.push(serde_json::to_value(entry).map_err(local)?);
            let index = json!({"schemaVersion": 2, "mediaType": media_type::INDEX, "manifests": manifests});
            let bytes = serde_json::to_vec(&index).map_err(local)?;
            let index = Blob { media_type: media_type::INDEX, digest: Digest::of(&bytes), bytes };
            self.push_manifest(repository, &index, Some(&tag)).await?;
        }
        Err(invalid(&purpose, &format!("the entry was written {MOST_WRITES} times and is not there; does somebody else write that tag?")))
    }
}

fn entries(purpose: &Purpose, body: &[u8]) -> Result<Vec<Value>, OciError> {
    let listed: Listed = serde_json::from_slice(body).map_err(|error| invalid(purpose, &format!("not an index: {error}")))?;
    Ok(listed.manifests)
}

/// The address of the next page, on the same host.
fn next_page(purpose: &Purpose, url: &Url, response: &Response) -> Result<Option<Url>, OciError> {
    let Some(link) = response.headers().get(LINK).and_then(|value| value.to_str().ok()) else { return Ok(None) };
    let target = link.split(',').find_map(|one| {
        let (target, parameters) = one.trim().strip_prefix('<')?.split_once('>')?;
        (parameters.contains("rel=\"next\"") || parameters.contains("rel=next")).then_some(target)
    });
    let Some(target) = target else { return Ok(None) };
    let next = url.join(target).ok().filter(|next| next.origin() == url.origin());
    next.map(Some).ok_or_else(|| invalid(purpose, "the next page of the list is at another place"))
}
