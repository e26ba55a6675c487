//! Reading, finding, mounting and writing blobs.

use super::transport::{Purpose, failed, invalid, late};
use super::upload::IDLE_LIMIT;
use super::{OciError, Reference, Registry};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use reqwest::header::{CONTENT_LENGTH, RANGE};
use reqwest::{Body, Client, Response, StatusCode};
use std::io::{self, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt};
use tokio_util::io::ReaderStream;
use windows_image::Digest;
use windows_image::digest::Hashing;
use windows_image::manifest::Descriptor;

/// Counts the bytes of a transfer, so that somebody can show them.
pub type Progress = Arc<AtomicU64>;

/// Keeps nothing of what is written but its digest.
struct Hashed(Hashing<io::Sink>);

impl AsyncWrite for Hashed {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(buffer))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Registry {
    /// Reads a small blob, such as a configuration, of at most `most` bytes.
    ///
    /// # Errors
    /// [`OciError::Invalid`] when content and digest or size differ, or it is too large, and all others.
    pub async fn blob(&self, repository: &Reference, descriptor: &Descriptor, most: usize) -> Result<Vec<u8>, OciError> {
        self.first_of(repository, |place| async move { self.blob_at(&place, descriptor, most).await }).await
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

    /// The digest of what the registry gives for a blob, which is read to its end and kept nowhere.
    ///
    /// # Errors
    /// As [`read_blob`](Self::read_blob).
    pub async fn digest_of_blob(&self, repository: &Reference, descriptor: &Descriptor) -> Result<Digest, OciError> {
        let mut hash = Hashed(Hashing::new(io::sink()));
        self.read_blob(repository, descriptor, &mut hash).await?;
        Ok(hash.0.finish().0)
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
        let part = |range: &Range<u64>| Some(bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)?.to_vec());
        let content = |range: Range<u64>| std::future::ready(Ok(Body::from(part(&range).unwrap_or_default())));
        self.upload(repository, digest, bytes.len() as u64, &Progress::default(), content).await
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
        let content = |range: Range<u64>| async move {
            let unread = |error| OciError::local(format!("read {}", path.display()), error);
            let mut file = tokio::fs::File::open(path).await.map_err(unread)?;
            file.seek(SeekFrom::Start(range.start)).await.map_err(unread)?;
            let part = ReaderStream::with_capacity(file.take(range.end - range.start), 256 * 1024);
            Ok(Body::wrap_stream(counted(part, progress.clone())))
        };
        self.upload(repository, digest, size, progress, content).await
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
        let content = |range: Range<u64>| async move {
            let part = source.first_part(from, blob, range).await?;
            Ok(Body::wrap_stream(counted(part, progress.clone())))
        };
        self.upload(repository, &blob.digest, blob.size, progress, content).await
    }

    async fn first_blob(&self, repository: &Reference, digest: &Digest) -> Result<Response, OciError> {
        let read = |place: Reference| async move {
            let purpose = Self::pull(&place, format!("read blob {}@{digest}", place.repository()));
            self.get_blob(&purpose, &place, digest).await
        };
        self.first_of(repository, read).await
    }

    async fn first_part(
        &self,
        repository: &Reference,
        blob: &Descriptor,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = reqwest::Result<Bytes>> + use<>, OciError> {
        let read = |place: Reference| {
            let range = range.clone();
            async move {
                let purpose = Self::pull(&place, format!("read blob {}@{}", place.repository(), blob.digest));
                self.get_blob_part(&purpose, &place, blob, range).await
            }
        };
        self.first_of(repository, read).await
    }

    async fn get_blob(&self, purpose: &Purpose, repository: &Reference, digest: &Digest) -> Result<Response, OciError> {
        let url = self.transport.url(purpose, &format!("{}/blobs/{digest}", repository.repository()))?;
        self.transport.send(purpose, &[], |client| client.get(url.clone())).await
    }

    /// A part of a blob. A registry that gives no parts gives all of it: what stands before the part is then read and dropped.
    async fn get_blob_part(
        &self,
        purpose: &Purpose,
        repository: &Reference,
        blob: &Descriptor,
        range: Range<u64>,
    ) -> Result<impl Stream<Item = reqwest::Result<Bytes>> + use<>, OciError> {
        let url = self.transport.url(purpose, &format!("{}/blobs/{}", repository.repository(), blob.digest))?;
        let wanted = (range.start > 0 || range.end < blob.size).then(|| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let ask = |client: &Client| match &wanted {
            Some(wanted) => client.get(url.clone()).header(RANGE, wanted),
            None => client.get(url.clone()),
        };
        let response = self.transport.send(purpose, &[], ask).await?;
        let before = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { range.start };
        Ok(part_of(response.bytes_stream(), before, range.end - range.start))
    }
}

/// `length` bytes of a stream, after the first `before`.
fn part_of<E>(stream: impl Stream<Item = Result<Bytes, E>>, before: u64, length: u64) -> impl Stream<Item = Result<Bytes, E>> {
    let cut = move |(before, left): &mut (u64, u64), chunk: Result<Bytes, E>| {
        let part = chunk.map(|mut chunk| {
            let dropped = usize::try_from(*before).unwrap_or(usize::MAX).min(chunk.len());
            let mut kept = chunk.split_off(dropped);
            kept.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *before -= dropped as u64;
            *left -= kept.len() as u64;
            kept
        });
        std::future::ready((*left > 0 || part.as_ref().is_ok_and(|part| !part.is_empty())).then_some(part))
    };
    stream.scan((before, length), cut)
}

fn counted<B: AsRef<[u8]>, E>(stream: impl Stream<Item = Result<B, E>>, progress: Progress) -> impl Stream<Item = Result<B, E>> {
    stream.inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            progress.fetch_add(chunk.as_ref().len() as u64, Ordering::Relaxed);
        }
    })
}
