//! Reading, finding, mounting and writing blobs.
//!
//! Uploads are monolithic: length and digest are known before the first byte is sent. They have no limit of time as a whole,
//! because a base layer may have gigabytes, but one for standing still.

use super::transport::{Purpose, failed, invalid, late};
use super::{OciError, Reference, Registry};
use crate::image::Digest;
use crate::image::manifest::Descriptor;
use futures::{Stream, StreamExt};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Response, StatusCode, Url};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio_util::io::ReaderStream;

/// A transfer in which nothing moves for so long is given up.
const IDLE_LIMIT: Duration = Duration::from_secs(120);

/// Counts the bytes of a transfer, so that somebody can show them.
pub type Progress = Arc<AtomicU64>;

impl Registry {
    /// Reads a small blob, such as a configuration, of at most `most` bytes.
    ///
    /// # Errors
    /// [`OciError::Invalid`] when content and digest or size differ, or it is too large, and all others.
    pub async fn blob(&self, repository: &Reference, descriptor: &Descriptor, most: usize) -> Result<Vec<u8>, OciError> {
        self.from_first(repository, |place| async move { self.blob_at(&place, descriptor, most).await }).await
    }

    async fn blob_at(&self, repository: &Reference, descriptor: &Descriptor, most: usize) -> Result<Vec<u8>, OciError> {
        let purpose = Self::pull(repository, format!("read blob {}@{}", repository.repository(), descriptor.digest));
        if descriptor.size > most as u64 {
            return Err(invalid(&purpose, &format!("a size of {} bytes, where at most {most} make sense", descriptor.size)));
        }
        let response = self.get_blob(&purpose, repository, &descriptor.digest).await?;
        let bytes = self.transport.body(&purpose, response, most).await?;
        let digest = Digest::of(&bytes);
        if digest != descriptor.digest || bytes.len() as u64 != descriptor.size {
            return Err(invalid(
                &purpose,
                &format!("the content has digest {digest} and {} bytes, not {} bytes", bytes.len(), descriptor.size),
            ));
        }
        Ok(bytes)
    }

    /// Reads a blob of any size into a writer. The caller checks the digest of what it got.
    ///
    /// # Errors
    /// [`OciError::Invalid`] when more bytes come than announced; [`OciError::Local`] when they cannot be written; and all others.
    pub async fn read_blob(
        &self,
        repository: &Reference,
        descriptor: &Descriptor,
        out: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), OciError> {
        let purpose = Self::pull(repository, format!("read blob {}@{}", repository.repository(), descriptor.digest));
        let mut response = self.first_blob(repository, &descriptor.digest).await?;
        let mut left = descriptor.size;
        loop {
            let chunk = tokio::time::timeout(IDLE_LIMIT, response.chunk()).await.map_err(|_| late(&purpose, IDLE_LIMIT))?;
            let Some(chunk) = chunk.map_err(|error| failed(&purpose, &error))? else { break };
            left = left.checked_sub(chunk.len() as u64).ok_or_else(|| invalid(&purpose, "more bytes than its descriptor says"))?;
            out.write_all(&chunk).await.map_err(|error| OciError::local(&purpose.attempt, error))?;
        }
        out.flush().await.map_err(|error| OciError::local(&purpose.attempt, error))
    }

    /// Whether a blob is there.
    ///
    /// # Errors
    /// All but [`OciError::NotFound`].
    pub async fn blob_exists(&self, repository: &Reference, digest: &Digest) -> Result<bool, OciError> {
        let purpose = Self::push(repository, format!("look for blob {}@{digest}", repository.repository()));
        let url = self.transport.url(&purpose, &format!("{}/blobs/{digest}", repository.repository()))?;
        let response = self.transport.send(&purpose, &[StatusCode::NOT_FOUND], |client| client.head(url.clone())).await?;
        Ok(response.status().is_success())
    }

