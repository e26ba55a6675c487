//! May an image be used that BuildKit has made of the user's own Dockerfile, and has pushed?
//!
//! ```text
//! what buildctl says -> manifest and configuration -> what is on the base -> what was there before -> bill of its parts -> the tag
//! ```
//!
//! By the rules of `gowindows verify`: what Windows needs must be so, and BuildKit's permissions, which let users write beside the program, are
//! a warning. No tag leads to the image before.

use super::assemble_error::AssembleError;
use super::bills::Bills;
use super::read_back::{place, read_back, set_tag};
use crate::layers::whole;
use crate::progress::{Say, megabytes};
use gowindows_clients::oci::{Reference, Registry, Source, at_digest};
use gowindows_crds::v1alpha1::BinaryStatus;
use gowindows_model::wire::assemble::AssembleResult;
use serde::Deserialize;
use std::fs::File;
use std::path::{Path, PathBuf};
use windows_image::Digest;
use windows_image::base::Base;
use windows_image::build_info::{BuildInfo, BuildInfoError};
use windows_image::digest::Hashing;
use windows_image::manifest::{Descriptor, media_type};
use windows_image::pe_file::PeFile;
use windows_image::read_back::ReadBack;
use windows_image::sbom::Contents;
use windows_image::verify::Rule;
use windows_image::verify::program_path;
use windows_image::verify::{self, Author, Finding, Verdict};
use windows_image::verify_layer::{FoundProgram, Tree};
use windows_image::warnings::{Learned, Warning};
use windows_image::windows_apis::{self, AbsentApi, WindowsApis};

/// What `buildctl --metadata-file` writes, as far as it is of use here.
#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "containerimage.digest")]
    digest: Digest,
}

/// Where the image is, and what it should stand on.
pub(super) struct Image<'a> {
    pub(super) registry: &'a Registry,
    pub(super) repository: &'a Reference,
    pub(super) author: Author,
    pub(super) bases: &'a [Base],
    /// The commit's time.
    pub(super) epoch: i64,
}

/// The program that was found.
struct Found {
    name: String,
    size: u64,
    digest: Digest,
    info: Result<BuildInfo, String>,
    learned: Learned,
}

impl Image<'_> {
    /// Verifies the image and sets its tag.
    ///
    /// # Errors
    /// [`AssembleError::OfDockerfile`] names what is wrong with it; no tag was set.
    pub(super) async fn accept(
        &self,
        metadata: &Path,
        tag: &str,
        absent_apis: &[AbsentApi],
        say: Say<'_>,
    ) -> Result<AssembleResult, AssembleError> {
        let Self { registry, repository, author, bases, epoch } = self;
        let digest = pushed(metadata)?;
        let reference = at_digest(repository, &digest);
        let Some(published) = registry.published(&reference, *author, bases).await? else {
            return Err(read_back(&place(repository), format!("{digest} is not there right after BuildKit has pushed it")));
        };
        accepted(&published.findings, say)?;
        let ([image], [base]) = (published.platforms.as_slice(), bases) else {
            let message =
                format!("it is an index of {} images on {} bases, wanted is one image on one", published.platforms.len(), bases.len());
            return Err(AssembleError::OfDockerfile(message));
        };
        if image.entry.is_some() {
            return Err(AssembleError::OfDockerfile(
                "it is an index, wanted is a manifest alone (attestations make an index of it)".into(),
            ));
        }
        let found = self.program(&reference, image, base, absent_apis, say).await?;
        let (digest, mut status) = match self.before(tag, image).await {
            Some(before) => {
                say(format!("nothing but times differs from {}, which stays", before.digest));
                (before.digest, before.status)
            }
            None => (digest, published.status.clone()),
        };
        let size = registry.manifest(&at_digest(repository, &digest)).await?.bytes.len() as u64;
        let manifest = Descriptor::new(media_type::MANIFEST, digest.clone(), size);
        let contents = Contents { program: &found.name, digest: &found.digest, info: found.info.as_ref().ok(), epoch: *epoch };
        let bills = Bills::of_one(&manifest, base, &contents)?;
        status.sbom = bills.attach(registry, repository, say).await?;
        status.binary = Some(BinaryStatus {
            name: found.name,
            bytes: i64::try_from(found.size).unwrap_or(i64::MAX),
            sha256: found.digest.hex().to_owned(),
            inputs: None,
        });
        set_tag(registry, repository, &digest, tag).await?;
        let warnings = found.learned.warnings.iter().map(Warning::to_string).collect();
        Ok(AssembleResult { warnings, ..AssembleResult::new(media_type::MANIFEST, status) })
    }

    /// Reads the layers on the base from the top, until the program was found. On Linux there is one.
    async fn program(
        &self,
        reference: &Reference,
        image: &ReadBack,
        base: &Base,
        absent_apis: &[AbsentApi],
        say: Say<'_>,
    ) -> Result<Found, AssembleError> {
        let missing = |what: &str| AssembleError::OfDockerfile(what.to_owned());
        let path = program_path(&image.config).ok_or_else(|| missing("its ENTRYPOINT names no path on drive C"))?;
        let folder = tempfile::tempdir().map_err(AssembleError::WriteLayer)?;
        let lowest = base.manifest.layers.len();
        for (number, layer) in image.manifest.layers.iter().enumerate().skip(lowest).rev() {
            let file = folder.path().join(number.to_string());
            let (tree, diff_id, digest) = self.read(reference, layer, &path, &file).await?;
            let mut findings = tree.findings();
            if self.author == Author::BuildKit {
                findings.push(Finding::of(
                    Rule::LayerTree,
                    !tree.is_windows,
                    "the layer on the base should hold no part of Windows itself",
                ));
            }
            if tree.program.is_some() || number == lowest {
                findings.push(tree.program_finding(&path));
            }
            let same = image.config.rootfs.diff_ids.get(number) == Some(&diff_id);
            findings.push(Finding::of(Rule::LayerContent, same, "the layer should be the one that the configuration names"));
            accepted(&findings, say)?;
            if let Some(FoundProgram { size, unfit: _ }) = tree.program {
                let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                say(format!("layer: {name} of {} in {}", megabytes(size), megabytes(layer.size)));
                let (info, learned) = learned(file, base, absent_apis, say).await?;
                return Ok(Found { name, size, digest, info, learned });
            }
        }
        Err(missing("there is no layer on its base, so the program is not in it"))
    }

    /// What is in a layer, the digest of its content, and that of the program in it, whose bytes go to `to`.
    async fn read(
        &self,
        reference: &Reference,
        layer: &Descriptor,
        program: &str,
        to: &Path,
    ) -> Result<(Tree, Digest, Digest), AssembleError> {
        let unknown = || AssembleError::OfDockerfile("its layer is of an unknown type".into());
        let form = media_type::oci_layer(&layer.media_type).ok_or_else(unknown)?;
        let file = Source::Registry(self.registry, reference.clone()).layer(layer).await?;
        let (layer, program, to) = (layer.clone(), program.to_owned(), to.to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let mut sink = Hashing::new(File::create_new(to)?);
            whole(file, &layer, form, Some(&program), &mut sink).map(|read| (read, sink.finish().0))
        });
        let (read, digest) = read.await.map_err(|_| AssembleError::Interrupted)?.map_err(AssembleError::ReadLayer)?;
        let (tree, diff_id) = read.map_err(|why| read_back(&place(self.repository), format!("the layer: {why}")))?;
        Ok((tree, diff_id, digest))
    }
}

