//! Where is the program when nothing was compiled? In an image of the same source, toolchain and compiler settings.
//!
//! A new base, label or file of the image changes no byte of the program, so it is taken from the newest image that has it.

use super::AssembleError;
use super::program::Program;
use gowindows_clients::oci::{OciError, Registry, Source};
use gowindows_model::wire::assemble::ReusedProgram;
use std::fs::File;
use std::io;
use std::path::Path;
use windows_image::digest::{Digest, Hashing};
use windows_image::manifest::{Descriptor, media_type};
use windows_image::verify::program_path;
use windows_image::verify_layer;
use windows_image::verify_layer::Unpacked;

/// No program of ours unpacks further (HR5).
const MOST_UNPACKED: u64 = 4 << 30;

/// Takes the program out of the image, into an empty folder.
///
/// # Errors
/// [`AssembleError::ReusedProgram`] where it is not there any more, or is another; [`AssembleError::Target`] where the registry cannot
/// be asked.
pub async fn fetch(known: &ReusedProgram, registry: &Registry, folder: &Path) -> Result<Program, AssembleError> {
    let gone = |why: String| AssembleError::ReusedProgram { image: known.image.clone(), why };
    let source = Source::parse(registry, &known.image)?;
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
        Some(digest) if digest.hex() == known.sha256 => Program::open(&to, &name),
        Some(digest) => Err(gone(format!("its program has the sha256 {}, not {}", digest.hex(), known.sha256))),
        None => Err(gone(format!("{name} is not in its last layer"))),
    }
}

/// Writes the program of a layer to a file. Returns the digest of what was written, if anything was: a layer may have a path twice.
fn unpack(file: File, layer: &Descriptor, form: &str, program: &str, to: &Path) -> io::Result<Option<Digest>> {
    let file = io::BufReader::with_capacity(64 * 1024, file);
    let mut written = Hashing::new(File::create_new(to)?);
    let Unpacked { digest, .. } = verify_layer::unpacked(form, file, MOST_UNPACKED, Some(program), &mut written)?;
    if digest != layer.digest {
        return Err(io::Error::other(format!("its layer has the digest {digest}, not {}", layer.digest)));
    }
    let (digest, bytes, _) = written.finish();
    Ok((bytes > 0).then_some(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_against_its_sha256_is_what_was_written() {
        const PATH: &str = "Files/app/shop.exe";
        const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
        let folder = tempfile::tempdir().expect("a folder");
        let unpacked = |contents: &[&str], name: &str| {
            let mut tar = tar::Builder::new(Vec::new());
            for content in contents {
                let mut header = tar::Header::new_gnu();
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, PATH, content.as_bytes()).expect("in memory");
            }
            let bytes = tar.into_inner().expect("in memory");
            let (from, to) = (folder.path().join(format!("{name}.tar")), folder.path().join(name));
            std::fs::write(&from, &bytes).expect("written");
            let layer = Descriptor::new(TAR, Digest::of(&bytes), bytes.len() as u64);
            let digest = unpack(File::open(from).expect("there"), &layer, TAR, PATH, &to).expect("a layer");
            (digest, std::fs::read(to).expect("there"))
        };
        assert_eq!(unpacked(&["good"], "once"), (Some(Digest::of(b"good")), b"good".to_vec()));
        assert_eq!(unpacked(&["evil", "good"], "twice"), (Some(Digest::of(b"evilgood")), b"evilgood".to_vec()));
        assert_eq!(unpacked(&[], "never").0, None);
    }
}
