//! What the operator says of an image: found at the registry, or written there.
//!
//! Whoever may push can attach things, and move what this key has signed of one image under the tag of another. With a key, only provenance counts
//! that was signed with it and is of these inputs; without one, it is what its Job makes it, byte for byte, or whatever is there where the Job is
//! gone.

use super::{OciError, Reference, Registry, at_digest};
use crate::attest::{BUNDLE, Bundle, SigningKey};
use gowindows_crds::conditions::Reason;
use gowindows_model::attest::{Predicate, STATEMENT, Statement, Testimony};
use gowindows_model::call_error::CallError;
use gowindows_model::facts::Attested;
use gowindows_model::plan::Attestation;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use windows_image::Digest;
use windows_image::artifact::{Artifact, Referrer};
use windows_image::assemble::Blob;
use windows_image::manifest::{Descriptor, Document};
use windows_image::sbom;

/// Where a list of referrers says which statement a bundle holds, as cosign writes it.
const PREDICATE_OF_BUNDLE: &str = "dev.sigstore.bundle.predicateType";
const CONTENT_OF_BUNDLE: &str = "dev.sigstore.bundle.content";
/// The same for a statement that nobody signed, as BuildKit writes it.
const PREDICATE_OF_STATEMENT: &str = "in-toto.io/predicate-type";
/// The largest statement that is read: one of ours has some 5 KB.
const LARGEST: usize = 1024 * 1024;
/// Bundles of one kind that are looked at: strangers' ones must not keep us busy.
const MOST: usize = 32;

/// One digest that something is said of.
struct Subject<'a> {
    registry: &'a Registry,
    repository: &'a Reference,
    descriptor: Descriptor,
}

/// Attaches to the first digest, and to those of the others that are parts of it, what is missing. Nothing is written where all is there.
pub(super) async fn attest(
    registry: &Registry,
    repository: &Reference,
    attestation: &Attestation,
    key: Option<&SigningKey>,
) -> Result<Attested, CallError> {
    let mut attested = Attested::default();
    let mut parts = Vec::new();
    for (position, digest) in attestation.digests.iter().enumerate() {
        // Somebody saw the image being built; which parts it has is told by a status, and others can edit one.
        if position > 0 && !parts.contains(digest) {
            continue;
        }
        let digest: Digest = digest.parse().map_err(|error| OciError::local("attest the image", error))?;
        let found = registry.manifest(&at_digest(repository, &digest)).await?;
        let descriptor = Descriptor::new(&found.media_type, digest, found.bytes.len() as u64);
        let subject = Subject { registry, repository, descriptor };
        let of_this = subject.attest(attestation, key).await?;
        if position == 0 {
            (attested, parts) = (of_this, parts_of(&found.bytes)?);
        }
    }
    Ok(attested)
}

/// What the provenance of a digest tells: with a key what was signed with it, else whatever is attached.
pub(super) async fn testimonies(
    registry: &Registry,
    repository: &Reference,
    digest: &Digest,
    key: Option<&SigningKey>,
) -> Result<Vec<Testimony>, CallError> {
    // What it is an image of is not asked: only its digest is looked for.
    let subject = Subject { registry, repository, descriptor: Descriptor::new("", digest.clone(), 0) };
    let said = match key {
        Some(key) => subject.said(BUNDLE, PREDICATE_OF_BUNDLE, Predicate::Provenance, |bytes| Bundle::verify(bytes, key).ok()).await?,
        None => {
            let plain = |bytes: &[u8]| serde_json::from_slice(bytes).ok();
            subject.said(STATEMENT, PREDICATE_OF_STATEMENT, Predicate::Provenance, plain).await?
        }
    };
    Ok(said.iter().filter_map(|(_, statement)| Testimony::of(statement.predicate())).collect())
}

/// The digests that an index lists.
fn parts_of(document: &[u8]) -> Result<Vec<String>, OciError> {
    match Document::parse(document).map_err(|error| OciError::local("attest the image", error))? {
        Document::Manifest(_) => Ok(Vec::new()),
        Document::Index(index) => Ok(index.manifests.iter().map(|entry| entry.digest.to_string()).collect()),
    }
}

