//! What does a builder put on the base?

use anyhow::{Result, bail, ensure};
use gowindows_clients::oci::{Credentials, Registry, Source};
use gowindows_model::settings::RegistrySettings;
use gowindows_tests::peers::workshop::Workshop;
use std::io::Read;
use tempfile::NamedTempFile;
use windows_image::compression;

/// A GoWindowsImage with files beside the program.
pub fn declaration() -> Result<NamedTempFile> {
    let object = serde_json::json!({
        "apiVersion": "gowindows.dev/v1alpha1",
        "kind": "GoWindowsImage",
        "metadata": {"name": "hello"},
        "spec": {
            "source": {"git": {"url": "https://git.example.com/hello.git"}},
            "image": {"repository": "registry.example.com/hello", "files": [{"from": "web", "to": "C:\\app\\web"}]},
        },
    });
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), object.to_string())?;
    Ok(file)
}

/// The tar of each layer over the base's, lowest first.
pub async fn layers(workshop: &Workshop, image: &str) -> Result<Vec<Vec<u8>>> {
    let settings = RegistrySettings { host: workshop.registry.host.clone(), plain_http: true, ..RegistrySettings::default() };
    let registry = Registry::new(&[settings], Credentials::none())?;
    let source = Source::parse(&registry, image)?;
    let (_, images) = source.image().await?;
    let [image] = &images[..] else { bail!("{} images", images.len()) };
    let mut layers = Vec::new();
    for layer in
        image.manifest.layers.iter().filter(|layer| !workshop.base.layers.iter().any(|below| below.digest == layer.digest.as_str()))
    {
        let mut tar = Vec::new();
        compression::reader(&layer.media_type, source.layer(layer).await?)?.read_to_end(&mut tar)?;
        layers.push(tar);
    }
    let below = image.manifest.layers.len() - layers.len();
    ensure!(below == workshop.base.layers.len(), "{below} layers of the base");
    Ok(layers)
}
