//! How do generated images get into a registry?

use anyhow::{Context, Result, bail};
use reqwest::{StatusCode, Url, header};

use super::Blob;

/// A repository that can be written, over plain HTTP and without credentials.
pub struct Repository {
    http: reqwest::Client,
    root: Url,
}

impl Repository {
    /// The repository `name` of `registry` (`host:port`).
    pub fn new(registry: &str, name: &str) -> Result<Self> {
        let root =
            Url::parse(&format!("http://{registry}/v2/{name}/")).with_context(|| format!("registry {registry:?} is not host:port"))?;
        Ok(Self { http: reqwest::Client::builder().no_proxy().build()?, root })
    }

    /// Uploads `blob` unless the repository has it.
    pub async fn push_blob(&self, blob: &Blob) -> Result<()> {
        let there = self.root.join(&format!("blobs/{}", blob.digest))?;
        if self.http.head(there).send().await?.status() == StatusCode::OK {
            return Ok(());
        }
        let start = self.root.join("blobs/uploads/")?;
        let started = self.http.post(start.clone()).send().await?.error_for_status()?;
        let location = started.headers().get(header::LOCATION).context("an upload without a Location")?.to_str()?;
        let mut upload = start.join(location)?;
        upload.query_pairs_mut().append_pair("digest", &blob.digest);
        let put = self.http.put(upload).header(header::CONTENT_TYPE, "application/octet-stream");
        put.body(blob.bytes.clone()).send().await?.error_for_status().context("upload a blob")?;
        Ok(())
    }

    /// Stores `manifest` under `reference`, a tag or its digest.
    pub async fn push_manifest(&self, reference: &str, manifest: &Blob) -> Result<()> {
        let url = self.root.join(&format!("manifests/{reference}"))?;
        let put = self.http.put(url.clone()).header(header::CONTENT_TYPE, manifest.media_type);
        let answer = put.body(manifest.bytes.clone()).send().await?;
        let status = answer.status();
        if !status.is_success() {
            bail!("{url} answered {status}: {}", answer.text().await.unwrap_or_default());
        }
        Ok(())
    }
}
