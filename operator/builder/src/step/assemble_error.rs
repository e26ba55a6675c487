//! Why is there no image, and whose fault is it?

use super::files::FilesError;
use gowindows_clients::identity::IdentityError;
use gowindows_clients::oci::{BaseError, OciError};
use gowindows_crds::conditions::Reason;
use std::path::PathBuf;
use thiserror::Error;
use windows_image::base::InvalidBase;
use windows_image::{layer, pe};

/// Why there is no image.
#[derive(Debug, Error)]
pub enum AssembleError {
    /// The compiler left no program, or several.
    #[error("{folder} should hold exactly one .exe, but holds {found}; is the package a main package?")]
    FindProgram {
        /// Where was looked.
        folder: PathBuf,
        /// What was there.
        found: String,
    },
    /// The program cannot be read.
    #[error("cannot read the program {path}")]
    ReadProgram {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not in the image that should have it.
    #[error("cannot take the program out of {image}: {why}")]
    ReusedProgram {
        /// The image.
        image: String,
        /// Why not.
        why: String,
    },
    /// The image that should hold the program alone holds something else.
    #[error("{path} should be an image whose only file is the program, and is not", path = path.display())]
    ProgramImage {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// Its name.
    #[error(transparent)]
    ProgramName(#[from] layer::InvalidProgramName),
    /// Its kind.
    #[error(transparent)]
    NotRunnable(#[from] pe::NotRunnable),
    /// It is another program.
    #[error("the program must not be used: {0}; look at the toolchain's image, which compiled it, and at go.sum")]
    Mismatch(String),
    /// What it should be held against cannot be read.
    #[error("cannot read the source's {file}")]
    ReadSource {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The base.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The files of `image.files`.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The layer cannot be written.
    #[error("cannot write the layer to a temporary file (in TMPDIR)")]
    WriteLayer(#[source] std::io::Error),
    /// A file of ours cannot be read back.
    #[error("cannot read a temporary file (in TMPDIR)")]
    ReadLayer(#[source] std::io::Error),
    /// Our own JSON.
    #[error("cannot write the manifests")]
    Json(#[from] serde_json::Error),
    /// The registry (or folder) that the image goes to.
    #[error(transparent)]
    Target(#[from] OciError),
    /// Who pushes is not let in.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A rule is broken by what was assembled, before anything was written.
    #[error("the assembled image must not be used: {0}")]
    Assembled(String),
    /// What came back is not what was assembled.
    #[error("what was read back from {place} must not be used: {complaint}; look at the registry, or at a proxy in front of it")]
    ReadBack {
        /// The registry, or the folder.
        place: String,
        /// What is wrong with it.
        complaint: String,
    },
    /// What `buildctl` left does not say what was pushed.
    #[error("{file} should say which image BuildKit has pushed, and does not: {why}", file = file.display())]
    Metadata {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A rule is broken by what BuildKit made of the user's Dockerfile.
    #[error("the image that the Dockerfile makes must not be used: {0}; change the Dockerfile (build.buildkit.dockerfile)")]
    OfDockerfile(String),
    /// A task of ours ended early.
    #[error("interrupted")]
    Interrupted,
}

impl From<InvalidBase> for AssembleError {
    fn from(error: InvalidBase) -> Self {
        Self::Base(error.into())
    }
}

impl AssembleError {
    /// The condition reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Base(BaseError::Read(_)) => Reason::BaseUnavailable,
            Self::Base(BaseError::Invalid(_)) => Reason::BaseInvalid,
            Self::Target(error) => error.reason(),
            Self::Identity(error) => error.reason(),
            Self::Mismatch(_) => Reason::ProgramMismatch,
            Self::ReusedProgram { .. } => Reason::ProgramUnavailable,
            Self::ReadBack { .. } => Reason::VerificationFailed,
            Self::OfDockerfile(_) => Reason::DockerfileInvalid,
            Self::Interrupted => Reason::Lost,
            Self::Files(_) => Reason::SourceInvalid,
            _ => Reason::AssembleFailed,
        }
    }

    /// Whether the same attempt may succeed later.
    pub fn transient(&self) -> bool {
        match self {
            Self::Base(BaseError::Read(error)) | Self::Target(error) => error.transient(),
            Self::Identity(error) => error.transient(),
            Self::Interrupted => true,
            _ => false,
        }
    }
}
