//! What does a registry hold, and how do images get into it?
//!
//! The OCI distribution protocol as far as Windows images need it. Everything that comes back is checked against its digest
//! and a limit of size before anything else looks at it (HR1, HR2). Layers of a base are never downloaded to be looked at:
//! they are found in place, mounted from a neighbouring repository, or streamed from one registry to another.

mod attest;
mod blobs;
mod client;
mod credentials;
mod error;
mod layout;
mod manifests;
mod mirror;
mod published;
mod reference;
mod referrers;
mod source;
mod token;
mod transport;
mod upload;

pub use blobs::Progress;
pub use client::OciRegistry;
pub use credentials::{Credential, Credentials};
pub use error::OciError;
pub use layout::Layout;
pub use manifests::{Fetched, Resolved};
pub use oci_spec::distribution::Reference;
pub use published::Published;
pub use reference::parse_reference;
pub use source::{BaseError, Bases, Source};

use gowindows_model::settings::RegistrySettings;
use std::sync::Arc;
use transport::{Connections, Purpose, Transport};

/// Access to all registries, each with its own settings and credential.
pub struct Registry {
    transport: Transport,
    /// Bases and toolchains are read through mirrors.
    mirrored: bool,
    /// Larger blobs are uploaded in pieces of so many bytes.
    piece: u64,
}

impl Registry {
    /// Prepares connections; nothing is contacted yet.
    ///
    /// # Errors
    /// [`OciError::Local`] when a registry's certificates cannot be read.
    pub fn new(registries: &[RegistrySettings], credentials: Credentials) -> Result<Self, OciError> {
        Ok(Self::over(Arc::new(Connections::new(registries)?), credentials))
    }

    /// Over connections that are kept.
    fn over(connections: Arc<Connections>, credentials: Credentials) -> Self {
        Self { transport: Transport::new(connections, credentials, 1), mirrored: false, piece: upload::PIECE }
    }

    /// Tries each call so often when the registry is unreachable or busy, waiting as it asks. The default is once, for callers
    /// that have a queue of their own.
    #[must_use]
    pub fn with_tries(mut self, tries: u32) -> Self {
        self.transport.tries = tries.max(1);
        self
    }

    /// Uploads larger blobs in pieces of so many bytes, in place of 32 MiB.
    #[must_use]
    pub fn with_pieces_of(mut self, bytes: u64) -> Self {
        self.piece = bytes.max(1);
        self
    }

    fn pull(reference: &Reference, attempt: String) -> Purpose {
        Purpose {
            host: reference.registry().into(),
            scopes: vec![format!("repository:{}:pull", reference.repository())],
            attempt,
            writes: false,
        }
    }

    fn push(repository: &Reference, attempt: String) -> Purpose {
        Purpose {
            host: repository.registry().into(),
            scopes: vec![format!("repository:{}:pull,push", repository.repository())],
            attempt,
            writes: true,
        }
    }
}

/// A reference to a digest in the repository of another reference.
pub fn at_digest(reference: &Reference, digest: &windows_image::Digest) -> Reference {
    Reference::with_digest(reference.registry().into(), reference.repository().into(), digest.to_string())
}

/// A reference to a tag in the repository of another reference.
pub fn at_tag(reference: &Reference, tag: &str) -> Reference {
    Reference::with_tag(reference.registry().into(), reference.repository().into(), tag.into())
}

#[cfg(test)]
mod mirror_tests;
#[cfg(test)]
mod tests;
