//! What is attached to an image is found again, at registries that list referrers and at those that do not.

use crate::server::{BASE, Door, Fault, How, RealRegistry};
use anyhow::{Context, Result, ensure};
use axum::http::StatusCode;
use futures::future::join_all;
use gowindows_clients::oci::{Credentials, OciError, Reference, Registry, at_digest, parse_reference};
use std::collections::BTreeMap;
use windows_image::Digest;
use windows_image::artifact::{Artifact, fallback_tag};
use windows_image::assemble::Blob;
use windows_image::manifest::Descriptor;

const SBOM: &str = "application/spdx+json";
const NOTE: &str = "application/vnd.example.note";

fn client(door: &Door) -> Result<(Registry, Reference)> {
    let registry = Registry::new(&door.settings(), Credentials::none())?;
    Ok((registry, parse_reference(&format!("{}/{BASE}", door.host))?))
}

/// The image that things are attached to.
async fn subject(registry: &Registry, image: &Reference) -> Result<Descriptor> {
    let found = registry.manifest(image).await?;
    Ok(Descriptor::new(&found.media_type, found.digest, found.bytes.len() as u64))
}

fn artifact(kind: &'static str, subject: &Descriptor, text: &str) -> Result<Artifact> {
    let bytes = text.as_bytes().to_vec();
    let content = Blob { media_type: kind, digest: Digest::of(&bytes), bytes };
    let annotations = BTreeMap::from([("org.example.text".to_owned(), text.to_owned())]);
    Ok(Artifact::new(kind, subject, content, annotations)?)
}

/// Attaches, lists and reads; gives what stands under the fallback's tag in the end.
async fn attach_and_list(real: &RealRegistry) -> Result<Option<usize>> {
    let door = real.door().await?;
    let (registry, image) = client(&door)?;
    let subject = subject(&registry, &image).await?;
    ensure!(registry.referrers(&image, &subject.digest, SBOM).await?.is_empty(), "nothing is attached yet");
    let attached = [artifact(SBOM, &subject, "one")?, artifact(SBOM, &subject, "two")?, artifact(NOTE, &subject, "three")?];
    // Each a second time: it is there, so nothing more comes of it.
    for artifact in attached.iter().chain(&attached) {
        registry.attach(&image, artifact).await?;
    }
    let sboms = registry.referrers(&image, &subject.digest, SBOM).await?;
    let mut found: Vec<_> = sboms.iter().map(|listed| listed.digest.clone()).collect();
    found.sort();
    let mut expected: Vec<_> = attached[..2].iter().map(|artifact| artifact.manifest.digest.clone()).collect();
    expected.sort();
    ensure!(found == expected, "each once, and none of another type: {sboms:?}");
    let one = sboms.iter().find(|listed| listed.digest == attached[0].manifest.digest).context("the first")?;
    ensure!(*one == attached[0].entry, "annotations and size too: {one:?}");
    ensure!(registry.attached(&image, one, &subject.digest, 100).await? == b"one");
    let other = registry.attached(&image, one, &Digest::of(b"another image"), 100).await;
    ensure!(matches!(other, Err(OciError::Invalid { .. })), "it is about this image and no other: {other:?}");
    let again = registry.manifest(&image).await?;
    ensure!(again.digest == subject.digest, "the image is what it was");

    let tag = fallback_tag(&subject.digest);
    if door.status_behind("windows/nanoserver", &tag).await? == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    let index = registry.manifest(&parse_reference(&format!("{}/windows/nanoserver:{tag}", door.host))?).await?;
    let index: serde_json::Value = serde_json::from_slice(&index.bytes)?;
    Ok(Some(index["manifests"].as_array().context("entries")?.len()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_the_api_keeps_the_list_under_a_tag() -> Result<()> {
    let listed = attach_and_list(&RealRegistry::start().await?).await?;
    ensure!(listed == Some(3), "{listed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_with_the_api_needs_no_tag() -> Result<()> {
    for unfiltered in [false, true] {
        let listed = attach_and_list(&RealRegistry::start_listing(unfiltered).await?).await?;
        ensure!(listed.is_none(), "unfiltered {unfiltered}: {listed:?}");
    }
    Ok(())
}

/// Many writers, each to be listed. A writer whose entry was lost to another one finds that out and writes it again; what it cannot
/// see is a loss after that, so each writer looks once more, as the controller does at its next pass.
#[tokio::test(flavor = "multi_thread")]
async fn writers_of_one_list_do_not_lose_each_other_for_good() -> Result<()> {
    let real = RealRegistry::start().await?;
    let door = real.door().await?;
    let (registry, image) = client(&door)?;
    let subject = subject(&registry, &image).await?;
    let artifacts = (0..6).map(|number| artifact(SBOM, &subject, &format!("number {number}"))).collect::<Result<Vec<_>>>()?;
    // Somebody who is overtaken five times in a row is told so, and tries again later.
    join_all(artifacts.iter().map(|artifact| registry.attach(&image, artifact))).await;
    for artifact in &artifacts {
        registry.attach(&image, artifact).await?;
    }
    let listed = registry.referrers(&image, &subject.digest, SBOM).await?;
    ensure!(listed.len() == artifacts.len(), "{} of {} are listed", listed.len(), artifacts.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_had_is_told_and_nothing_is_taken_for_attached() -> Result<()> {
    let real = RealRegistry::start().await?;
    let door = real.door().await?;
    let (registry, image) = client(&door)?;
    let subject = subject(&registry, &image).await?;
    let artifact = artifact(SBOM, &subject, "x")?;
    let broken = [
        ("GET", "/referrers/", How::Status(503, ""), "may pass by itself"),
        ("GET", "/referrers/", How::Status(403, ""), "HTTP 403"),
        ("GET", "/manifests/sha256-", How::Portal, "not an index"),
        ("PUT", "/manifests/sha256:", How::Status(403, ""), "write manifest"),
        ("PUT", "/manifests/sha256-", How::Status(403, ""), "sha256-"),
        // Taken and forgotten.
        ("PUT", "/manifests/sha256-", How::Swallowed, "does somebody else write that tag?"),
    ];
    for (method, path, how, says) in broken {
        door.set(Some(Fault { method, path, after: 0, how }));
        let error = registry.attach(&image, &artifact).await.err().with_context(|| format!("{how:?} of {path} is a failure"))?;
        ensure!(error.to_string().contains(says), "{says:?} is not in: {error}");
        door.set(None);
        ensure!(registry.referrers(&image, &subject.digest, SBOM).await?.is_empty(), "{how:?} of {path} attaches nothing");
    }
    registry.attach(&image, &artifact).await?;
    let listed = registry.referrers(&image, &subject.digest, SBOM).await?;
    ensure!(listed == std::slice::from_ref(&artifact.entry));
    ensure!(registry.manifest(&at_digest(&image, &listed[0].digest)).await?.bytes == artifact.manifest.bytes);
    Ok(())
}
