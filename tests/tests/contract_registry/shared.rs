//! What do two images share whose programs differ in one line, and what does the second push send?
//!
//! Layers are what a node pulls and a registry keeps: all are shared but the program's. The configuration and the manifest, some kilobytes,
//! can never be the same, since they name that layer (and the commit).

use crate::laptop::{Built, Laptop, Machine, Origin};
use crate::server::{BASE, Door, Passed, RealRegistry};
use anyhow::{Context, Result, ensure};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

struct Manifest {
    config: String,
    /// Digest and size, lowest first.
    layers: Vec<(String, u64)>,
}

async fn manifest(door: &Door, repository: &str, built: &Built) -> Result<Manifest> {
    let digest = built.image["digest"].as_str().context("a digest")?;
    let url = format!("http://{}/v2/{repository}/manifests/{digest}", door.host);
    let accept = "application/vnd.oci.image.manifest.v1+json";
    let manifest: Value = serde_json::from_str(&reqwest::Client::new().get(url).header("accept", accept).send().await?.text().await?)?;
    let blob = |blob: &Value| Some((blob["digest"].as_str()?.to_owned(), blob["size"].as_u64()?));
    let layers = manifest["layers"].as_array().context("layers")?.iter().map(|layer| blob(layer).context("a layer"));
    Ok(Manifest { config: manifest["config"]["digest"].to_string(), layers: layers.collect::<Result<_>>()? })
}

/// Blobs that were sent: how many, and their bytes.
fn uploaded(passed: &[Passed]) -> (usize, u64) {
    let ends = passed.iter().filter(|request| request.method == Method::PUT && request.path.contains("/blobs/uploads/"));
    let bytes = passed.iter().filter(|request| request.path.contains("/blobs/uploads/")).map(|request| request.sent as u64).sum();
    (ends.count(), bytes)
}

fn mounted(passed: &[Passed]) -> usize {
    let mount = |request: &&Passed| request.path.contains("?mount=") && request.status == StatusCode::CREATED;
    passed.iter().filter(mount).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_differ_in_one_line_share_every_layer_but_one() -> Result<()> {
    let (registry, origin) = (RealRegistry::start().await?, Origin::new()?);
    let door = registry.door().await?;
    let machine = Machine { clone: "shop", clock: "2026-01-02 03:04:05", zone: "UTC", locale: "C", processors: 1, files_of: 1_000_000_000 };
    let laptop = Laptop::new(machine, &origin).await?;
    let folder = tempfile::tempdir()?;
    let declare = |name: &str| -> Result<String> {
        let file = folder.path().join(format!("{name}.yaml"));
        let image = json!({
            "repository": format!("{}/shared/{name}", door.host),
            "base": {"image": format!("{}/{BASE}", door.host)},
            "files": [{"from": "web", "to": "C:\\app\\web"}],
        });
        let spec = json!({"source": {"git": {"url": "https://git.example.com/shop.git"}}, "image": image});
        let object = json!({"apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "metadata": {"name": name}, "spec": spec});
        std::fs::write(&file, object.to_string())?;
        Ok(file.to_str().context("UTF-8")?.to_owned())
    };
    let build = async |name: &str| -> Result<(Built, Vec<Passed>)> {
        let (file, target) = (declare(name)?, format!("{}/shared/{name}", door.host));
        door.passed();
        let built = laptop.build(&["-f", &file, "--insecure-registry", &door.host, "--push", &target]).await?;
        Ok((built, door.passed()))
    };
    let (morning, passed) = build("morning").await?;
    let first = manifest(&door, "shared/morning", &morning).await?;
    ensure!(first.layers.len() == 4, "two of the base, one of files, the program's: {:?}", first.layers);
    // Two layers of our own, the configuration; the bill and the empty configuration of its artifact. The base is there already.
    ensure!((uploaded(&passed).0, mounted(&passed)) == (5, 2), "{passed:#?}");

    // Another day, another commit, one line of the program.
    origin.greet("Good evening.", 1_767_409_445)?;
    laptop.pull(&origin)?;
    let (evening, passed) = build("evening").await?;
    let second = manifest(&door, "shared/evening", &evening).await?;
    ensure!(first.layers[..3] == second.layers[..3], "the base's and the files': {:?} {:?}", first.layers, second.layers);
    ensure!(first.layers[3] != second.layers[3] && first.config != second.config && morning.image["digest"] != evening.image["digest"]);
    // A repository of its own: what is in another one is mounted, where we know of it.
    ensure!((uploaded(&passed).0, mounted(&passed)) == (5, 2), "{passed:#?}");

    // The same repository: only what differs travels.
    let (again, passed) = {
        let (file, target) = (declare("evening")?, format!("{}/shared/morning", door.host));
        door.passed();
        let built = laptop.build(&["-f", &file, "--insecure-registry", &door.host, "--push", &target]).await?;
        (built, door.passed())
    };
    ensure!(again.image["digest"] == evening.image["digest"], "where it goes is no input");
    let (blobs, bytes) = uploaded(&passed);
    ensure!((blobs, mounted(&passed)) == (3, 0), "the program's layer, the configuration, the bill: {passed:#?}");
    let (program, all) = (second.layers[3].1, second.layers.iter().map(|layer| layer.1).sum::<u64>());
    ensure!(bytes >= program && bytes < program + 16 * 1024, "{bytes} bytes were sent, where the program's layer has {program}");
    eprintln!("3 of 4 layers are shared; the second push sent {bytes} bytes, {program} of them the program's layer; all layers have {all}");

    // And once more: nothing does.
    door.passed();
    laptop
        .build(&["-f", &declare("evening")?, "--insecure-registry", &door.host, "--push", &format!("{}/shared/morning", door.host)])
        .await?;
    let passed = door.passed();
    ensure!(uploaded(&passed) == (0, 0) && mounted(&passed) == 0, "{passed:#?}");
    Ok(())
}
