//! What can a decision ask the outside world? Each question carries all that it takes to answer it.

use crate::access::{Access, Repository};
use crate::wire::source::Reference;
use windows_image::verify::Author;

/// A question to the outside world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    /// To which commit does the reference point now?
    Source {
        /// The repository.
        url: String,
        /// What of it.
        reference: Reference,
        /// Name of the Secret for git.
        secret: Option<String>,
    },
    /// Can the Secret for git be used, and may its login be sent to this server?
    GitLogin {
        /// The repository.
        url: String,
        /// The Secret.
        secret: String,
    },
    /// Which digest does this reference of a toolchain image have?
    Digest {
        /// The image.
        reference: String,
        /// With what its registry is opened.
        access: Access,
    },
    /// Which digest and which versions does this base have, and can it be built on?
    Base {
        /// The image.
        reference: String,
        /// With what its registry is opened.
        access: Access,
    },
    /// Can the claim be used that hands files from one pod of a build to the next?
    Workspace {
        /// The claim.
        claim: String,
    },
    /// Is the claim there that the object has named for its caches?
    CacheClaim {
        /// The claim.
        claim: String,
    },
    /// Can the Secret with the certificates for buildkitd be used?
    Builder {
        /// The Secret.
        secret: String,
    },
    /// Can the Secret with the credentials for modules be used?
    Modules {
        /// The Secret.
        secret: String,
    },
    /// Which image stands under this `gw-` tag, and is it right?
    Published {
        /// Where.
        repository: Repository,
        /// The tag.
        tag: String,
        /// Who wrote it.
        author: Author,
    },
    /// What does the provenance of this digest tell?
    Provenance {
        /// Where.
        repository: Repository,
        /// The digest.
        digest: String,
        /// Name of the Secret whose key must have signed it; none: whatever is attached is taken.
        key: Option<String>,
    },
}

/// Questions that must be answered before a decision can be taken.
pub type Need = Vec<Question>;
