//! From where is content read that the settings say is mirrored?
//!
//! As containerd reads it with a `hosts.toml`: the mirror is asked first, for tags and for digests, and the registry itself where the
//! mirror fails in whatever way. Only bases and toolchains are read so: what was pushed is read back from where it was pushed to, or a
//! mirror would prove nothing. Names stay those of the registry itself.

use super::{OciError, Reference, Registry};

impl Registry {
    /// Reads through mirrors from now on, where the settings name some.
    #[must_use]
    pub fn through_mirrors(mut self) -> Self {
        self.mirrored = true;
        self
    }

    /// The places to read from, in order: the mirror, if there is one, and the registry itself.
    pub fn places(&self, reference: &Reference) -> Vec<Reference> {
        let mirror = self.transport.mirror(reference.registry()).filter(|_| self.mirrored);
        let there = mirror.map(|mirror| {
            let (host, folder) = mirror.split_once('/').unwrap_or((mirror, ""));
            let repository = [folder, reference.repository()].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/");
            match (reference.digest(), reference.tag()) {
                (Some(digest), _) => Reference::with_digest(host.into(), repository, digest.into()),
                (None, tag) => Reference::with_tag(host.into(), repository, tag.unwrap_or("latest").into()),
            }
        });
        there.into_iter().chain([reference.clone()]).collect()
    }

    /// The first answer that is one. Where none is, the error is that of the registry itself and tells of the mirror's.
    pub(super) async fn first_of<T, F>(&self, reference: &Reference, read: impl Fn(Reference) -> F) -> Result<T, OciError>
    where
        F: Future<Output = Result<T, OciError>>,
    {
        let mut before: Option<OciError> = None;
        for place in self.places(reference) {
            match read(place).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    if self.mirrored {
                        tracing::debug!(%error, "a place to read from failed");
                    }
                    before = Some(match before {
                        Some(mirror) => error.after_mirror(&mirror),
                        None => error,
                    });
                }
            }
        }
        Err(before.unwrap_or_else(|| OciError::local("read", "there is no place to read from")))
    }
}
