//! How does the layer of `image.files` get from the source into the registry?

use super::assemble_error::AssembleError;
use super::files::{self, FilesError};
use super::program::Program;
use super::read_back::layer_read_back;
use crate::progress::{Say, megabytes, shown};
use gowindows_clients::oci::{Progress, Reference, Registry};
use std::path::Path;
use windows_image::Assembly;
use windows_image::files as image_files;
use windows_image::files::{FilesLayer, Tree};
use windows_image::layer::Packing;
use windows_image::loadable_files::LoadableFiles;
use windows_image::manifest::Descriptor;

/// The time of every file, in seconds since 1970. Not the commit's: each commit would be another layer of the same files, to be stored and
/// pulled once more. Go's file servers take 1970 for no time at all and send no `Last-Modified` that could be wrong.
const EPOCH: i64 = 0;

/// The layer, a temporary file with its bytes, and what Windows' loader will find in it.
pub(super) struct FilesBlob {
    pub(super) layer: FilesLayer,
    pub(super) file: tempfile::NamedTempFile,
    pub(super) loadable: LoadableFiles,
}

impl FilesBlob {
    /// Compresses the files of `source` that belong to the image; none where it wants none.
    pub(super) async fn write(
        assembly: &Assembly,
        program: &Program,
        source: Option<&Path>,
        packing: Packing,
        say: Say<'_>,
    ) -> Result<Option<Self>, AssembleError> {
        if assembly.files.is_empty() {
            return Ok(None);
        }
        let root = source.ok_or(FilesError::NoSource)?.to_path_buf();
        let (mappings, name) = (assembly.files.clone(), program.name.clone());
        let packing = Packing { epoch: EPOCH, ..packing };
        let written = tokio::task::spawn_blocking(move || {
            let tree = Tree::new(files::find(&root, &mappings)?, &name).map_err(FilesError::Files)?;
            let file = tempfile::NamedTempFile::new().map_err(AssembleError::WriteLayer)?;
            let out = std::io::BufWriter::with_capacity(256 * 1024, file.as_file());
            let layer = image_files::write(&tree, |file| files::open(&root, file), packing, out);
            let layer = layer.map_err(AssembleError::WriteLayer)?;
            let mut loadable = LoadableFiles::default();
            for found in tree.found() {
                let failed = |source| FilesError::Read { path: found.from.clone(), source };
                loadable.note(&found.to, || files::open(&root, found)).map_err(failed)?;
            }
            Ok::<_, AssembleError>(Self { layer, file, loadable })
        });
        let blob = written.await.map_err(|_| AssembleError::Interrupted)??;
        let (count, raw, size) = (blob.layer.files, megabytes(blob.layer.bytes), megabytes(blob.layer.size));
        say(format!("layer: {count} files of {raw} compressed to {size}"));
        Ok(Some(blob))
    }

    pub(super) async fn push(&self, registry: &Registry, repository: &Reference, say: Say<'_>) -> Result<(), AssembleError> {
        let Self { layer, file, loadable: _ } = self;
        if registry.blob_exists(repository, &layer.digest).await? {
            return Ok(());
        }
        let progress = Progress::default();
        let upload = registry.upload_file(repository, &layer.digest, layer.size, file.path(), &progress);
        Ok(shown("push: layer of files", layer.size, &progress, say, upload).await?)
    }

    /// It has to be what was written, to the byte.
    pub(super) async fn read_back(&self, registry: &Registry, repository: &Reference) -> Result<(), AssembleError> {
        let layer = &self.layer;
        let descriptor = Descriptor::new(layer.media_type, layer.digest.clone(), layer.size);
        layer_read_back(registry, repository, &descriptor).await
    }
}
