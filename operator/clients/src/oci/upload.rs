//! How does a blob get into a repository, when the connection may break at any byte?
//!
//! ```text
//! small:  POST -> PUT all of it
//! large:  POST -> PATCH a piece -> PATCH a piece -> ... -> PUT the digest
//!                    | broken: GET where it stands, and go on from there
//! ```
//!
//! As in the distribution specification 1.1, "Pushing a blob in chunks" and "Resuming". A registry that takes no pieces gets
//! all at once. Length and digest are known before the first byte, and the registry checks both at the end. An upload has no
//! limit of time as a whole, because a base layer may have gigabytes, but one for standing still.

use super::transport::{Purpose, failed, invalid, late};
use super::{OciError, Progress, Reference, Registry};
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName, RANGE};
use reqwest::{Body, RequestBuilder, Response, StatusCode, Url};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Duration;
use windows_image::Digest;

/// A transfer in which nothing moves for so long is given up.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(120);
/// Blobs up to this size are sent whole, larger ones in pieces of it: what a broken connection costs at most. Every registry
/// takes pieces of this size (Amazon's wants at least 5 MiB), and so do proxies that limit bodies.
pub(super) const PIECE: u64 = 32 * 1024 * 1024;
/// What a registry may want a piece to have at least.
const MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// An upload that the registry knows of.
struct Session {
    url: Url,
    /// It is on the registry's own host: no other may see our credential.
    ours: bool,
    /// So many bytes have arrived.
    arrived: u64,
    piece: u64,
}

impl Registry {
    /// Uploads `size` bytes, of which `content` gives any part.
    pub(super) async fn upload<F>(
        &self,
        repository: &Reference,
        digest: &Digest,
        size: u64,
        progress: &Progress,
        content: impl Fn(Range<u64>) -> F,
    ) -> Result<(), OciError>
    where
        F: Future<Output = Result<Body, OciError>>,
    {
        let purpose = Self::push(repository, format!("upload blob {}@{digest}", repository.repository()));
        if size > self.piece {
            match self.in_pieces(&purpose, repository, digest, size, progress, &content).await {
                Err(error) if takes_no_pieces(&error) && progress.load(Ordering::Relaxed) == 0 => {
                    tracing::debug!(%error, "the registry takes no pieces; it gets all at once");
                }
                result => return result,
            }
        }
        let mut tried = 0;
        loop {
            tried += 1;
            progress.store(0, Ordering::Relaxed);
            let Err(error) = self.whole(&purpose, repository, digest, size, progress, &content).await else { return Ok(()) };
            self.wait_for_another_try(error, tried).await?;
        }
    }

    async fn whole<F>(
        &self,
        purpose: &Purpose,
        repository: &Reference,
        digest: &Digest,
        size: u64,
        progress: &Progress,
        content: &impl Fn(Range<u64>) -> F,
    ) -> Result<(), OciError>
    where
        F: Future<Output = Result<Body, OciError>>,
    {
        let session = self.open(purpose, repository).await?;
        let body = content(0..size).await?;
        let request = self.transport.client(&purpose.host).put(closing(&session, digest)).header(CONTENT_LENGTH, size).body(body);
        self.transfer(purpose, &session, request, progress).await.map(drop)
    }

    async fn in_pieces<F>(
        &self,
        purpose: &Purpose,
        repository: &Reference,
        digest: &Digest,
        size: u64,
        progress: &Progress,
        content: &impl Fn(Range<u64>) -> F,
    ) -> Result<(), OciError>
    where
        F: Future<Output = Result<Body, OciError>>,
    {
        let (mut session, mut tried, mut furthest) = (None::<Session>, 0, 0);
        loop {
            let arrived = session.as_ref().map_or(0, |session| session.arrived);
            progress.store(arrived, Ordering::Relaxed);
            let step = match &session {
                None => self.open(purpose, repository).await,
                Some(session) if arrived < size => self.send_piece(purpose, session, size, progress, content).await,
                Some(session) => match self.close(purpose, session, digest).await {
                    Ok(()) => return Ok(()),
                    Err(error) => Err(error),
                },
            };
            let error = match step {
                Ok(next) => {
                    // Only what is new counts: a registry that forgets its uploads would be tried for ever.
                    if next.arrived > furthest {
                        (furthest, tried) = (next.arrived, 0);
                    }
                    session = Some(next);
                    continue;
                }
                Err(error) => error,
            };
            tried += 1;
            progress.store(arrived, Ordering::Relaxed);
            // To ask where it stands renews a token that ran out on the way, and corrects a wrong idea of it.
            if !matches!(error.status(), Some(401 | 416)) || tried >= self.transport.tries {
                self.wait_for_another_try(error, tried).await?;
            }
            // The answer that was lost may have been a success.
            if arrived == size && self.blob_exists(repository, digest).await? {
                return Ok(());
            }
            if let Some(broken) = session.take() {
                session = self.standing(purpose, &broken).await?;
            }
        }
    }