impl Subject<'_> {
    async fn attest(&self, attestation: &Attestation, key: Option<&SigningKey>) -> Result<Attested, CallError> {
        let bills = self.listed(sbom::MEDIA_TYPE).await?;
        let reported = attestation.sbom.as_deref();
        let bill = bills.iter().map(|bill| &bill.digest).min_by_key(|digest| (Some(digest.as_str()) != reported, *digest)).cloned();
        let provenance = match (key, &attestation.provenance) {
            (Some(key), written) => {
                let content = written.as_ref().map(|provenance| provenance.predicate(bill.as_ref()));
                let wanted = content.as_ref().and_then(Testimony::of);
                let published_in = format!("{}/{}", self.repository.registry(), self.repository.repository());
                // Where nobody can say more, what a version before has signed of these inputs is enough.
                let of_these = |told: Testimony| match &wanted {
                    Some(wanted) => told.agrees(wanted),
                    None => told.fingerprint == attestation.fingerprint && told.may_be_of(&published_in, &attestation.object),
                };
                let is_it = |statement: &Statement| Testimony::of(statement.predicate()).is_some_and(of_these);
                let signed = self.signed(Predicate::Provenance, content.clone(), is_it, key).await?;
                Some(signed.ok_or_else(|| self.not_witnessed())?)
            }
            (None, Some(provenance)) => Some(self.unsigned(provenance.predicate(bill.as_ref())).await?),
            (None, None) => {
                let listed = self.listed(STATEMENT).await?;
                let of_provenance = listed.iter().filter(|entry| is(entry, PREDICATE_OF_STATEMENT, Predicate::Provenance));
                of_provenance.map(|entry| &entry.digest).min().cloned()
            }
        };
        // Last: where it is there, everything is.
        let signature = match key {
            None => None,
            Some(key) => {
                let content = attestation.provenance.as_ref().map(|_| json!({}));
                let signature = self.signed(Predicate::Published, content, |_| true, key).await?;
                Some(signature.ok_or_else(|| self.not_witnessed())?)
            }
        };
        let text = |digest: Option<Digest>| digest.map(|digest| digest.to_string());
        Ok(Attested { sbom: text(bill), provenance: text(provenance), signature: text(signature) })
    }

    /// The first statement that this key has signed and that is wanted; otherwise one with this content, if there is any.
    async fn signed(
        &self,
        predicate: Predicate,
        content: Option<Value>,
        is_wanted: impl Fn(&Statement) -> bool,
        key: &SigningKey,
    ) -> Result<Option<Digest>, CallError> {
        let subject = &self.descriptor.digest;
        let said = self.said(BUNDLE, PREDICATE_OF_BUNDLE, predicate, |bytes| Bundle::verify(bytes, key).ok()).await?;
        if let Some((digest, _)) = said.into_iter().find(|(_, statement)| is_wanted(statement)) {
            return Ok(Some(digest));
        }
        let Some(content) = content else { return Ok(None) };
        let unusable =
            |error: crate::attest::InvalidKey| CallError { reason: Reason::SecretInvalid, message: format!("The Secret {error}.") };
        let bundle = Bundle::sign(&Statement::new(subject, predicate, content), key).map_err(unusable)?;
        let bytes = bundle.to_bytes().map_err(|error| OciError::local("write a bundle", error))?;
        let annotations = [(CONTENT_OF_BUNDLE, "dsse-envelope"), (PREDICATE_OF_BUNDLE, predicate.uri())];
        self.attach(BUNDLE, bytes, annotations).await.map(Some)
    }

    /// What is said of this digest, as far as it can be read, each with the digest of what says it. Those after the first few are not looked at.
    async fn said(
        &self,
        kind: &str,
        annotation: &str,
        predicate: Predicate,
        read: impl Fn(&[u8]) -> Option<Statement>,
    ) -> Result<Vec<(Digest, Statement)>, CallError> {
        let subject = &self.descriptor.digest;
        let mut said = Vec::new();
        for entry in self.listed(kind).await?.iter().filter(|entry| is(entry, annotation, predicate)).take(MOST) {
            match self.registry.attached(self.repository, entry, subject, LARGEST).await {
                Ok(bytes) => {
                    let statement = read(&bytes).filter(|statement| statement.says(subject, predicate));
                    said.extend(statement.map(|statement| (entry.digest.clone(), statement)));
                }
                // Somebody else's, or listed and gone.
                Err(OciError::Invalid { .. } | OciError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(said)
    }

    async fn unsigned(&self, content: Value) -> Result<Digest, CallError> {
        let statement = Statement::new(&self.descriptor.digest, Predicate::Provenance, content);
        let bytes = serde_json::to_vec(&statement).map_err(|error| OciError::local("write a statement", error))?;
        self.attach(STATEMENT, bytes, [(PREDICATE_OF_STATEMENT, Predicate::Provenance.uri())]).await
    }

    async fn attach<const N: usize>(
        &self,
        kind: &'static str,
        bytes: Vec<u8>,
        annotations: [(&str, &str); N],
    ) -> Result<Digest, CallError> {
        let annotations: BTreeMap<String, String> = annotations.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let content = Blob { media_type: kind, digest: Digest::of(&bytes), bytes };
        let artifact = Artifact::new(kind, &self.descriptor, content, annotations);
        let artifact = artifact.map_err(|error| OciError::local("write a manifest", error))?;
        self.registry.attach(self.repository, &artifact).await?;
        Ok(artifact.manifest.digest)
    }

    async fn listed(&self, kind: &str) -> Result<Vec<Referrer>, OciError> {
        self.registry.referrers(self.repository, &self.descriptor.digest, kind).await
    }

    fn not_witnessed(&self) -> CallError {
        let message = format!(
            "{} is not signed: no provenance that this key has signed says that it is of these inputs, and no build Job shows that this operator built it. The gowindows.dev/rebuild order builds and signs it.",
            self.descriptor.digest
        );
        CallError { reason: Reason::NotWitnessed, message }
    }
}

fn is(entry: &Referrer, annotation: &str, predicate: Predicate) -> bool {
    entry.annotations.get(annotation).is_some_and(|uri| uri == predicate.uri())
}