/// What a program says of itself, and what of it may not work on its base.
async fn learned(
    program: PathBuf,
    base: &Base,
    absent_apis: &[AbsentApi],
    say: Say<'_>,
) -> Result<(Result<BuildInfo, String>, Learned), AssembleError> {
    let (apis, flavors) = (WindowsApis::shipped().with(absent_apis), windows_apis::flavor_of(&base.reference).into_iter().collect());
    let known = apis.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let info = PeFile::open(File::open(&program)?).map_err(BuildInfoError::from).and_then(|mut file| BuildInfo::read(&mut file));
        let learned = Learned::read(File::open(&program)?, &known, &flavors)?;
        std::io::Result::Ok((info.map_err(|error| error.to_string()), learned))
    });
    let (info, learned) = looked.await.map_err(|_| AssembleError::Interrupted)?.map_err(AssembleError::ReadLayer)?;
    for warning in &learned.warnings {
        say(format!("warning: {}", warning.text(&apis)));
    }
    Ok((info, learned))
}

fn pushed(metadata: &Path) -> Result<Digest, AssembleError> {
    let failed = |why: String| AssembleError::Metadata { file: metadata.into(), why };
    let bytes = std::fs::read(metadata).map_err(|error| failed(error.to_string()))?;
    let Metadata { digest } = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
    Ok(digest)
}

/// Says what is not as we would make it, and refuses what does not work.
fn accepted(findings: &[Finding], say: Say<'_>) -> Result<(), AssembleError> {
    for finding in findings.iter().filter(|finding| finding.verdict == Verdict::Warning) {
        say(format!("warning: {} ({})", finding.message, finding.rule.id()));
    }
    verify::complaint(findings).map_or(Ok(()), |complaint| Err(AssembleError::OfDockerfile(complaint)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_what_was_pushed() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("metadata.json");
        let said = |text: &str| {
            std::fs::write(&file, text).expect("written");
            pushed(&file).map_err(|error| error.to_string())
        };
        let digest = Digest::of(b"manifest");
        let usual = format!(r#"{{"containerimage.config.digest":"sha256:x","containerimage.digest":"{digest}","image.name":"r/a"}}"#);
        assert_eq!(said(&usual), Ok(digest));
        for text in ["", "{}", r#"{"containerimage.digest":"latest"}"#] {
            assert!(said(text).is_err_and(|error| error.contains("metadata.json") && error.contains("BuildKit has pushed")), "{text}");
        }
        std::fs::remove_file(&file).expect("gone");
        assert!(pushed(&file).is_err());
    }

    #[test]
    fn what_is_not_strict_is_said_and_what_does_not_work_is_refused() {
        let said = std::sync::Mutex::new(Vec::new());
        let say = |line: String| said.lock().expect("one thread").push(line);
        let loose = Finding::new(Rule::LayerAcl, Verdict::Warning, "not strict");
        let broken = Finding::of(Rule::User, false, "no user is named");
        assert!(accepted(&[loose.clone(), Finding::of(Rule::Path, true, "")], &say).is_ok());
        assert_eq!(*said.lock().expect("one thread"), ["warning: not strict (layer-acl)"]);
        let error = accepted(&[loose, broken], &say).expect_err("refused");
        assert!(error.to_string().contains("no user is named (user; ") && error.to_string().contains("change the Dockerfile"), "{error}");
        assert_eq!((error.reason().to_string().as_str(), error.transient()), ("DockerfileInvalid", false));
    }
}
