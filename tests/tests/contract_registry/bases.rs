//! What is built on where a tag moves under a build, or where the base's registry is only to be had through a mirror?

use crate::push::{compiled, run_step};
use crate::server::{BASE, RealRegistry};
use anyhow::{Context, Result, bail, ensure};
use gowindows_clients::oci::OciRegistry;
use gowindows_model::call_error::CallError;
use gowindows_model::ports::Registry as _;
use gowindows_model::settings::RegistrySettings;
use gowindows_model::wire::assemble::ReusedProgram;
use gowindows_model::wire::assemble::{AssembleOutcome, AssembleRequest, AssembleResult};
use serde_json::{Value, json};
use std::path::Path;
use windows_image::Assembly;

fn told(error: CallError) -> anyhow::Error {
    anyhow::anyhow!("{error:?}")
}

async fn built(compiled: &Path, repository: &str, assembly: Value, registries: &[RegistrySettings]) -> Result<AssembleResult> {
    match assembled(compiled, repository, assembly, registries, None).await? {
        AssembleOutcome::Succeeded(result) => Ok(result),
        AssembleOutcome::Failed { failure } => bail!("{failure:?}"),
    }
}

async fn assembled(
    compiled: &Path,
    repository: &str,
    assembly: Value,
    registries: &[RegistrySettings],
    reused_program: Option<ReusedProgram>,
) -> Result<AssembleOutcome> {
    let assembly: Assembly = serde_json::from_value(assembly)?;
    let (repository, registries, tag) = (repository.to_owned(), registries.to_vec(), "gw-1".to_owned());
    let (expected, absent_apis) = (None, Vec::new());
    let request = AssembleRequest {
        repository,
        tag,
        assembly,
        expected,
        reused_program,
        identity: None,
        registries,
        absent_apis,
        timeout_seconds: 300,
    };
    run_step(compiled, &request).await
}

/// What is not compiled again is taken from the image that has it, byte for byte, or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_taken_over_from_an_image_that_has_it() -> Result<()> {
    let (registry, compiled) = (RealRegistry::start().await?, compiled()?);
    let door = registry.door().await?;
    let (repository, registries) = (format!("{}/app", door.host), door.settings());
    for compression in ["gzip:6", "zstd:3"] {
        let assembly = |label: &str| json!({"bases": [format!("{}/{BASE}", door.host)], "labels": {"team": label}, "compression": compression, "epoch": 0});
        let first = built(compiled.path(), &repository, assembly("one"), &registries).await?;
        let known = ReusedProgram { image: first.reference.clone(), sha256: first.binary.sha256.clone() };
        let whole = built(compiled.path(), &repository, assembly("two"), &registries).await?;
        let (program, hidden) = (compiled.path().join("out/storefront.exe"), compiled.path().join("storefront.exe"));
        std::fs::rename(&program, &hidden)?;
        let taken = assembled(compiled.path(), &repository, assembly("two"), &registries, Some(known.clone())).await?;
        let AssembleOutcome::Succeeded(taken) = taken else { bail!("{taken:?}") };
        ensure!(taken.digest == whole.digest && taken.digest != first.digest, "{} {}", taken.digest, whole.digest);

        let another = ReusedProgram { sha256: "0".repeat(64), ..known.clone() };
        let nowhere = ReusedProgram { image: format!("{repository}@sha256:{}", "0".repeat(64)), ..known };
        for (known, says) in [(another, "sha256"), (nowhere, "not at the registry")] {
            match assembled(compiled.path(), &repository, assembly("three"), &registries, Some(known)).await? {
                AssembleOutcome::Failed { failure } => {
                    ensure!(failure.reason == "ProgramUnavailable" && failure.message.contains(says), "{failure:?}");
                }
                AssembleOutcome::Succeeded(result) => bail!("{result:?}"),
            }
        }
        std::fs::rename(&hidden, &program)?;
    }
    Ok(())
}

