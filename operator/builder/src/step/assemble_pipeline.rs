//! How does a compiled program become an image in a registry or a folder?
//!
//! ```text
//! program -> bases -> layer -> image -> blobs -> manifests -> read back -> tags
//! ```
//!
//! Nothing has a tag before it was read back and verified. The build pod and the command line both go this way.

use super::assemble_error::AssembleError;
use super::bills::Bills;
use super::files_blob::FilesBlob;
pub use super::program::Program;
use super::read_back::{digest_of_file, layer_read_back, place, read_back, set_tag};
use crate::progress::{Say, megabytes, shown};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt, stream};
use gowindows_clients::oci::{BaseError, Bases, Layout, OciError, Progress, Published, Reference, Registry, Source, at_digest};
use gowindows_crds::v1alpha1::ImageStatus;
use gowindows_model::conversions::image_status;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;
use windows_image::Assembly;
use windows_image::assemble::{Blob, Image, assemble};
use windows_image::base::{self, Base};
use windows_image::layer::{self, Layer, Packing, ProgramName};
use windows_image::loadable_files::LoadableFiles;
use windows_image::manifest::Descriptor;
use windows_image::read_back::ReadBack;
use windows_image::sbom::Contents;
use windows_image::sizes::Sizes;
use windows_image::verify::{self, Author, Finding};
use windows_image::verify_layer;
use windows_image::warnings::Learned;
use windows_image::windows_apis::{self, AbsentApi, WindowsApis};

/// More threads would only need more memory: hashing and writing cannot keep up with them.
const MOST_THREADS: usize = 8;
/// So many transfers at a time: more do not fill a line any better, and registries count connections.
const STREAMS: usize = 4;

/// The bases that an image will stand on, and where their layers are.
pub struct FoundBases<'a> {
    bases: Vec<Base>,
    sources: BTreeMap<String, Source<'a>>,
}

impl FoundBases<'_> {
    /// The bases.
    pub(super) fn bases(&self) -> &[Base] {
        &self.bases
    }
}

/// An image that is complete except for being somewhere.
pub struct Prepared<'a> {
    /// Manifests and configurations.
    pub image: Image,
    /// The application layer.
    pub layer: Layer,
    layer_file: tempfile::NamedTempFile,
    files: Option<FilesBlob>,
    found: FoundBases<'a>,
    program: ProgramName,
    /// Stays readable when its folder is gone.
    program_file: File,
    epoch: i64,
    bills: Bills,
}

/// Reads the manifests and configurations of the bases, and chooses among them. A wrong base is found before anything is
/// compiled.
///
/// # Errors
/// [`AssembleError::Base`].
pub async fn find_bases<'a>(registry: &'a Registry, assembly: &Assembly, say: Say<'_>) -> Result<FoundBases<'a>, AssembleError> {
    let sources = assembly.bases.iter().map(|text| Ok((text.clone(), Source::parse(registry, text)?)));
    let sources: BTreeMap<String, Source<'a>> = sources.collect::<Result<_, OciError>>().map_err(BaseError::Read)?;
    let asked: Vec<_> = assembly.bases.iter().filter_map(|text| Some(sources.get(text)?.bases(text, &assembly.releases).boxed())).collect();
    let found: Vec<Bases> = stream::iter(asked).buffered(STREAMS).try_collect().await?;
    let (mut all, mut all_listed) = (Vec::new(), Vec::new());
    for Bases { bases, listed } in found {
        all.extend(bases);
        all_listed.extend(listed);
    }
    let bases = base::select(all, &assembly.releases, &all_listed)?;
    for base in &bases {
        say(format!("base: {} is {}", base.reference, base.os_version));
    }
    Ok(FoundBases { bases, sources })
}

