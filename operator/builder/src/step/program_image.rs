//! Which program did a container builder leave in its image?
//!
//! Kaniko writes what `docker save` writes: a tar with `manifest.json`, the configuration and the layers. The generated Dockerfile ends in
//! a scratch stage with one file, so there is one layer with one file, and nothing else is taken for a program: the tar comes from a
//! container that ran as root with files of a toolchain image, and is as little believed as anything that a compile stage leaves.

use super::AssembleError;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Component, Path};
use tar::{Archive, EntryType};

/// The list of images in the tar is no larger than this.
const LARGEST_MANIFEST: u64 = 64 * 1024;
/// A program is no larger than this: a small layer can unfold without end.
const LARGEST_PROGRAM: u64 = 2 << 30;

/// An image in a tar of `docker save`
/// (<https://github.com/moby/docker-image-spec/blob/main/v1.2.md#combined-image-json--filesystem-changeset-format>).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    layers: Vec<String>,
}

/// Copies the only file of the only layer of the image in `image` into the folder `into`, under its own name.
///
/// # Errors
/// [`AssembleError::ProgramImage`] when there is anything else in it.
pub fn unpack(image: &Path, into: &Path) -> Result<(), AssembleError> {
    unpacked(image, into).map_err(|source| AssembleError::ProgramImage { path: image.into(), source })
}

fn unpacked(image: &Path, into: &Path) -> io::Result<()> {
    let mut file = BufReader::new(File::open(image)?);
    let layer = only_layer(&mut file)?;
    file.rewind()?;
    let mut archive = Archive::new(file);
    let entry = find(&mut archive, &layer)?.ok_or_else(|| other(format!("it has no {layer:?}, which it lists as its layer")))?;
    let mut layer = BufReader::new(entry);
    let zipped = io::BufRead::fill_buf(&mut layer)?.starts_with(&[0x1f, 0x8b]);
    if zipped { program(MultiGzDecoder::new(layer), into) } else { program(layer, into) }
}

fn only_layer(file: &mut (impl Read + Seek)) -> io::Result<String> {
    let mut archive = Archive::new(file);
    let entry = find(&mut archive, "manifest.json")?.ok_or_else(|| other("it has no manifest.json".into()))?;
    let images: Vec<Saved> = serde_json::from_reader(entry.take(LARGEST_MANIFEST))?;
    match images.as_slice() {
        [Saved { layers }] => match layers.as_slice() {
            [layer] => Ok(layer.clone()),
            layers => Err(other(format!("it has {} layers instead of one", layers.len()))),
        },
        images => Err(other(format!("it holds {} images instead of one", images.len()))),
    }
}

fn find<'a, R: Read>(archive: &'a mut Archive<R>, name: &str) -> io::Result<Option<tar::Entry<'a, R>>> {
    for entry in archive.entries()? {
        let entry = entry?;
        if entry.path_bytes().as_ref() == name.as_bytes() && entry.header().entry_type() == EntryType::Regular {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// Copies the one file of a layer.
fn program(layer: impl Read, into: &Path) -> io::Result<()> {
    let mut found = None;
    for entry in Archive::new(layer).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let names: Vec<_> = path.components().filter(|part| !matches!(part, Component::RootDir | Component::CurDir)).collect();
        match (entry.header().entry_type(), names.as_slice()) {
            (EntryType::Directory, []) => {}
            (EntryType::Regular, [Component::Normal(name)]) if found.is_none() => {
                if entry.size() > LARGEST_PROGRAM {
                    return Err(other(format!("{path:?} has more than {LARGEST_PROGRAM} bytes")));
                }
                io::copy(&mut entry, &mut File::create_new(into.join(name))?)?;
                found = Some(path);
            }
            _ => return Err(other(format!("{path:?} is in it beside the program"))),
        }
    }
    found.map(drop).ok_or_else(|| other("its layer is empty: is the package a main package?".into()))
}

fn other(problem: String) -> io::Error {
    io::Error::other(problem)
}

#[cfg(test)]
#[path = "program_image/tests.rs"]
mod tests;