/// SP15.
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moves_under_a_build_does_not_move_the_build() -> Result<()> {
    let (registry, compiled) = (RealRegistry::start().await?, compiled()?);
    let door = registry.door().await?;
    let (client, reference) = (OciRegistry::new(door.settings()), format!("{}/{BASE}", door.host));
    let before = client.base(&reference, None).await.map_err(told)?;
    ensure!(before.os_versions == ["10.0.20348.5499"], "{before:?}");
    let moved = registry.publish("10.0.20348.6000").await?;
    let pinned = json!({"bases": [format!("{reference}@{}", before.digest)], "epoch": 0});
    let result = built(compiled.path(), &format!("{}/app", door.host), pinned, &door.settings()).await?;
    ensure!(result.platforms[0].os_version == "10.0.20348.5499", "{:?}", result.platforms);
    let after = client.base(&reference, None).await.map_err(told)?;
    ensure!((after.digest == moved, after.os_versions[0].as_str()) == (true, "10.0.20348.6000"), "{after:?}");
    Ok(())
}

/// The vendor's registry is out of reach; its images are in a folder of one that is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_base_behind_a_fence_is_read_through_its_mirror() -> Result<()> {
    let (registry, compiled) = (RealRegistry::start().await?, compiled()?);
    let door = registry.door().await?;
    let (folder, name) = BASE.split_once('/').context("a folder")?;
    let vendor = RegistrySettings { host: "vendor.invalid".into(), mirror: Some(format!("{}/{folder}", door.host)), ..Default::default() };
    let registries: Vec<RegistrySettings> = door.settings().into_iter().chain([vendor]).collect();
    let reference = format!("vendor.invalid/{name}");
    let base = OciRegistry::new(registries.clone()).base(&reference, None).await.map_err(told)?;
    let assembly = |base: String| json!({"bases": [base], "epoch": 0});
    let mirrored =
        built(compiled.path(), &format!("{}/app", door.host), assembly(format!("{reference}@{}", base.digest)), &registries).await?;
    let direct = built(compiled.path(), &format!("{}/direct", door.host), assembly(format!("{}/{BASE}", door.host)), &registries).await?;
    ensure!(mirrored.platforms[0].base_bytes == direct.platforms[0].base_bytes && mirrored.binary == direct.binary, "{mirrored:?}");
    ensure!(mirrored.digest != direct.digest, "the image names the base that was asked for, not where it was read");
    let absent = OciRegistry::new(registries).base("vendor.invalid/no/such:tag", None).await.err().context("there is none")?;
    ensure!(absent.message.contains("vendor.invalid") && absent.message.contains("its mirror was asked before"), "{absent:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_a_layer_of_their_own_that_a_new_program_leaves_alone() -> Result<()> {
    let (registry, compiled) = (RealRegistry::start().await?, compiled()?);
    let door = registry.door().await?;
    let assembly = json!({"bases": [format!("{}/{BASE}", door.host)], "files": [{"from": "web", "to": "C:\\app\\web"}], "epoch": 0});
    let first = built(compiled.path(), &format!("{}/app", door.host), assembly.clone(), &door.settings()).await?;
    ensure!(first.platforms[0].layers == 4, "two of the base and two of ours: {:?}", first.platforms);
    let program = compiled.path().join("out/storefront.exe");
    let mut changed = std::fs::read(&program)?;
    changed.push(0);
    std::fs::write(&program, changed)?;
    let second = built(compiled.path(), &format!("{}/app", door.host), assembly, &door.settings()).await?;
    ensure!(second.digest != first.digest, "another program is another image");
    let layers = async |digest: &str| -> Result<Vec<String>> {
        let url = format!("http://{}/v2/app/manifests/{digest}", door.host);
        let accept = "application/vnd.oci.image.manifest.v1+json";
        let manifest: Value = serde_json::from_str(&reqwest::Client::new().get(url).header("accept", accept).send().await?.text().await?)?;
        Ok(manifest["layers"].as_array().context("layers")?.iter().map(|layer| layer["digest"].to_string()).collect())
    };
    let (before, after) = (layers(&first.digest).await?, layers(&second.digest).await?);
    ensure!(before[..3] == after[..3] && before[3] != after[3], "every blob but one is shared: {before:?} {after:?}");
    Ok(())
}