    /// Asks the registry to share a blob of a neighbouring repository. Whether it did is its own choice.
    ///
    /// # Errors
    /// All; a refusal to read `from` counts as "did not".
    pub async fn mount(&self, repository: &Reference, digest: &Digest, from: &Reference) -> Result<bool, OciError> {
        if repository.registry() != from.registry() {
            return Ok(false);
        }
        let mut purpose = Self::push(repository, format!("mount blob {digest} of {} in {}", from.repository(), repository.repository()));
        purpose.scopes.push(format!("repository:{}:pull", from.repository()));
        let mut url = self.transport.url(&purpose, &format!("{}/blobs/uploads/", repository.repository()))?;
        url.query_pairs_mut().append_pair("mount", digest.as_str()).append_pair("from", from.repository());
        let send = self.transport.send(&purpose, &[], |client| client.post(url.clone()).header(CONTENT_LENGTH, 0)).await;
        match send {
            Ok(response) if response.status() == StatusCode::CREATED => Ok(true),
            // The registry opened an upload instead. It is not needed: uploads begin with their own.
            Ok(response) => {
                self.abandon(&purpose, &response).await;
                Ok(false)
            }
            Err(OciError::AuthRefused { .. } | OciError::Refused { .. } | OciError::Invalid { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Uploads a small blob, such as a configuration.
    ///
    /// # Errors
    /// As the registry answers.
    pub async fn upload_bytes(&self, repository: &Reference, digest: &Digest, bytes: &[u8]) -> Result<(), OciError> {
        let make_body = || async { Ok(Body::from(bytes.to_vec())) };
        self.upload(repository, digest, bytes.len() as u64, &Progress::default(), make_body).await
    }

    /// Uploads a file. Memory does not grow with it.
    ///
    /// # Errors
    /// [`OciError::Local`] when it cannot be read; else as the registry answers.
    pub async fn upload_file(
        &self,
        repository: &Reference,
        digest: &Digest,
        size: u64,
        path: &Path,
        progress: &Progress,
    ) -> Result<(), OciError> {
        let make_body = || async {
            let opened = tokio::fs::File::open(path).await;
            let file = opened.map_err(|error| OciError::local(format!("read {}", path.display()), error))?;
            Ok(Body::wrap_stream(counted(ReaderStream::with_capacity(file, 256 * 1024), progress.clone())))
        };
        self.upload(repository, digest, size, progress, make_body).await
    }

    /// Streams a blob of another repository, which may be read through other connections, into this one.
    ///
    /// # Errors
    /// As either registry answers.
    pub async fn copy_blob(
        &self,
        source: &Self,
        from: &Reference,
        repository: &Reference,
        blob: &Descriptor,
        progress: &Progress,
    ) -> Result<(), OciError> {
        let make_body = || async {
            let response = source.first_blob(from, &blob.digest).await?;
            Ok(Body::wrap_stream(counted(response.bytes_stream(), progress.clone())))
        };
        self.upload(repository, &blob.digest, blob.size, progress, make_body).await
    }

    async fn first_blob(&self, repository: &Reference, digest: &Digest) -> Result<Response, OciError> {
        let read = |place: Reference| async move {
            let purpose = Self::pull(&place, format!("read blob {}@{digest}", place.repository()));
            self.get_blob(&purpose, &place, digest).await
        };
        self.from_first(repository, read).await
    }

    async fn get_blob(&self, purpose: &Purpose, repository: &Reference, digest: &Digest) -> Result<Response, OciError> {
        let url = self.transport.url(purpose, &format!("{}/blobs/{digest}", repository.repository()))?;
        self.transport.send(purpose, &[], |client| client.get(url.clone())).await
    }

    /// The registry checks the digest at the end, and refuses content that differs.
    async fn upload<F>(
        &self,
        repository: &Reference,
        digest: &Digest,
        size: u64,
        progress: &Progress,
        make_body: impl Fn() -> F,
    ) -> Result<(), OciError>
    where
        F: Future<Output = Result<Body, OciError>>,
    {
        let purpose = Self::push(repository, format!("upload blob {}@{digest}", repository.repository()));
        let mut tried = 0;
        loop {
            tried += 1;
            progress.store(0, Ordering::Relaxed);
            let error = match self.upload_once(&purpose, repository, digest, size, progress, &make_body).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if !error.transient() || tried >= self.transport.tries {
                return Err(error);
            }
            tracing::debug!(%error, tried, "upload failed; it is tried again");
            tokio::time::sleep(error.retry_after().unwrap_or(Duration::from_secs(2)).min(Duration::from_secs(30))).await;
        }
    }

    async fn upload_once<F>(
        &self,
        purpose: &Purpose,
        repository: &Reference,
        digest: &Digest,
        size: u64,
        progress: &Progress,
        make_body: impl Fn() -> F,
    ) -> Result<(), OciError>
    where
        F: Future<Output = Result<Body, OciError>>,
    {
        let start = self.transport.url(purpose, &format!("{}/blobs/uploads/", repository.repository()))?;
        let opened = self.transport.send_once(purpose, &[], |client| client.post(start.clone()).header(CONTENT_LENGTH, 0)).await?;
        let (mut url, ours): (Url, bool) = self.transport.location(purpose, opened.headers())?;
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let body = make_body().await?;
        let request = self
            .transport
            .client(&purpose.host)
            .put(url)
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, size)
            .body(body);
        let request = if ours { self.transport.authorized(purpose, request) } else { request };
        let response = tokio::select! {
            response = request.send() => response.map_err(|error| failed(purpose, &error))?,
            () = stands_still(progress) => return Err(late(purpose, IDLE_LIMIT)),
        };
        self.transport.accept(purpose, &[], response).await.map(drop)
    }

    /// Ends an upload that is not wanted. A registry that does not do so forgets it by itself after some days.
    async fn abandon(&self, purpose: &Purpose, opened: &Response) {
        if let Ok((url, true)) = self.transport.location(purpose, opened.headers()) {
            let ended = self.transport.send(purpose, &[], |client| client.delete(url.clone())).await;
            tracing::debug!(ended = ended.is_ok(), "gave back an upload that was not needed");
        }
    }
}

fn counted<B: AsRef<[u8]>, E>(stream: impl Stream<Item = Result<B, E>>, progress: Progress) -> impl Stream<Item = Result<B, E>> {
    stream.inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            progress.fetch_add(chunk.as_ref().len() as u64, Ordering::Relaxed);
        }
    })
}

/// Returns once nothing was transferred for [`IDLE_LIMIT`].
async fn stands_still(progress: &Progress) {
    let mut last = progress.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(IDLE_LIMIT).await;
        let now = progress.load(Ordering::Relaxed);
        if now == last {
            return;
        }
        last = now;
    }
}
