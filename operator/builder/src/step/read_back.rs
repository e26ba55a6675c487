//! Is what was written there, to the byte? Nothing gets a tag that was not read back.

use super::AssembleError;
use gowindows_clients::oci::{Reference, Registry, at_tag};
use std::fs::File;
use std::path::PathBuf;
use windows_image::Digest;
use windows_image::digest::Hashing;
use windows_image::manifest::Descriptor;

/// Points a tag at a digest, and sees that it does.
pub(super) async fn set_tag(registry: &Registry, repository: &Reference, digest: &Digest, tag: &str) -> Result<(), AssembleError> {
    registry.tag(repository, digest, tag).await?;
    let resolved = registry.resolve(&at_tag(repository, tag)).await?.digest;
    if resolved == *digest {
        return Ok(());
    }
    let complaint = format!("tag {tag} points at {resolved} right after it was set to {digest} (does somebody else move it?)");
    Err(read_back(&place(repository), complaint))
}

/// A repository without the tag that a reference always has.
pub(super) fn place(repository: &Reference) -> String {
    format!("{}/{}", repository.registry(), repository.repository())
}

/// What a registry gives for a layer has to be what was written, to the byte.
pub(super) async fn layer_read_back(registry: &Registry, repository: &Reference, layer: &Descriptor) -> Result<(), AssembleError> {
    let digest = registry.digest_of_blob(repository, layer).await?;
    if digest == layer.digest {
        return Ok(());
    }
    Err(read_back(&place(repository), format!("layer {} has content of digest {digest}", layer.digest)))
}

pub(super) fn read_back(place: &impl ToString, complaint: String) -> AssembleError {
    AssembleError::ReadBack { place: place.to_string(), complaint }
}

pub(super) async fn digest_of_file(path: PathBuf) -> Result<Digest, AssembleError> {
    let hashed = tokio::task::spawn_blocking(move || {
        let mut file = Hashing::new(File::open(path)?);
        std::io::copy(&mut file, &mut std::io::sink())?;
        Ok(file.finish().0)
    });
    hashed.await.map_err(|_| AssembleError::Interrupted)?.map_err(AssembleError::ReadLayer)
}
