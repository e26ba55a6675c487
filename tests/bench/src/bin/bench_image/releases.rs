//! What do six Windows releases cost beside one?

use anyhow::{Context, Result};

use gowindows_bench::{Results, Table, megabytes, seconds};

use crate::builders::{Runs, TAG, ours};
use crate::measure::cost;
use crate::stand::Stand;

const GOAL: f64 = 1.15;

/// Builds with warm caches, whole and without compiling, for one release and for six.
pub async fn measure(stand: &Stand, repeats: usize, results: &mut Results) -> Result<()> {
    let program = stand.storefront();
    let mut all = [(1, "ltsc2022"), (6, "six")].map(|(releases, tag)| (releases, tag, Runs::default(), Runs::default(), 0));
    for _ in 0..repeats {
        for (_, tag, whole, alone, bytes) in &mut all {
            let registry = stand.registry().await?;
            let host = registry.host.clone();
            let base = format!("{host}/windows/nanoserver:{tag}");
            let command = |name: &str| {
                let image = format!("{host}/{name}:{TAG}");
                ours(stand, &program.module, &program, &base, &image, &host)
            };
            whole.add(cost(command("whole"), false).await?);
            // The next one takes its place.
            drop(registry);
            let registry = stand.registry().await?;
            alone.add(stand.go.cost(command("alone")).await?);
            *bytes = stored(&registry.host, "alone").await?;
        }
    }
    results.heading("Six releases beside one (storefront, the compiler's cache warm)");
    let mut table = Table::new(["releases", "whole build", "without compiling", "peak memory", "bytes stored beside the bases"]);
    for (releases, _, whole, alone, bytes) in &all {
        let peak = megabytes(whole.peak.max(alone.peak));
        table.row([releases.to_string(), seconds(&whole.took), seconds(&alone.took), peak, megabytes(*bytes)]);
    }
    results.table(&table);
    let [(_, _, one, alone_one, bytes_one), (_, _, six, alone_six, bytes_six)] = &all;
    let ratio = six.median() / one.median().max(1e-9);
    results.goal("six releases beside one, whole build", "<= 1.15", format!("{ratio:.2}"), ratio <= GOAL);
    let ratio = alone_six.median() / alone_one.median().max(1e-9);
    results.goal("six releases beside one, without compiling", "(told)", format!("{ratio:.2}"), true);
    let ratio = *bytes_six as f64 / *bytes_one as f64;
    results.goal("six releases beside one, bytes stored", "<= 1.15", format!("{ratio:.3}"), ratio <= GOAL);
    Ok(())
}

/// Manifests, configurations and the layers that are no base's, each once.
async fn stored(host: &str, repository: &str) -> Result<u64> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let get = |path: String| {
        let request = http.get(format!("http://{host}/v2/{repository}/manifests/{path}"));
        async move {
            let accepted = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
            let bytes = request.header("Accept", accepted).send().await?.error_for_status()?.bytes().await?;
            anyhow::Ok((serde_json::from_slice::<serde_json::Value>(&bytes)?, bytes.len() as u64))
        }
    };
    let (top, mut bytes) = get(TAG.to_owned()).await?;
    let mut manifests = Vec::new();
    match top["manifests"].as_array() {
        None => manifests.push(top.clone()),
        Some(children) => {
            for child in children {
                let (manifest, size) = get(child["digest"].as_str().context("a digest")?.to_owned()).await?;
                bytes += size;
                manifests.push(manifest);
            }
        }
    }
    let mut layers = std::collections::BTreeMap::new();
    for manifest in &manifests {
        bytes += manifest["config"]["size"].as_u64().unwrap_or_default();
        let last = manifest["layers"].as_array().and_then(|layers| layers.last()).context("a layer")?;
        layers.insert(last["digest"].to_string(), last["size"].as_u64().unwrap_or_default());
    }
    Ok(bytes + layers.values().sum::<u64>())
}
