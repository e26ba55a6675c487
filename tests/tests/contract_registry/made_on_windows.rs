//! Images as a buildkitd on Windows would push them, where a command of the last stage has left a layer that Windows itself has written. Made by
//! hand: nothing here is Windows.

use crate::push::{ENOUGH, TAG, compiled, program, request, run_step_on};
use crate::server::{Door, OS_VERSION, RealRegistry};
use anyhow::{Context, Result, bail, ensure};
use axum::http::StatusCode;
use gowindows_model::wire::assemble::{AssembleFailure, AssembleOutcome};
use gowindows_tests::lab::windows_base::{Base, Blob, Flavor, Repository, WindowsLayer};
use serde_json::{Value, json};

/// What `RUN` leaves: files of Windows, and what changed of its registry.
fn of_a_command() -> Result<(Blob, String)> {
    let mut layer = WindowsLayer::new();
    for folder in ["Files", "Files/Windows", "Files/Windows/System32"] {
        layer.directory(folder)?;
    }
    layer.content("Files/Windows/System32/shop.ini", b"[mode]")?;
    layer.directory("Hives")?;
    layer.content("Hives/Software_Delta", b"regf")?;
    layer.finish()
}

fn of_a_copy(file: &str) -> Result<(Blob, String)> {
    let mut layer = WindowsLayer::new();
    for folder in ["Files", "Files/app", "Hives"] {
        layer.directory(folder)?;
    }
    layer.content(file, &program())?;
    layer.finish()
}

/// Pushes the base with these layers on it and says its digest.
async fn push(door: &Door, name: &str, layers: Vec<(Blob, String)>) -> Result<String> {
    let mut image = Base::generate(Flavor::Nanoserver, OS_VERSION, 4096)?;
    for (layer, diff_id) in layers {
        image = image.with_layer(layer, &diff_id, &[])?;
    }
    let mut config: Value = serde_json::from_slice(&image.config.bytes)?;
    config["config"]["Entrypoint"] = json!(["C:\\app\\shop.exe"]);
    config["config"]["Cmd"] = Value::Null;
    let config = Blob::new(image.config.media_type, serde_json::to_vec(&config)?);
    let mut manifest: Value = serde_json::from_slice(&image.manifest.bytes)?;
    manifest["config"]["digest"] = json!(config.digest);
    manifest["config"]["size"] = json!(config.bytes.len());
    let manifest = Blob::new(image.manifest.media_type, serde_json::to_vec(&manifest)?);
    let repository = Repository::new(&door.host, name)?;
    for blob in image.layers.iter().chain([&config]) {
        repository.push_blob(blob).await?;
    }
    repository.push_manifest(&manifest.digest, &manifest).await?;
    Ok(manifest.digest)
}

/// What the step makes of an image that was pushed.
async fn outcome(door: &Door, name: &str, digest: &str, further: &[&str]) -> Result<AssembleOutcome> {
    let compiled = compiled()?;
    let metadata = compiled.path().join("out/metadata.json");
    std::fs::write(&metadata, json!({"containerimage.digest": digest}).to_string())?;
    let pushed = ["--pushed", metadata.to_str().context("a path in UTF-8")?];
    run_step_on(compiled.path(), &request(door, name, ENOUGH)?, &[&pushed, further].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_of_commands_are_taken_from_windows_alone() -> Result<()> {
    let registry = RealRegistry::start().await?;
    let door = registry.door().await?;
    let orders = [
        ("before/app", vec![of_a_command()?, of_a_copy("Files/app/shop.exe")?]),
        ("after/app", vec![of_a_copy("Files/app/shop.exe")?, of_a_command()?]),
    ];
    for (name, layers) in orders {
        let digest = push(&door, name, layers).await?;
        let AssembleOutcome::Failed { failure } = outcome(&door, name, &digest, &[]).await? else {
            bail!("{name}: Linux makes no such image")
        };
        let AssembleFailure { reason, message, .. } = &failure;
        ensure!(reason == "DockerfileInvalid" && message.contains("2 layers on the base"), "{name}: {failure:?}");
        ensure!(door.status_behind(name, TAG).await? == StatusCode::NOT_FOUND, "{name} has a tag");
        match outcome(&door, name, &digest, &["--made-on-windows"]).await? {
            AssembleOutcome::Succeeded(result) => {
                ensure!(result.digest == digest && result.binary.name == "shop.exe", "{result:?}");
            }
            AssembleOutcome::Failed { failure } => bail!("{name}: {failure:?}"),
        }
        ensure!(door.status_behind(name, TAG).await? == StatusCode::OK, "{name} has no tag");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_has_to_be_in_one_of_them() -> Result<()> {
    let registry = RealRegistry::start().await?;
    let door = registry.door().await?;
    for layers in [vec![], vec![of_a_copy("Files/app/till.exe")?, of_a_command()?]] {
        let digest = push(&door, "without/app", layers).await?;
        let AssembleOutcome::Failed { failure } = outcome(&door, "without/app", &digest, &["--made-on-windows"]).await? else {
            bail!("nothing would be started")
        };
        let AssembleFailure { reason, message, .. } = &failure;
        ensure!(
            reason == "DockerfileInvalid" && (message.contains("Files/app/shop.exe") || message.contains("no layer on its base")),
            "{failure:?}"
        );
    }
    Ok(())
}