/// Compresses the program, and the files of `source` that belong to the image, into temporary files (they are gone with the result), and
/// makes the manifests. `source` is the root of the repository.
///
/// # Errors
/// See [`AssembleError`]; nothing has been written anywhere else.
pub async fn prepare<'a>(
    found: FoundBases<'a>,
    assembly: &Assembly,
    program: &Program,
    source: Option<&Path>,
    absent_apis: &[AbsentApi],
    say: Say<'_>,
) -> Result<Prepared<'a>, AssembleError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let (owned, packing) = (program.clone(), Packing { epoch: assembly.epoch, compression: assembly.compression, threads });
    let files = FilesBlob::write(assembly, program, source, packing, say).await?;
    let loadable = files.as_ref().map(|files| files.loadable.clone()).unwrap_or_default();
    let written = async {
        let written = tokio::task::spawn_blocking(move || write_layer(&owned, packing)).await;
        written.map_err(|_| AssembleError::Interrupted)?.map_err(AssembleError::WriteLayer)
    };
    let (learned, (layer, layer_file)) = tokio::try_join!(learn(program.clone(), loadable, &found, absent_apis, say), written)?;
    let assembly = &Assembly { learned, ..assembly.clone() };
    let (name, raw, size) = (program.name.as_str(), megabytes(program.size), megabytes(layer.size));
    say(format!("layer: {name} of {raw} compressed to {size} with {threads} thread{}", if threads == 1 { "" } else { "s" }));
    let image = assemble(assembly, &found.bases, &program.name, &layer, files.as_ref().map(|files| &files.layer))?;
    let before = ReadBack::from_assembled(&image)?;
    let findings: Vec<Finding> = before.iter().flat_map(|platform| verify::image(platform, &found.bases)).collect();
    match verify::complaint(&findings) {
        Some(complaint) => Err(AssembleError::Assembled(complaint)),
        None => {
            let (digest, info) = (&layer.program, program.build_info.as_ref().ok());
            let contents = Contents { program: program.name.as_str(), digest, info, epoch: assembly.epoch };
            let bills = Bills::of(&image, &found.bases, &contents)?;
            let failed = |source| AssembleError::ReadProgram { path: program.path.clone(), source };
            let program_file = File::open(&program.path).map_err(failed)?;
            let (program, epoch) = (program.name.clone(), assembly.epoch);
            Ok(Prepared { image, layer, layer_file, files, found, program, program_file, epoch, bills })
        }
    }
}

async fn push_config(registry: &Registry, repository: &Reference, config: &Blob) -> Result<(), AssembleError> {
    if !registry.blob_exists(repository, &config.digest).await? {
        registry.upload_bytes(repository, &config.digest, &config.bytes).await?;
    }
    Ok(())
}

/// Does all of it, a few at a time; the first failure ends the others.
async fn side_by_side(work: Vec<BoxFuture<'_, Result<(), AssembleError>>>) -> Result<(), AssembleError> {
    stream::iter(work.into_iter().map(Ok)).try_for_each_concurrent(STREAMS, |one| one).await
}

/// Looks through the program for what its image depends on, and for what of it, or of the files beside it, may not work on these bases.
async fn learn(
    program: Program,
    loadable: LoadableFiles,
    found: &FoundBases<'_>,
    absent_apis: &[AbsentApi],
    say: Say<'_>,
) -> Result<Learned, AssembleError> {
    let apis = WindowsApis::shipped().with(absent_apis);
    let flavors = found.bases.iter().filter_map(|base| windows_apis::flavor_of(&base.reference)).collect();
    let (owned, path) = (apis.clone(), program.path.clone());
    let read = tokio::task::spawn_blocking(move || {
        let learned = Learned::read(File::open(&program.path)?, &owned, &flavors)?;
        Ok::<_, std::io::Error>(loadable.with(learned, &owned, &flavors))
    });
    let failed = |source| AssembleError::ReadProgram { path, source };
    let learned = read.await.map_err(|_| AssembleError::Interrupted)?.map_err(failed)?;
    for warning in &learned.warnings {
        say(format!("warning: {}", warning.text(&apis)));
    }
    Ok(learned)
}

fn write_layer(program: &Program, packing: Packing) -> std::io::Result<(Layer, tempfile::NamedTempFile)> {
    let file = File::open(&program.path)?;
    let blob = tempfile::NamedTempFile::new()?;
    let out = std::io::BufWriter::with_capacity(256 * 1024, blob.as_file());
    let layer = layer::write(&program.name, file, program.size, packing, out)?;
    Ok((layer, blob))
}

