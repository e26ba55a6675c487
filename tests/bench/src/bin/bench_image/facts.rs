//! What is in an image, and what would a node have to pull of it?

use std::io::Read;

use anyhow::{Context, Result};
use clap::Parser;
use gowindows_builder::verify::{VerifyArgs, verify};
use gowindows_tests::lab::windows_base::Base;
use serde_json::Value;
use windows_image::compression;
use windows_image::security::SecurityDescriptor;
use windows_image::verify::Rule;
use windows_image::verify::Verdict;

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Of an image for one release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Of what the tag names.
    pub digest: String,
    /// What a node that has the base pulls: manifest, configuration and the layers above the base.
    pub bytes: u64,
    /// Layers above the base.
    pub layers: usize,
    /// The topmost layer has `Files` and `Hives`.
    pub windows_layer: bool,
    /// `path: what its descriptor says` of the program and its folder.
    pub descriptors: Vec<String>,
    /// `PATH`, where the image sets it.
    pub path: Option<String>,
    /// The entrypoint, or the command where there is none.
    pub entrypoint: String,
    /// Of the configuration.
    pub os_version: Option<String>,
    /// The rules of `gowindows verify` that failed.
    pub failed: Vec<&'static str>,
    /// Those that warn.
    pub warned: Vec<&'static str>,
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    arguments: VerifyArgs,
}

struct Reader<'a> {
    http: reqwest::Client,
    registry: &'a str,
    repository: &'a str,
}

impl Reader<'_> {
    async fn get(&self, path: &str) -> Result<Vec<u8>> {
        let url = format!("http://{}/v2/{}/{path}", self.registry, self.repository);
        let answer = self.http.get(&url).header("Accept", ACCEPT).send().await?.error_for_status()?;
        Ok(answer.bytes().await?.into())
    }

    async fn json(&self, path: &str) -> Result<(Value, u64)> {
        let bytes = self.get(path).await?;
        Ok((serde_json::from_slice(&bytes).with_context(|| format!("{path} is no JSON"))?, bytes.len() as u64))
    }
}

/// Reads `registry/repository:tag`, an image on `base`.
pub async fn read(registry: &str, repository: &str, tag: &str, base: &Base) -> Result<Facts> {
    let reader = Reader { http: reqwest::Client::builder().no_proxy().build()?, registry, repository };
    let top = reader.get(&format!("manifests/{tag}")).await?;
    let digest = gowindows_tests::lab::windows_base::Blob::new("", top.clone()).digest;
    let (mut manifest, mut bytes) = (serde_json::from_slice::<Value>(&top)?, top.len() as u64);
    if let Some(children) = manifest["manifests"].as_array() {
        let child = children.iter().find(|child| child["platform"]["os.version"] == base.os_version.as_str()).or(children.first());
        let child = child.and_then(|child| child["digest"].as_str()).context("an index of nothing")?.to_owned();
        let (read, more) = reader.json(&format!("manifests/{child}")).await?;
        (manifest, bytes) = (read, bytes + more);
    }
    let config_digest = manifest["config"]["digest"].as_str().context("a manifest without a configuration")?;
    let (config, more) = reader.json(&format!("blobs/{config_digest}")).await?;
    let layers = manifest["layers"].as_array().context("a manifest without layers")?;
    let own = &layers[common(&config, base)?.min(layers.len())..];
    bytes += more + own.iter().filter_map(|layer| layer["size"].as_u64()).sum::<u64>();
    let entries = match own.last().and_then(|layer| Some((layer["mediaType"].as_str()?, layer["digest"].as_str()?))) {
        Some((media_type, digest)) => entries(media_type, &reader.get(&format!("blobs/{digest}")).await?)?,
        None => Vec::new(),
    };
    let has = |wanted: &str| entries.iter().any(|(path, _)| path == wanted);
    let execution = &config["config"];
    let words = |name: &str| execution[name].as_array().filter(|words| !words.is_empty()).cloned();
    let program = words("Entrypoint").or_else(|| words("Cmd")).unwrap_or_default();
    let (failed, warned) = rules(registry, &format!("{registry}/{repository}:{tag}")).await?;
    Ok(Facts {
        digest,
        bytes,
        layers: own.len(),
        windows_layer: has("Files") && has("Hives"),
        descriptors: entries.iter().filter_map(described).collect(),
        path: execution["Env"].as_array().into_iter().flatten().filter_map(Value::as_str).find_map(path_of),
        entrypoint: program.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        os_version: config["os.version"].as_str().map(str::to_owned),
        failed,
        warned,
    })
}

/// How many layers are the base's for containerd: it goes by what they unpack to.
fn common(config: &Value, base: &Base) -> Result<usize> {
    let theirs: Value = serde_json::from_slice(&base.config.bytes)?;
    let of = |config: &Value| config["rootfs"]["diff_ids"].as_array().cloned().unwrap_or_default();
    Ok(of(config).iter().zip(of(&theirs)).take_while(|(ours, theirs)| *ours == theirs).count())
}

fn path_of(variable: &str) -> Option<String> {
    variable.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("PATH")).map(|(_, value)| value.to_owned())
}

/// Path and descriptor of every entry.
fn entries(media_type: &str, layer: &[u8]) -> Result<Vec<(String, Option<Vec<u8>>)>> {
    let mut archive = tar::Archive::new(compression::reader(media_type, layer)?);
    let mut entries = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().trim_end_matches('/').to_owned();
        let mut descriptor = None;
        for record in entry.pax_extensions()?.into_iter().flatten() {
            let record = record?;
            if record.key_bytes() == b"MSWINDOWS.rawsd" {
                descriptor = Some(record.value_bytes().to_vec());
            }
        }
        std::io::copy(&mut entry.by_ref(), &mut std::io::sink())?;
        entries.push((path, descriptor));
    }
    Ok(entries)
}

fn described((path, descriptor): &(String, Option<Vec<u8>>)) -> Option<String> {
    let decoded = SecurityDescriptor::from_base64(descriptor.as_ref()?)?;
    let owner = decoded.owner.as_deref().unwrap_or("nobody");
    let list = match &decoded.dacl {
        None => "no DACL".to_owned(),
        Some(entries) => {
            let entry = |entry: &windows_image::security::Entry| {
                format!("{}{} {:#x}", if entry.allows { "" } else { "not " }, entry.sid, entry.mask)
            };
            entries.iter().map(entry).collect::<Vec<_>>().join(", ")
        }
    };
    Some(format!("`{path}`: owner {owner}; {list}"))
}

async fn rules(registry: &str, image: &str) -> Result<(Vec<&'static str>, Vec<&'static str>)> {
    let arguments = Arguments::try_parse_from(["verify", image, "--insecure-registry", registry])?.arguments;
    let verified = verify(&arguments).await?;
    let of = |verdict: Verdict| {
        let all = verified.platforms.iter().flat_map(|platform| &platform.findings);
        let mut rules: Vec<&'static str> = all.filter(|found| found.verdict == verdict).map(|found| Rule::id(found.rule)).collect();
        rules.dedup();
        rules
    };
    Ok((of(Verdict::Failed), of(Verdict::Warning)))
}
