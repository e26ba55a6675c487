//! Reading and writing manifests, and moving tags.

use super::transport::{Purpose, invalid};
use super::{OciError, Reference, Registry, at_digest, at_tag};
use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use windows_image::Digest;
use windows_image::assemble::Blob;
use windows_image::manifest::media_type;

/// The largest manifest or index that is read (HR1); the specification asks registries for at least this much.
pub(super) const LARGEST_MANIFEST: usize = 4 * 1024 * 1024;

/// With this header a registry says that it lists a manifest as a referrer of its subject.
const OCI_SUBJECT: &str = "oci-subject";

/// What a reference points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Its digest.
    pub digest: Digest,
    /// Its media type, as the registry names it.
    pub media_type: String,
    /// Its size in bytes, where the registry says it.
    pub size: Option<u64>,
}

/// A manifest or index, checked against its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its digest.
    pub digest: Digest,
    /// Its media type, as the registry names it.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Registry {
    /// Finds out what a tag points at, without reading it where the registry allows.
    ///
    /// # Errors
    /// [`OciError::NotFound`] if there is no such tag, and all others.
    pub async fn resolve(&self, reference: &Reference) -> Result<Resolved, OciError> {
        self.first_of(reference, |place| async move { self.resolve_at(&place).await }).await
    }

    async fn resolve_at(&self, reference: &Reference) -> Result<Resolved, OciError> {
        let purpose = Self::pull(reference, format!("resolve {}", short(reference)));
        let url = self.transport.url(&purpose, &path(reference))?;
        let tolerated = [StatusCode::METHOD_NOT_ALLOWED];
        let response = self
            .transport
            .send(&purpose, &tolerated, |client| client.head(url.clone()).header(ACCEPT, media_type::ACCEPTED.join(", ")))
            .await?;
        let size = response.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
        if let (true, Some(digest)) = (response.status().is_success(), stated_digest(&purpose, response.headers())?) {
            return Ok(Resolved { digest, media_type: content_type(response.headers()), size });
        }
        let Fetched { digest, media_type, bytes } = self.manifest_at(reference).await?;
        Ok(Resolved { digest, media_type, size: Some(bytes.len() as u64) })
    }

    /// Reads a manifest or an index of at most 4 MiB.
    ///
    /// # Errors
    /// [`OciError::Invalid`] when content and digest differ or it is too large, and all others.
    pub async fn manifest(&self, reference: &Reference) -> Result<Fetched, OciError> {
        self.first_of(reference, |place| async move { self.manifest_at(&place).await }).await
    }

    async fn manifest_at(&self, reference: &Reference) -> Result<Fetched, OciError> {
        let purpose = Self::pull(reference, format!("read manifest {}", short(reference)));
        let url = self.transport.url(&purpose, &path(reference))?;
        let response =
            self.transport.send(&purpose, &[], |client| client.get(url.clone()).header(ACCEPT, media_type::ACCEPTED.join(", "))).await?;
        let stated = stated_digest(&purpose, response.headers())?;
        let media_type = content_type(response.headers());
        let bytes = self.transport.body(&purpose, response, LARGEST_MANIFEST).await?;
        let digest = Digest::of(&bytes);
        let asked = reference.digest().map(str::parse::<Digest>).transpose().map_err(|error| OciError::local(&purpose.attempt, error))?;
        match asked.or(stated).filter(|expected| *expected != digest) {
            Some(expected) => Err(invalid(&purpose, &format!("the content has digest {digest}, not {expected}"))),
            None => Ok(Fetched { digest, media_type, bytes }),
        }
    }

    /// Writes a manifest or an index under its digest, or also under a tag.
    ///
    /// # Errors
    /// As the registry answers; [`OciError::Invalid`] if it stored something else.
    pub async fn push_manifest(&self, repository: &Reference, document: &Blob, tag: Option<&str>) -> Result<(), OciError> {
        self.put_manifest(repository, document.media_type, &document.digest, &document.bytes, tag).await.map(drop)
    }

    /// Writes the manifest of an artifact under its digest. The subject that the registry has listed it for, if it does so.
    pub(super) async fn push_artifact_manifest(&self, repository: &Reference, document: &Blob) -> Result<Option<Digest>, OciError> {
        let headers = self.put_manifest(repository, document.media_type, &document.digest, &document.bytes, None).await?;
        Ok(headers.get(OCI_SUBJECT).and_then(|subject| subject.to_str().ok()?.parse().ok()))
    }

    /// Moves a tag to a digest that is already there.
    ///
    /// # Errors
    /// [`OciError::NotFound`] if the digest is not there, and all others.
    pub async fn tag(&self, repository: &Reference, digest: &Digest, tag: &str) -> Result<(), OciError> {
        let Fetched { digest, media_type, bytes } = self.manifest(&at_digest(repository, digest)).await?;
        self.put_manifest(repository, &media_type, &digest, &bytes, Some(tag)).await.map(drop)
    }

    async fn put_manifest(
        &self,
        repository: &Reference,
        media_type: &str,
        digest: &Digest,
        bytes: &[u8],
        tag: Option<&str>,
    ) -> Result<HeaderMap, OciError> {
        let target = tag.map_or_else(|| at_digest(repository, digest), |tag| at_tag(repository, tag));
        let purpose = Self::push(repository, format!("write manifest {}", short(&target)));
        let url = self.transport.url(&purpose, &path(&target))?;
        let response = self
            .transport
            .send(&purpose, &[], |client| client.put(url.clone()).header(CONTENT_TYPE, media_type).body(bytes.to_vec()))
            .await?;
        match stated_digest(&purpose, response.headers())?.filter(|stored| stored != digest) {
            Some(stored) => Err(invalid(&purpose, &format!("it stored {stored} in place of {digest}"))),
            None => Ok(response.headers().clone()),
        }
    }
}

fn path(reference: &Reference) -> String {
    format!("{}/manifests/{}", reference.repository(), reference.digest().or(reference.tag()).unwrap_or("latest"))
}

/// Without the host, which errors name already.
fn short(reference: &Reference) -> String {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => format!("{}@{digest}", reference.repository()),
        (None, tag) => format!("{}:{}", reference.repository(), tag.unwrap_or("latest")),
    }
}

pub(super) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_string()
}

fn stated_digest(purpose: &Purpose, headers: &HeaderMap) -> Result<Option<Digest>, OciError> {
    let Some(stated) = headers.get("docker-content-digest") else { return Ok(None) };
    let digest = stated.to_str().ok().and_then(|text| text.parse().ok());
    digest.map(Some).ok_or_else(|| invalid(purpose, "its Docker-Content-Digest header is not a sha256 digest"))
}
