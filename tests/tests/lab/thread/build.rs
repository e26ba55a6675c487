//! `gowindows build` on this machine.

use super::journey::{object, service, storefront};
use anyhow::{Context, Result, ensure};
use gowindows_crds::v1alpha1::{GoWindowsImageStatus, ImageStatus};
use gowindows_tests::lab::git::Repository;
use gowindows_tests::lab::host;
use gowindows_tests::thread::{LIMIT, Stage, is_rolled_out, page, until};
use serde_json::Value;
use sha2::Digest as _;
use std::process::Command;
use std::sync::Arc;

pub async fn the_laptop_makes_the_same_digest(stage: Arc<Stage>) -> Result<()> {
    let (tenant, storefront) = storefront(&stage, "laptop").await?;
    // With files beside the program, some of them left out, and packed with zstd.
    let more = "    ports: [8080]\n    files: [{from: cmd, to: 'C:\\app\\files', ignore: ['*.go']}]\n    compression: {algorithm: zstd, level: 19}";
    let object = object(&tenant)?.replace("    ports: [8080]", more);
    tenant.kubectl.apply(&object).await?;
    let status = until(&stage.lab.client(), "laptop", "storefront", LIMIT, is_rolled_out).await?;
    let image = status.image.as_ref().context("an image")?;
    let answer = page(&service(&tenant).await?).await?;
    ensure!(answer.contains("windows/amd64"), "the Windows node runs it: {answer}");
    the_real_containerd_reads_it(&stage, image).await?;
    same_on_this_machine(&stage, &object, &storefront.repository, &status).await
}

/// containerd fetches, unpacks and checks (each layer against its diffID) the image of a Windows node on the lab's Linux node: what reads layers is
/// the same code on both.
async fn the_real_containerd_reads_it(stage: &Stage, image: &ImageStatus) -> Result<()> {
    let manifest = {
        let mut crane = Command::new(stage.lab.tool("crane")?);
        crane.args(["manifest", "--insecure", &image.reference]);
        serde_json::from_str::<Value>(&host::run_async(crane).await?)?
    };
    let layers = manifest["layers"].as_array().context("layers")?;
    let zstd = layers.iter().filter(|layer| layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd").count();
    ensure!((zstd, layers.len()) == (2, 4), "ours are zstd, the base's are as they were: {manifest}");
    let ctr = |arguments: &[&str]| {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(stage.lab.dir().join("containerd/containerd.sock")).args(["--namespace", "zstd"]).args(arguments);
        host::run_async(ctr)
    };
    ctr(&["images", "pull", "--plain-http", "--platform", "windows/amd64", &image.reference]).await.context("pull it")?;
    let folder = tempfile::tempdir()?;
    let mounted = folder.path().to_str().context("UTF-8")?;
    ctr(&["images", "mount", "--platform", "windows/amd64", &image.reference, mounted]).await.context("mount it")?;
    let program = std::fs::read(folder.path().join("Files/app/storefront.exe"));
    ctr(&["images", "unmount", "--rm", mounted]).await?;
    let (binary, program) = (image.binary.as_ref().context("the program")?, program.context("the program in it")?);
    let digest = hex::encode(sha2::Sha256::digest(&program));
    ensure!(digest == binary.sha256, "containerd unpacks {digest}, the status says {}", binary.sha256);
    Ok(())
}

/// A label: seconds, without a toolchain, and the same as a laptop makes that compiles it all.
pub async fn what_changes_the_image_alone_needs_no_compiler(stage: Arc<Stage>) -> Result<()> {
    let (tenant, storefront) = storefront(&stage, "labels").await?;
    let (object, client) = (object(&tenant)?, stage.lab.client());
    tenant.kubectl.apply(&object).await?;
    let first = until(&client, "labels", "storefront", LIMIT, is_rolled_out).await?;
    let labelled = object.replace("    labels:\n", "    labels:\n      team: bakery\n");
    ensure!(labelled != object, "the sample's labels were not found: {object}");
    tenant.kubectl.apply(&labelled).await?;
    let moved = |status: &GoWindowsImageStatus| {
        is_rolled_out(status) && status.image.as_ref().map(|i| &i.digest) != first.image.as_ref().map(|i| &i.digest)
    };
    let second = until(&client, "labels", "storefront", LIMIT, moved).await?;
    let build = second.build.as_ref().context("a build")?;
    let stages: Vec<&str> = build.stages.iter().map(|stage| stage.name.as_str()).collect();
    ensure!(stages == ["source", "assemble"] && build.attempt == 1, "{build:?}");
    let took = |status: &GoWindowsImageStatus| status.image.as_ref().and_then(|image| image.duration.clone()).unwrap_or_default();
    eprintln!("labels: from Job to digest {} with a compiler (its cache warm), {} without", took(&first), took(&second));
    same_on_this_machine(&stage, &labelled, &storefront.repository, &second).await
}

/// `gowindows build -f` of the same commit makes what the cluster made.
pub async fn same_on_this_machine(stage: &Stage, object: &str, repository: &Repository, status: &GoWindowsImageStatus) -> Result<()> {
    let image = status.image.as_ref().context("an image")?;
    let folder = tempfile::tempdir()?;
    let (clone, manifest) = (folder.path().join("clone"), folder.path().join("gwi.yaml"));
    std::fs::write(&manifest, object)?;
    let mut git = Command::new("git");
    let url = repository.url().replace("https://", "https://git:sesame@");
    let authority = folder.path().join("ca.crt");
    std::fs::write(&authority, stage.lab.git().authority())?;
    git.env("GIT_SSL_CAINFO", &authority).args(["clone", "--quiet", &url]).arg(&clone);
    host::run_async(git).await?;

    let mut build = Command::new(&stage.operator.program);
    build.arg("build").arg(&clone).arg("-f").arg(&manifest).arg("--config").arg(&stage.operator.settings.file).arg("--json");
    build.arg("--output").arg(folder.path().join("layout"));
    let printed: Value = serde_json::from_str(&host::run_async(build).await?).context("read --json")?;
    ensure!(printed["digest"] == image.digest.as_str(), "the laptop made {}, the cluster {}", printed["digest"], image.digest);
    let binary = image.binary.as_ref().context("the program")?;
    ensure!(printed["binary"]["sha256"] == binary.sha256.as_str(), "{} {binary:?}", printed["binary"]);
    Ok(())
}
