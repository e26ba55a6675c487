//! Why is there no source to build, and what should be done about it?

use gowindows_clients::git::{AuthError, GitError};
use gowindows_clients::oci::BaseError;
use gowindows_crds::conditions::Reason;
use gowindows_model::go::dockerfile::InvalidDockerfile;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the `source` step did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The request is not one.
    #[error("the source request cannot be read: {0}")]
    ReadRequest(serde_json::Error),
    /// The mounted Secret cannot be used.
    #[error(transparent)]
    ReadSecret(#[from] AuthError),
    /// The repository did not give the commit.
    #[error(transparent)]
    Fetch(#[from] GitError),
    /// An object of the repository is damaged, absent or of another kind.
    #[error("cannot read {what} of the repository: {detail}")]
    ReadObject {
        /// What was to be read.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A name that must not become a file.
    #[error("the repository has a file {path:?}, which cannot be written safely ({detail}): rename it")]
    Name {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A link that leads out.
    #[error("the symbolic link {path:?} points to {target:?}, outside of the repository: remove it, or point it to something inside")]
    Link {
        /// The link.
        path: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
    /// Too many entries.
    #[error("the repository has more than {limit} files and folders, the limit: build from a smaller one")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Too many bytes.
    #[error("the files of the repository have more than {limit} bytes, the limit: build from a smaller one")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The disk does not take it.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// Why it was not.
        source: io::Error,
    },
    /// A path that leaves the place it belongs to.
    #[error("{field} {value:?} must be a relative path that stays inside")]
    Path {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
    },
    /// The source is in another repository.
    #[error(
        "{field} {value:?} is in the submodule {submodule:?}, and submodules are not fetched: \
         build from that repository itself, or put its files in place of the submodule"
    )]
    Submodule {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// The submodule.
        submodule: PathBuf,
    },
    /// No Go module where it should be.
    #[error(
        "there is no go.mod in the folder {sub_path:?} of the repository{hint}: set `source.subPath` to the folder of the module, or push one"
    )]
    NoModule {
        /// The folder.
        sub_path: String,
        /// What there is instead.
        hint: String,
    },
    /// A go.mod that names no module.
    #[error("the go.mod in the folder {sub_path:?} has no `module` line: run `go mod init`")]
    NamelessModule {
        /// The folder.
        sub_path: String,
    },
    /// No main package where it should be.
    #[error("`go.package` {package:?} {problem}{hint}")]
    NoMain {
        /// The package.
        package: String,
        /// What is wrong with it.
        problem: String,
        /// What there is instead.
        hint: String,
    },
    /// The go command has no place in a Dockerfile.
    #[error(transparent)]
    Dockerfile(#[from] InvalidDockerfile),
    /// There is no Dockerfile where it should be.
    #[error("`build.buildkit.dockerfile` {path:?} {problem}: correct the path, or push the file")]
    NoDockerfile {
        /// Its path.
        path: String,
        /// What is there instead.
        problem: String,
    },
    /// It has what cannot be in it.
    #[error("the Dockerfile {path} cannot make the image: {findings}")]
    DockerfileFindings {
        /// Its path.
        path: String,
        /// Each with its line.
        findings: String,
    },
    /// The base that it must begin with.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The base is several.
    #[error("image.base: {base} has images for {versions}, and a Dockerfile has one base: name one release, or one of them by digest")]
    SeveralBases {
        /// The base.
        base: String,
        /// Their versions.
        versions: String,
    },
    /// The Secret of the registry cannot be used.
    #[error("{0}")]
    RegistrySecret(String),
    /// The time is up.
    #[error("the source was not there after {limit:?}, the limit: raise `build.timeouts.source`, or look at the git server")]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// The kubelet ended the pod.
    #[error("stopped by SIGTERM: the pod is being ended")]
    Terminated,
    /// The work was told to end.
    #[error("stopped")]
    Stopped,
    /// The work ended in a way that is a fault of ours.
    #[error("the step ended unexpectedly: {0}")]
    Crash(String),
}

impl SourceError {
    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }

    pub(super) fn read(what: impl Into<String>, error: impl std::fmt::Display) -> Self {
        Self::ReadObject { what: what.into(), detail: format!("{error:#}") }
    }

    /// The condition's reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::ReadRequest(_) | Self::Dockerfile(_) => Reason::InvalidSpec,
            Self::ReadSecret(error) => error.reason(),
            Self::RegistrySecret(_) => Reason::SecretInvalid,
            Self::NoDockerfile { .. } | Self::DockerfileFindings { .. } => Reason::DockerfileInvalid,
            Self::Base(BaseError::Read(_)) => Reason::BaseUnavailable,
            Self::Base(BaseError::Invalid(_)) | Self::SeveralBases { .. } => Reason::BaseInvalid,
            Self::Fetch(error) => error.reason(),
            Self::Timeout { .. } => Reason::Timeout,
            Self::Terminated | Self::Stopped | Self::Crash(_) => Reason::Lost,
            Self::ReadObject { .. }
            | Self::Name { .. }
            | Self::Link { .. }
            | Self::TooMany { .. }
            | Self::TooLarge { .. }
            | Self::Write { .. }
            | Self::Path { .. }
            | Self::Submodule { .. }
            | Self::NoModule { .. }
            | Self::NamelessModule { .. }
            | Self::NoMain { .. } => Reason::SourceInvalid,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_transient(),
            Self::Base(BaseError::Read(error)) => error.transient(),
            Self::Timeout { .. } | Self::Terminated | Self::Stopped | Self::Crash(_) | Self::Write { .. } => true,
            _ => false,
        }
    }
}
