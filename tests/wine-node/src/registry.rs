//! What does the registry hold under the reference that a pod names?
//!
//! Reads over plain HTTP and believes nothing: every answer is held against its digest before it is used.

use std::{io::Write, path::Path};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use reqwest::{StatusCode, header};
use sha2::{Digest, Sha256};

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// An image reference of a pod, split up: `host:port/path[:tag][@digest]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `host:port`.
    pub registry: String,
    /// The path without host, tag and digest.
    pub repository: String,
    /// A digest where the reference has one, else the tag, else `latest`.
    pub version: String,
}

impl Reference {
    /// Splits `image`. One without a registry's host is refused: this node knows no default registry.
    pub fn parse(image: &str) -> Result<Self> {
        let (registry, rest) = image
            .split_once('/')
            .filter(|(host, _)| host.contains(['.', ':']) || *host == "localhost")
            .with_context(|| format!("failed to pull and unpack image {image:?}: it names no registry, write host:port/path"))?;
        let (name, digest) = rest.split_once('@').map_or((rest, None), |(name, digest)| (name, Some(digest)));
        let (path, tag) = name.rsplit_once(':').map_or((name, None), |(path, tag)| (path, Some(tag)));
        let version = digest.or(tag).unwrap_or("latest");
        Ok(Self { registry: registry.into(), repository: path.into(), version: version.into() })
    }

    /// The same repository at `digest`: what a container status reports as its image id.
    pub fn at(&self, digest: &str) -> String {
        format!("{}/{}@{digest}", self.registry, self.repository)
    }
}

/// Reads one registry after the other.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    plain: bool,
}

impl Client {
    /// A client that speaks plain HTTP to every registry, or HTTPS.
    pub fn new(plain: bool) -> Result<Self> {
        Ok(Self { http: reqwest::Client::builder().no_proxy().build()?, plain })
    }

    /// The manifest or index at `version` (a tag or a digest) and its digest.
    pub async fn manifest(&self, reference: &Reference, version: &str) -> Result<(String, Vec<u8>)> {
        let answer = self.get(reference, "manifests", version).await?;
        let stated = answer.headers().get("docker-content-digest").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bytes = answer.bytes().await.context("read a manifest")?.to_vec();
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        let expected = if version.starts_with("sha256:") { Some(version.to_owned()) } else { stated };
        if expected.as_ref().is_some_and(|expected| *expected != digest) {
            bail!("the manifest {version} of {} has the digest {digest}, expected {expected:?}", reference.repository);
        }
        Ok((digest, bytes))
    }

    /// Downloads the blob `digest` to `path`, which appears only when it is whole and true.
    pub async fn blob(&self, reference: &Reference, digest: &str, path: &Path) -> Result<u64> {
        let folder = path.parent().with_context(|| format!("{} has no folder", path.display()))?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        let mut hash = Sha256::new();
        let mut size = 0;
        let mut stream = self.get(reference, "blobs", digest).await?.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.with_context(|| format!("read the blob {digest}"))?;
            hash.update(&chunk);
            size += chunk.len() as u64;
            file.write_all(&chunk)?;
        }
        let actual = format!("sha256:{}", hex::encode(hash.finalize()));
        if actual != digest {
            bail!("the blob {digest} of {} arrived as {actual}", reference.repository);
        }
        file.persist(path)?;
        Ok(size)
    }

    async fn get(&self, reference: &Reference, kind: &str, version: &str) -> Result<reqwest::Response> {
        let Reference { registry, repository, .. } = reference;
        let scheme = if self.plain { "http" } else { "https" };
        let url = format!("{scheme}://{registry}/v2/{repository}/{kind}/{version}");
        let answer = self.http.get(&url).header(header::ACCEPT, MANIFESTS).send().await;
        let answer = answer.with_context(|| format!("failed to do request: Get \"{url}\""))?;
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::NOT_FOUND => bail!("{registry}/{repository}:{version}: not found"),
            status => bail!("unexpected status from GET request to {url}: {status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_as_a_kubelet_splits_them() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (image, repository, version) in [
            ("10.0.0.1:5000/team/app:v1".to_owned(), "team/app", "v1"),
            ("10.0.0.1:5000/app".to_owned(), "app", "latest"),
            (format!("localhost/app@{digest}"), "app", digest.as_str()),
            (format!("registry.test/app:v1@{digest}"), "app", digest.as_str()),
        ] {
            let reference = Reference::parse(&image).unwrap();
            assert_eq!((reference.repository.as_str(), reference.version.as_str()), (repository, version), "{image}");
        }
        assert!(Reference::parse("nanoserver").is_err());
        assert!(Reference::parse("windows/nanoserver:ltsc2022").is_err());
    }
}
