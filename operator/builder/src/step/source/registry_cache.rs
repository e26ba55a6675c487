//! What have earlier builds left in the cache at a registry?
//!
//! Its manifest alone is read, and nothing is written. What is found is for people. Whatever goes wrong here fails no build; what would be said
//! wrongly is not said.

use gowindows_clients::oci::{Credentials, OciError, Registry, parse_reference};
use gowindows_model::wire::source::{CacheFacts, RegistryCacheRequest};
use k8s_openapi::jiff::Timestamp;
use std::path::Path;
use std::time::Duration;
use windows_image::manifest::Document;

/// A slow registry delays no build.
const LIMIT: Duration = Duration::from_secs(5);
/// What BuildKit says of each layer of a cache (moby/buildkit `cache/remotecache/v1`).
const CREATED: &str = "buildkit/createdat";

/// What is in the cache; none where that cannot be said, as where the registry refuses the credentials.
pub async fn left(request: &RegistryCacheRequest, registry_config: Option<&Path>) -> Option<CacheFacts> {
    let read = tokio::time::timeout(LIMIT, read(request, registry_config));
    let found = read.await.unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs())));
    found.map_err(|why| super::say(&format!("warning: what is in the cache {} is not known: {why}", request.reference))).ok()
}

async fn read(request: &RegistryCacheRequest, registry_config: Option<&Path>) -> Result<CacheFacts, String> {
    let credentials = registry_config.map_or_else(|| Ok(Credentials::none()), Credentials::from_file)?;
    let told = |error: OciError| error.to_string();
    let registry = Registry::new(&request.registries, credentials).map_err(told)?;
    match registry.manifest(&parse_reference(&request.reference).map_err(told)?).await {
        Ok(manifest) => facts(&manifest.bytes).map_err(|error| error.to_string()),
        Err(OciError::NotFound { .. }) => Ok(CacheFacts::default()),
        Err(error) => Err(told(error)),
    }
}

fn facts(manifest: &[u8]) -> serde_json::Result<CacheFacts> {
    let layers = match Document::parse(manifest)? {
        Document::Manifest(manifest) => manifest.layers,
        // Of a BuildKit that is told to write no image: its layers, as if they were images.
        Document::Index(index) => index.manifests,
    };
    let written = layers.iter().filter_map(|layer| layer.annotations.get(CREATED)?.parse::<Timestamp>().ok());
    Ok(CacheFacts {
        hit: !layers.is_empty(),
        bytes: layers.iter().fold(0, |all, layer| all.saturating_add(layer.size)),
        since: written.min().map(Timestamp::as_second),
        at_least: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn layer(size: u64, created: Option<&str>) -> Value {
        let annotations = created.map_or(json!(null), |created| json!({"buildkit/createdat": created}));
        json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": DIGEST, "size": size, "annotations": annotations})
    }

    fn of(list: &str, layers: &[Value]) -> CacheFacts {
        let config = json!({"mediaType": "application/vnd.buildkit.cacheconfig.v0", "digest": DIGEST, "size": 3395});
        let document = json!({"schemaVersion": 2, "config": config, list: layers});
        facts(document.to_string().as_bytes()).expect("a manifest")
    }

    #[test]
    fn layers_are_counted_and_the_oldest_is_named() {
        let layers = [
            layer(22_490_058, Some("2026-11-29T19:01:15.268275955Z")),
            layer(93_914_189, Some("2026-11-29T19:00:38.580227455Z")),
            layer(115, None),
            layer(879, Some("yesterday")),
        ];
        let expected = CacheFacts { hit: true, bytes: 116_405_241, since: Some(1_795_978_838), at_least: false };
        assert_eq!((of("layers", &layers), of("manifests", &layers)), (expected.clone(), expected));
    }

    #[test]
    fn nothing_was_left_in_a_cache_without_layers() {
        assert_eq!(of("layers", &[]), CacheFacts::default());
        assert_eq!(of("layers", &[layer(u64::MAX, None), layer(1, None)]).bytes, u64::MAX);
        assert!(facts(b"<html>").is_err());
    }

    #[tokio::test]
    async fn what_is_not_known_is_not_said() {
        let request = |reference: &str| RegistryCacheRequest { reference: reference.into(), registries: Vec::new() };
        assert_eq!(left(&request("127.0.0.1:1/cache:a"), None).await, None, "nobody answers");
        assert_eq!(left(&request("127.0.0.1:1/Cache:a"), None).await, None, "there is no such reference");
        assert_eq!(left(&request("127.0.0.1:1/cache:a"), Some(Path::new("/nowhere/config.json"))).await, None, "no credentials");
    }
}
