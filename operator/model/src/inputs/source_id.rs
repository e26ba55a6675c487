//! What is the source of an image, as far as that decides whether to build?

/// What is built. Two sources with the same identity make the same image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceId {
    /// A commit: all of it counts.
    Commit(String),
    /// What path filters leave of a commit: a later commit with the same tree builds nothing.
    Tree {
        /// The commit that it was taken from. Not hashed.
        commit: String,
        /// Hash of the filtered tree.
        tree: String,
    },
    /// An archive that somebody else has fetched, such as a Flux artifact.
    Artifact {
        /// What its source calls it. Not hashed.
        revision: String,
        /// Its digest, `sha256:...`.
        digest: String,
    },
}

/// The source in the canonical form: a commit has one key, as ever; the others add one.
pub(super) struct SourceKeys {
    pub(super) commit: String,
    pub(super) tree: Option<String>,
    pub(super) artifact: Option<String>,
}

impl SourceId {
    /// What the source calls this state: the commit, or the artifact's revision.
    pub fn commit(&self) -> &str {
        match self {
            Self::Commit(commit) | Self::Tree { commit, .. } => commit,
            Self::Artifact { revision, .. } => revision,
        }
    }

    /// Without what is not hashed.
    pub(super) fn unnamed(&self) -> Self {
        match self.clone() {
            Self::Commit(commit) => Self::Commit(commit),
            Self::Tree { commit: _, tree } => Self::Tree { commit: String::new(), tree },
            Self::Artifact { revision: _, digest } => Self::Artifact { revision: String::new(), digest },
        }
    }

    /// What tells it from every other source.
    pub(super) fn identity(&self) -> String {
        match self {
            Self::Commit(commit) => commit.clone(),
            Self::Tree { tree, .. } => format!("tree:{tree}"),
            Self::Artifact { digest, .. } => format!("artifact:{digest}"),
        }
    }
}

impl From<SourceId> for SourceKeys {
    fn from(source: SourceId) -> Self {
        match source {
            SourceId::Commit(commit) => Self { commit, tree: None, artifact: None },
            SourceId::Tree { commit, tree } => Self { commit, tree: Some(tree), artifact: None },
            SourceId::Artifact { revision, digest } => Self { commit: revision, tree: None, artifact: Some(digest) },
        }
    }
}

impl From<SourceKeys> for SourceId {
    fn from(keys: SourceKeys) -> Self {
        match keys {
            SourceKeys { commit: revision, artifact: Some(digest), tree: _ } => Self::Artifact { revision, digest },
            SourceKeys { commit, tree: Some(tree), artifact: None } => Self::Tree { commit, tree },
            SourceKeys { commit, tree: None, artifact: None } => Self::Commit(commit),
        }
    }
}
