//! Where is the program when nothing was compiled? In an image of the same source, toolchain and compiler settings.
//!
//! A new base, label or file of the image changes no byte of the program, so it is taken from the newest image that has it.

use super::AssembleError;
use super::program::Program;
use crate::clients::oci::{OciError, Registry, Source};
use crate::image::compression;
use crate::image::digest::{Digest, Hashing};
use crate::image::manifest::{Descriptor, media_type};
use crate::image::verify::program_path;
use crate::image::verify_layer;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// No program of ours unpacks further (HR5).
const MOST_UNPACKED: u64 = 4 << 30;

/// A program that is in an image already.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KnownProgram {
    /// The image, `<repository>@<digest>`.
    pub image: String,
    /// The program's sha256, in hex.
    pub sha256: String,
}

impl KnownProgram {
    /// Takes the program out of the image, into an empty folder.
    ///
    /// # Errors
    /// [`AssembleError::KnownProgram`] where it is not there any more, or is another; [`AssembleError::Target`] where the registry cannot
    /// be asked.
    pub async fn fetch(&self, registry: &Registry, folder: &Path) -> Result<Program, AssembleError> {
        let gone = |why: String| AssembleError::KnownProgram { image: self.image.clone(), why };
        let source = Source::parse(registry, &self.image)?;
        let missing = |error: OciError| match error {
            OciError::NotFound { .. } => gone("it is not at the registry any more".into()),
            error => error.into(),
        };
        let (_, platforms) = source.image().await.map_err(missing)?;
        let image = platforms.first().ok_or_else(|| gone("it has no Windows image".into()))?;
        let path = program_path(&image.config).ok_or_else(|| gone("its configuration names no program".into()))?;
        let layer = image.manifest.layers.last().cloned().ok_or_else(|| gone("it has no layers".into()))?;
        let form = media_type::oci_layer(&layer.media_type).ok_or_else(|| gone(format!("its layer is of type {}", layer.media_type)))?;
        let file = source.layer(&layer).await.map_err(missing)?;
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let to = folder.join(&name);
        let written = to.clone();
        let unpacked = tokio::task::spawn_blocking(move || unpack(file, &layer, form, &path, &written));
        let found = unpacked.await.map_err(|_| AssembleError::Interrupted)?.map_err(|error| gone(error.to_string()))?;
        match found {
            Some(digest) if digest.hex() == self.sha256 => Program::open(&to, &name),
            Some(digest) => Err(gone(format!("its program has the sha256 {}, not {}", digest.hex(), self.sha256))),
            None => Err(gone(format!("{name} is not in its last layer"))),
        }
    }
}

/// Writes the program of a layer to a file. Returns its digest, if it is there.
fn unpack(file: File, layer: &Descriptor, form: &str, program: &str, to: &Path) -> io::Result<Option<Digest>> {
    let mut compressed = Hashing::new(io::BufReader::with_capacity(64 * 1024, file));
    let unpacked = compression::reader(form, &mut compressed)?.take(MOST_UNPACKED);
    let tree = verify_layer::tree(unpacked, Some(program), &mut File::create_new(to)?)?;
    io::copy(&mut compressed, &mut io::sink())?;
    let (digest, ..) = compressed.finish();
    if digest != layer.digest {
        return Err(io::Error::other(format!("its layer has the digest {digest}, not {}", layer.digest)));
    }
    Ok(tree.program.map(|program| program.digest))
}