    async fn open(&self, purpose: &Purpose, repository: &Reference) -> Result<Session, OciError> {
        let start = self.transport.url(purpose, &format!("{}/blobs/uploads/", repository.repository()))?;
        let opened = self.transport.send_once(purpose, &[], |client| client.post(start.clone()).header(CONTENT_LENGTH, 0)).await?;
        let (url, ours) = self.transport.location(purpose, opened.headers())?;
        let least = opened.headers().get(MIN_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
        Ok(Session { url, ours, arrived: 0, piece: self.piece.max(least) })
    }

    async fn send_piece<F>(
        &self,
        purpose: &Purpose,
        session: &Session,
        size: u64,
        progress: &Progress,
        content: &impl Fn(Range<u64>) -> F,
    ) -> Result<Session, OciError>
    where
        F: Future<Output = Result<Body, OciError>>,
    {
        let Session { url, ours: _, arrived, piece } = session;
        let end = (arrived + piece).min(size);
        let request = self
            .transport
            .client(&purpose.host)
            .patch(url.clone())
            .header(CONTENT_RANGE, format!("{arrived}-{}", end - 1))
            .header(CONTENT_LENGTH, end - arrived)
            .body(content(*arrived..end).await?);
        let response = self.transfer(purpose, session, request, progress).await?;
        let next = self.session_of(purpose, session, response.headers(), end)?;
        if next.arrived <= *arrived || next.arrived > end {
            return Err(invalid(purpose, &format!("{} bytes after a piece that ends at {end}", next.arrived)));
        }
        Ok(next)
    }

    async fn close(&self, purpose: &Purpose, session: &Session, digest: &Digest) -> Result<(), OciError> {
        let request = self.transport.client(&purpose.host).put(closing(session, digest)).header(CONTENT_LENGTH, 0);
        self.transfer(purpose, session, request, &Progress::default()).await.map(drop)
    }

    /// How much of an upload has arrived. None: the registry does not know it any more.
    async fn standing(&self, purpose: &Purpose, session: &Session) -> Result<Option<Session>, OciError> {
        let gone = [StatusCode::NOT_FOUND, StatusCode::GONE, StatusCode::METHOD_NOT_ALLOWED];
        if !session.ours {
            return Ok(None);
        }
        let response = self.transport.send(purpose, &gone, |client| client.get(session.url.clone())).await?;
        if !response.status().is_success() {
            return Ok(None);
        }
        self.session_of(purpose, session, response.headers(), 0).map(Some)
    }

    /// What an answer says of its upload; `arrived` where it does not say how much there is.
    fn session_of(&self, purpose: &Purpose, before: &Session, headers: &HeaderMap, arrived: u64) -> Result<Session, OciError> {
        let (url, ours) = match headers.contains_key(reqwest::header::LOCATION) {
            true => self.transport.location(purpose, headers)?,
            false => (before.url.clone(), before.ours),
        };
        let arrived = match headers.get(RANGE).map(|range| range.to_str().unwrap_or_default()) {
            None => arrived,
            // An upload of nothing says `0-0`, as one of a single byte does: sending that byte again is refused, and asked about.
            Some("0-0") => 0,
            Some(range) => {
                let last = range.trim_start_matches("bytes=").strip_prefix("0-").and_then(|last| last.parse::<u64>().ok());
                last.ok_or_else(|| invalid(purpose, "a Range that cannot be understood"))?.saturating_add(1)
            }
        };
        Ok(Session { url, ours, arrived, piece: before.piece })
    }

    async fn transfer(
        &self,
        purpose: &Purpose,
        session: &Session,
        request: RequestBuilder,
        progress: &Progress,
    ) -> Result<Response, OciError> {
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        let request = if session.ours { self.transport.authorized(purpose, request) } else { request };
        let response = tokio::select! {
            response = request.send() => response.map_err(|error| failed(purpose, &error))?,
            () = stands_still(progress) => return Err(late(purpose, IDLE_LIMIT)),
        };
        self.transport.accept(purpose, &[], response).await
    }

    async fn wait_for_another_try(&self, error: OciError, tried: u32) -> Result<(), OciError> {
        if !error.transient() || tried >= self.transport.tries {
            return Err(error);
        }
        tracing::debug!(%error, tried, "upload failed; it is tried again");
        tokio::time::sleep(error.pause(tried)).await;
        Ok(())
    }

    /// Ends an upload that is not wanted. A registry that does not do so forgets it by itself after some days.
    pub(super) async fn abandon(&self, purpose: &Purpose, opened: &Response) {
        if let Ok((url, true)) = self.transport.location(purpose, opened.headers()) {
            let ended = self.transport.send(purpose, &[], |client| client.delete(url.clone())).await;
            tracing::debug!(ended = ended.is_ok(), "gave back an upload that was not needed");
        }
    }
}

fn closing(session: &Session, digest: &Digest) -> Url {
    let mut url = session.url.clone();
    url.query_pairs_mut().append_pair("digest", digest.as_str());
    url
}

/// What registries answer to a kind of request that they do not know.
fn takes_no_pieces(error: &OciError) -> bool {
    matches!(error.status(), Some(400 | 404 | 405 | 411 | 415 | 501))
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
