//! Which commit is this folder, exactly?
//!
//! Only a clean tree is a commit: a changed or an untracked file could be part of the program. Outside one, times are 1970.

use anyhow::{Context as _, anyhow};
use std::fmt;
use std::path::Path;

/// What is known of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// The full commit id of a clean tree.
    pub commit: Option<String>,
    /// The branch, or `HEAD` when none is checked out.
    pub branch: Option<String>,
    /// The commit's time in seconds since 1970, else 0.
    pub epoch: i64,
    /// Why there is no commit.
    why_not: Option<String>,
}

impl Revision {
    /// `<branch>@sha1:<commit>`, as status spells it.
    pub fn display(&self) -> Option<String> {
        let commit = self.commit.as_ref()?;
        Some(format!("{}@sha1:{commit}", self.branch.as_deref().unwrap_or("HEAD")))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.commit, &self.why_not) {
            (Some(commit), _) => write!(f, "commit {} ({})", commit.get(..12).unwrap_or(commit), self.branch.as_deref().unwrap_or("HEAD")),
            (None, why) => {
                write!(f, "no commit ({}): times in the image are 1970, $(revision) is \"unknown\"", why.as_deref().unwrap_or("unknown"))
            }
        }
    }
}

/// Looks at the folder's git repository, if it is in one.
///
/// # Errors
/// The repository is there but cannot be read.
pub fn of(folder: &Path) -> anyhow::Result<Revision> {
    let none = |why: &str| Ok(Revision { why_not: Some(why.into()), ..Revision::default() });
    let Ok(repository) = gix::discover(folder) else { return none("not in a git repository") };
    let unreadable = || format!("cannot read the git repository of {}", folder.display());
    let Ok(commit) = repository.head_commit() else { return none("the git repository has no commit yet") };
    let status = repository.status(gix::progress::Discard).map_err(|error| anyhow!("{error}")).with_context(unreadable)?;
    let mut changes = status.into_iter(None).map_err(|error| anyhow!("{error}")).with_context(unreadable)?;
    if let Some(change) = changes.next() {
        let change = change.map_err(|error| anyhow!("{error}")).with_context(unreadable)?;
        return none(&format!("the tree is not clean, see {}", change.location()));
    }
    let time = commit.time().map_err(|error| anyhow!("{error}")).with_context(unreadable)?;
    let branch = repository.head_name().ok().flatten().map(|name| name.shorten().to_string());
    Ok(Revision { commit: Some(commit.id.to_string()), branch, epoch: time.seconds, why_not: None })
}
