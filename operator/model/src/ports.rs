//! How is the outside world asked? The traits that `clients` implement and that a simulation replaces.

use crate::attest::Testimony;
use crate::call_error::CallError;
use crate::facts::{Attested, Published, ResolvedBase, Revision};
use crate::plan::Attestation;
use crate::wire::identity::Identity;
use crate::wire::source::Reference;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use windows_image::verify::Author;

/// The data of a Secret. Never printed.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// What opens a registry for a while.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
    /// How long from now on.
    pub lasts: Duration,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login(***, lasts {:?})", self.lasts)
    }
}

/// The clouds that trust ServiceAccounts.
pub trait Clouds: Send + Sync {
    /// The password that the identity's cloud gives for a token of its ServiceAccount.
    fn login<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, Result<Login, CallError>>;
}

/// A git server.
pub trait Git: Send + Sync {
    /// The commit to which a reference points now. Reads references only, downloads nothing.
    fn resolve<'a>(
        &'a self,
        url: &'a str,
        reference: &'a Reference,
        secret: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Revision, CallError>>;
}

/// A registry.
pub trait Registry: Send + Sync {
    /// The digest of an image reference.
    fn digest<'a>(&'a self, reference: &'a str, secret: Option<&'a SecretData>) -> BoxFuture<'a, Result<String, CallError>>;

    /// A base that can be built on. What cannot is told here, before anything is compiled for it.
    fn base<'a>(&'a self, reference: &'a str, secret: Option<&'a SecretData>) -> BoxFuture<'a, Result<ResolvedBase, CallError>>;

    /// The image under a tag, read back and checked as one that `author` wrote; `None` where there is none.
    fn published<'a>(
        &'a self,
        repository: &'a str,
        tag: &'a str,
        author: Author,
        secret: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Option<Published>, CallError>>;

    /// What the provenance of a digest tells: with the data of a Secret that holds a key, only what was signed with it.
    fn provenance<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a str,
        secret: Option<&'a SecretData>,
        key: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Vec<Testimony>, CallError>>;

    /// Points tags at a digest: a write, kept here because it is the same client with the same credentials.
    fn tag<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a str,
        tags: &'a [String],
        secret: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<(), CallError>>;

    /// Attaches to an image what is missing of provenance and, with the data of a Secret that holds a key, of signatures.
    fn attest<'a>(
        &'a self,
        repository: &'a str,
        attestation: &'a Attestation,
        secret: Option<&'a SecretData>,
        key: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Attested, CallError>>;
}
