//! Layers at a registry: they outlive a buildkitd, and Kaniko's pods.

use super::{GRON, made, namespace, object, of_step, tenant};
use anyhow::{Context, Result, ensure};
use gowindows_crds::v1alpha1::{BuildEngine, CacheStatus};
use gowindows_tests::lab::git::{Access, Repository};
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::thread::{Stage, Tenant};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A commit that touches no module.
const CHANGE: [(&str, &str); 1] = [("note.go", "package main\n")];

pub async fn a_pruned_buildkitd_downloads_no_module_again(stage: Arc<Stage>) -> Result<()> {
    let buildkitd = stage.lab.start_buildkitd("buildkitd-pruned", &Progress::stderr()).await?;
    let repository = gron(&stage, "pruned/gron").await?;
    let tenant = tenant(&stage, "pruned", BuildEngine::BuildKit, &buildkitd).await?;
    let mut object = object(&stage, &tenant, repository.url(), BuildEngine::BuildKit, &buildkitd.address());
    object["spec"]["go"]["package"] = json!(".");
    object["spec"]["image"]["pushSecretRef"] = json!({"name": "registry-auth"});
    object["spec"]["build"]["cache"] = json!({"registry": {"repository": format!("{}/pruned/cache", stage.lab.registry())}});
    let cache = format!("{}/v2/pruned/cache", stage.lab.registry());
    // A build that starts with nothing, and one that has the registry alone.
    tenant.kubectl.apply(&object.to_string()).await?;
    made(&stage, &tenant, "").await?;
    let first = of_download(&tenant).await?;
    ensure!(!was_taken_over(&cache, &first).await?, "{first:?}");
    let nothing = CacheStatus::default();
    ensure!(found(&tenant).await? == nothing, "{:?} was there before the first build", found(&tenant).await?);
    buildkitd.prune().await?;
    let commit = repository.commit_files(&CHANGE, "Change only source", "2026-01-05T03:04:05Z").await?;
    made(&stage, &tenant, &commit).await?;
    let second = of_download(&tenant).await?;
    ensure!(was_taken_over(&cache, &second).await?, "{second:?}");
    let CacheStatus { hit, bytes, since, .. } = found(&tenant).await?;
    eprintln!("pruned: {bytes} bytes of layers at the registry, since {since:?}");
    // The compressed standard library alone has more.
    ensure!(hit && bytes > 10_000_000 && since.is_some(), "{hit} {bytes} {since:?}");
    Ok(())
}

/// The second build finds the modules in the layer that the first has left at the registry, and leaves one of its own program. Compiled packages are
/// in the volume.
pub async fn kaniko_downloads_no_module_again(stage: Arc<Stage>) -> Result<()> {
    let repository = gron(&stage, "kept/gron").await?;
    let tenant = namespace(&stage, "kept", BuildEngine::Kaniko).await?;
    let mut object = object(&stage, &tenant, repository.url(), BuildEngine::Kaniko, "");
    object["spec"]["go"]["package"] = json!(".");
    object["spec"]["build"]["cache"]["registry"] = json!({"repository": format!("{}/kept/cache", stage.lab.registry())});
    let cache = format!("http://{}/v2/kept/cache", stage.lab.registry());
    tenant.kubectl.apply(&object.to_string()).await?;
    made(&stage, &tenant, "").await?;
    let first = kept_layers(&cache).await?;
    let modules: Vec<_> = first.iter().filter(|layer| layer.has_modules).collect();
    ensure!(first.len() == 2 && modules.len() == 1, "{first:?}");
    let commit = repository.commit_files(&CHANGE, "Change only source", "2026-01-05T03:04:05Z").await?;
    made(&stage, &tenant, &commit).await?;
    let second = kept_layers(&cache).await?;
    eprintln!("kept: {first:?}, then {second:?}");
    // A layer that is made anew has another time, and so another digest.
    ensure!(second.len() == 3 && first.iter().all(|layer| second.contains(layer)), "{first:?} {second:?}");
    Ok(())
}

/// A layer in Kaniko's cache.
#[derive(Debug, PartialEq)]
struct KeptLayer {
    tag: String,
    digest: String,
    has_modules: bool,
}

async fn kept_layers(cache: &str) -> Result<Vec<KeptLayer>> {
    let list = reqwest::get(format!("{cache}/tags/list")).await?.error_for_status()?.bytes().await?;
    let list: Value = serde_json::from_slice(&list)?;
    let mut layers = Vec::new();
    for tag in list["tags"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let answer = reqwest::get(format!("{cache}/manifests/{tag}")).await?.error_for_status()?;
        let digest = answer.headers().get("Docker-Content-Digest").context("a digest")?.to_str()?.to_owned();
        let manifest: Value = serde_json::from_slice(&answer.bytes().await?)?;
        let layer = manifest["layers"][0]["digest"].as_str().with_context(|| format!("a layer in {manifest}"))?;
        let blob = reqwest::get(format!("{cache}/blobs/{layer}")).await?.error_for_status()?.bytes().await?;
        layers.push(KeptLayer { tag: tag.to_owned(), digest, has_modules: has_modules(&blob)? });
    }
    Ok(layers)
}

/// A repository with the program that has modules.
async fn gron(stage: &Stage, name: &str) -> Result<Repository> {
    let module = stage.lab.toolchain().download(GRON).await?;
    let repository = stage.lab.git().create(name, Access::Public).await?;
    repository.commit_folder(&module, "Take it as it is", "2026-01-02T03:04:05Z").await?;
    Ok(repository)
}

/// What the newest build found in its cache.
async fn found(tenant: &Tenant) -> Result<CacheStatus> {
    let cache = tenant.kubectl.run(&["get", "gwi", "program", "--output", "jsonpath={.status.build.cache}"]).await?;
    serde_json::from_str(&cache).with_context(|| format!("status.build.cache is {cache:?}"))
}

async fn of_download(tenant: &Tenant) -> Result<Vec<String>> {
    of_step(tenant, r#"RUN ["go","mod","download"]"#).await
}

/// The step did not run: it was there, or a layer with modules was unpacked for it. Had it run, there would be those below it alone.
async fn was_taken_over(cache: &str, said: &[String]) -> Result<bool> {
    if said.iter().any(|line| line == "CACHED") {
        return Ok(true);
    }
    for layer in said.iter().filter_map(|line| line.strip_prefix("extracting ")?.split(' ').next()).collect::<BTreeSet<_>>() {
        let blob = reqwest::get(format!("http://{cache}/blobs/{layer}")).await?;
        // What the cache does not have is the toolchain's.
        if blob.status() != StatusCode::NOT_FOUND && has_modules(&blob.error_for_status()?.bytes().await?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_modules(layer: &[u8]) -> Result<bool> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer));
    for entry in archive.entries()? {
        if entry?.path()?.to_string_lossy().contains("/cache/download/github.com/") {
            return Ok(true);
        }
    }
    Ok(false)
}