impl Prepared<'_> {
    /// Puts the image into a repository: blobs, manifests by digest, everything read back and verified, then the tags.
    ///
    /// # Errors
    /// See [`AssembleError`]. Blobs and untagged manifests may have stayed in the registry; a tag has not.
    pub async fn push(
        &self,
        registry: &Registry,
        repository: &Reference,
        tags: &[String],
        say: Say<'_>,
    ) -> Result<Published, AssembleError> {
        let (published, ()) = tokio::try_join!(self.push_untagged(registry, repository, say), self.check_layer())?;
        for tag in tags {
            set_tag(registry, repository, &published.digest, tag).await?;
        }
        Ok(published)
    }

    async fn push_untagged(&self, registry: &Registry, repository: &Reference, say: Say<'_>) -> Result<Published, AssembleError> {
        let mut blobs = vec![self.push_layer(registry, repository, say).boxed()];
        blobs.extend(self.files.iter().map(|files| files.push(registry, repository, say).boxed()));
        blobs.extend(self.image.platforms.iter().map(|platform| push_config(registry, repository, &platform.config).boxed()));
        blobs.extend(
            self.base_layers().into_iter().map(|(layer, base)| self.place_base_layer(registry, repository, layer, base, say).boxed()),
        );
        side_by_side(blobs).await?;
        let manifests = self.image.platforms.iter().map(|platform| &platform.manifest);
        side_by_side(manifests.map(|manifest| registry.push_manifest(repository, manifest, None).err_into().boxed()).collect()).await?;
        if let Some(index) = &self.image.index {
            registry.push_manifest(repository, index, None).await?;
        }
        let bills = async { Ok(self.bills.attach(registry, repository, say).await?) };
        let (mut published, sbom) = tokio::try_join!(self.read_back(registry, repository), bills)?;
        published.status.sbom = sbom;
        Ok(published)
    }

    /// Writes the image as an OCI layout with one entry, and verifies it there.
    ///
    /// # Errors
    /// See [`AssembleError`].
    pub async fn write(&self, folder: &Path, tag: Option<&str>, say: Say<'_>) -> Result<ImageStatus, AssembleError> {
        let layout = Layout::create(folder)?;
        for (layer, base) in self.base_layers() {
            self.keep_base_layer(&layout, layer, base, say).await?;
        }
        let own = self.files.as_ref().map(|files| (&files.file, &files.layer.digest));
        for (file, digest) in own.into_iter().chain([(&self.layer_file, &self.layer.digest)]) {
            let path = layout.path(digest);
            let kept = std::fs::copy(file.path(), &path);
            kept.map_err(|error| OciError::Local { attempt: format!("write layer {digest} to {layout}"), detail: error.to_string() })?;
            let written = digest_of_file(path).await?;
            if written != *digest {
                return Err(read_back(&layout, format!("layer {digest} has content of digest {written}")));
            }
        }
        for platform in &self.image.platforms {
            layout.write_blob(&platform.config.digest, &platform.config.bytes)?;
            layout.write_blob(&platform.manifest.digest, &platform.manifest.bytes)?;
        }
        let Some(top) = self.image.top() else { return Err(AssembleError::Assembled("it has no platform".into())) };
        layout.write_blob(&top.digest, &top.bytes)?;
        let sbom = self.bills.keep(&layout)?;
        layout.write_index(top, tag)?;
        self.check_layer().await?;
        let platforms = ReadBack::from_assembled(&self.image)?;
        let status = image_status(&layout.to_string(), top.digest.as_str(), &Sizes::of(&platforms));
        Ok(ImageStatus { reference: layout.to_string(), sbom, ..status })
    }

    async fn push_layer(&self, registry: &Registry, repository: &Reference, say: Say<'_>) -> Result<(), AssembleError> {
        if registry.blob_exists(repository, &self.layer.digest).await? {
            return Ok(());
        }
        let progress = Progress::default();
        let upload = registry.upload_file(repository, &self.layer.digest, self.layer.size, self.layer_file.path(), &progress);
        Ok(shown("push: application layer", self.layer.size, &progress, say, upload).await?)
    }

    /// Every layer of every base once, with the base that it comes from.
    fn base_layers(&self) -> Vec<(&Descriptor, &Base)> {
        let mut seen = BTreeSet::new();
        let all = self.found.bases.iter().flat_map(|base| base.manifest.layers.iter().map(move |layer| (layer, base)));
        all.filter(|(layer, _)| seen.insert(&layer.digest)).collect()
    }

    async fn place_base_layer(
        &self,
        registry: &Registry,
        repository: &Reference,
        layer: &Descriptor,
        base: &Base,
        say: Say<'_>,
    ) -> Result<(), AssembleError> {
        if registry.blob_exists(repository, &layer.digest).await? {
            return Ok(());
        }
        let progress = Progress::default();
        let label = format!("push: layer of base {}, once", base.os_version);
        match self.found.sources.get(&base.reference) {
            Some(Source::Registry(source, from)) => {
                for place in source.places(from) {
                    if registry.mount(repository, &layer.digest, &place).await? {
                        say(format!("push: base layer shared with {}", place.repository()));
                        return Ok(());
                    }
                }
                let copy = registry.copy_blob(source, from, repository, layer, &progress);
                shown(&label, layer.size, &progress, say, copy).await?;
            }
            Some(Source::Layout(layout)) => {
                let path = layout.path(&layer.digest);
                let upload = registry.upload_file(repository, &layer.digest, layer.size, &path, &progress);
                shown(&label, layer.size, &progress, say, upload).await?;
            }
            None => return Err(AssembleError::Interrupted),
        }
        Ok(())
    }

    async fn keep_base_layer(&self, layout: &Layout, layer: &Descriptor, base: &Base, say: Say<'_>) -> Result<(), AssembleError> {
        let path = layout.path(&layer.digest);
        let failed = |error: std::io::Error| OciError::Local {
            attempt: format!("write base layer {} to {layout}", layer.digest),
            detail: error.to_string(),
        };
        if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() == layer.size) {
            return Ok(());
        }
        // Complete or absent: a half layer must not be taken for a whole one by the next run.
        let partial = path.with_extension("partial");
        match self.found.sources.get(&base.reference) {
            Some(Source::Registry(registry, from)) => {
                say(format!("output: reading a layer of base {} ({})", base.os_version, megabytes(layer.size)));
                let mut file = tokio::fs::File::create(&partial).await.map_err(failed)?;
                registry.read_blob(from, layer, &mut file).await?;
            }
            Some(Source::Layout(theirs)) => {
                tokio::fs::copy(theirs.path(&layer.digest), &partial).await.map_err(failed)?;
            }
            None => return Err(AssembleError::Interrupted),
        }
        let digest = digest_of_file(partial.clone()).await?;
        if digest != layer.digest {
            let _ = std::fs::remove_file(&partial);
            return Err(read_back(&base.reference, format!("base layer {} has content of digest {digest}", layer.digest)));
        }
        Ok(std::fs::rename(&partial, &path).map_err(failed)?)
    }

    async fn read_back(&self, registry: &Registry, repository: &Reference) -> Result<Published, AssembleError> {
        let Some(top) = self.image.top() else { return Err(AssembleError::Assembled("it has no platform".into())) };
        let reference = at_digest(repository, &top.digest);
        let published = registry.published(&reference, Author::Us, &self.found.bases).await?;
        let Some(published) = published else {
            return Err(read_back(&place(repository), format!("{} is not there right after it was pushed", top.digest)));
        };
        if let Some(files) = &self.files {
            files.read_back(registry, repository).await?;
        }
        let Layer { media_type, digest, size, .. } = &self.layer;
        layer_read_back(registry, repository, &Descriptor::new(media_type, digest.clone(), *size)).await?;
        match published.complaint() {
            Some(complaint) => Err(read_back(&place(repository), complaint)),
            None => Ok(published),
        }
    }

    /// Holds what was packed against every rule for layers, each of which is about more than one line of the writer. The compressor is believed:
    /// whoever unpacks an image holds what comes out against the diff ID.
    async fn check_layer(&self) -> Result<(), AssembleError> {
        let mut program = self.program_file.try_clone().map_err(AssembleError::ReadLayer)?;
        let (name, size, epoch) = (self.program.clone(), self.layer.program_size, self.epoch);
        let read = tokio::task::spawn_blocking(move || {
            program.rewind()?;
            let content = layer::tar(&name, BufReader::with_capacity(64 * 1024, program), size, epoch)?;
            Ok(verify_layer::tree(content, Some(&name.layer_path()), &mut std::io::sink())?.findings_of_ours(&name))
        });
        let findings = read.await.map_err(|_| AssembleError::Interrupted)?.map_err(AssembleError::ReadLayer)?;
        verify::complaint(&findings).map_or(Ok(()), |complaint| Err(AssembleError::Assembled(complaint)))
    }
}
