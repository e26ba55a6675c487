//! How does the controller ask registries? With the data of a Secret, and failures as data.

use super::source::{BaseError, Source};
use super::transport::Connections;
use super::{Credentials, OciError, Registry, at_digest, at_tag, parse_reference};
use crate::attest::{Keys, SigningKey};
use futures::FutureExt;
use futures::future::BoxFuture;
use gowindows_crds::conditions::Reason;
use gowindows_model::attest::Testimony;
use gowindows_model::call_error::CallError;
use gowindows_model::facts::{Attested, Published, ResolvedBase};
use gowindows_model::plan::Attestation;
use gowindows_model::ports::SecretData;
use gowindows_model::settings::RegistrySettings;
use std::sync::{Arc, OnceLock};
use windows_image::Digest;
use windows_image::verify::Author;

/// The key of a `kubernetes.io/dockerconfigjson` Secret.
const DOCKER_CONFIG: &str = ".dockerconfigjson";

/// Every registry, each with its own settings and, per call, the credentials of one Secret.
pub struct OciRegistry {
    registries: Vec<RegistrySettings>,
    /// Made when the first question is asked, and kept.
    connections: OnceLock<Arc<Connections>>,
    keys: Keys,
}

impl OciRegistry {
    /// With the operator's settings of registries.
    pub fn new(registries: Vec<RegistrySettings>) -> Self {
        Self { registries, connections: OnceLock::new(), keys: Keys::default() }
    }

    fn connections(&self) -> Result<Arc<Connections>, OciError> {
        if let Some(kept) = self.connections.get() {
            return Ok(kept.clone());
        }
        let made = Arc::new(Connections::new(&self.registries)?);
        Ok(self.connections.get_or_init(|| made).clone())
    }

    async fn key(&self, data: Option<&SecretData>) -> Result<Option<Arc<SigningKey>>, CallError> {
        let Some(data) = data else { return Ok(None) };
        let invalid = |what| CallError { reason: Reason::SecretInvalid, message: format!("The Secret of signing.keySecretRef {what}.") };
        self.keys.open(data).await.map(Some).map_err(invalid)
    }

    fn open(&self, secret: Option<&SecretData>) -> Result<Registry, CallError> {
        // Whose Secret it is stands before these words.
        let invalid = |message| CallError { reason: Reason::SecretInvalid, message };
        let credentials = match secret {
            None => Credentials::none(),
            Some(data) => {
                let config = data
                    .get(DOCKER_CONFIG)
                    .ok_or_else(|| invalid(format!("it has no key {DOCKER_CONFIG}; it must be of type kubernetes.io/dockerconfigjson.")))?;
                Credentials::from_docker_config(config).map_err(|problem| invalid(format!("it cannot be used: {problem}.")))?
            }
        };
        Ok(Registry::over(self.connections()?, credentials))
    }
}

impl gowindows_model::ports::Registry for OciRegistry {
    fn digest<'a>(&'a self, reference: &'a str, secret: Option<&'a SecretData>) -> BoxFuture<'a, Result<String, CallError>> {
        async move {
            let image = parse_reference(reference)?;
            let found = self.open(secret)?.through_mirrors().resolve(&image).await;
            // Whatever is wrong with it, it is the base (or the toolchain) that cannot be had.
            Ok(found.map_err(|error| CallError { reason: Reason::BaseUnavailable, ..CallError::from(error) })?.digest.to_string())
        }
        .boxed()
    }

    fn base<'a>(&'a self, reference: &'a str, secret: Option<&'a SecretData>) -> BoxFuture<'a, Result<ResolvedBase, CallError>> {
        async move {
            let (image, registry) = (parse_reference(reference)?, self.open(secret)?.through_mirrors());
            let digest = registry.resolve(&image).await.map_err(|error| not_a_base(error.into()))?.digest;
            let found = Source::Registry(&registry, at_digest(&image, &digest)).bases(reference, &[]).await;
            let bases = found.map_err(not_a_base)?.bases;
            Ok(ResolvedBase { digest: digest.to_string(), os_versions: bases.into_iter().map(|base| base.os_version).collect() })
        }
        .boxed()
    }

    fn published<'a>(
        &'a self,
        repository: &'a str,
        tag: &'a str,
        author: Author,
        secret: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Option<Published>, CallError>> {
        async move {
            let reference = at_tag(&parse_reference(repository)?, tag);
            let found = self.open(secret)?.published(&reference, author, &[]).await?;
            Ok(found.map(|found| Published { violations: found.complaint().into_iter().collect(), image: found.status }))
        }
        .boxed()
    }

    fn provenance<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a str,
        secret: Option<&'a SecretData>,
        key: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Vec<Testimony>, CallError>> {
        async move {
            let (repository, registry, digest) = (parse_reference(repository)?, self.open(secret)?, parse_digest(digest)?);
            let key = self.key(key).await?;
            super::attest::testimonies(&registry, &repository, &digest, key.as_deref()).await
        }
        .boxed()
    }

    fn tag<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a str,
        tags: &'a [String],
        secret: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<(), CallError>> {
        async move {
            let (repository, registry, digest) = (parse_reference(repository)?, self.open(secret)?, parse_digest(digest)?);
            let image = at_digest(&repository, &digest);
            for tag in tags {
                registry.tag(&image, &digest, tag).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn attest<'a>(
        &'a self,
        repository: &'a str,
        attestation: &'a Attestation,
        secret: Option<&'a SecretData>,
        key: Option<&'a SecretData>,
    ) -> BoxFuture<'a, Result<Attested, CallError>> {
        async move {
            let (repository, registry) = (parse_reference(repository)?, self.open(secret)?);
            let key = self.key(key).await?;
            super::attest::attest(&registry, &repository, attestation, key.as_deref()).await
        }
        .boxed()
    }
}

fn parse_digest(digest: &str) -> Result<Digest, CallError> {
    digest.parse().map_err(|_| CallError { reason: Reason::RegistryInvalid, message: format!("{digest:?} is not a digest.") })
}

fn not_a_base(error: BaseError) -> CallError {
    let reason = match &error {
        BaseError::Read(_) => Reason::BaseUnavailable,
        BaseError::Invalid(_) => Reason::BaseInvalid,
    };
    CallError { reason, message: format!("image.base: {}.", error.to_string().trim_end_matches('.')) }
}

impl From<OciError> for CallError {
    fn from(error: OciError) -> Self {
        Self { reason: error.reason(), message: format!("{}.", error.to_string().trim_end_matches('.')) }
    }
}
