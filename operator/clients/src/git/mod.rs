//! What does a git repository have, and how is it fetched?
//!
//! Over HTTPS and in process: [`resolve`] asks for references only and downloads nothing; [`fetch`] brings one commit.
//!
//! | module | answers |
//! |---|---|
//! | `auth` | which credentials and authorities does a Secret hold? |
//! | `https` | how is one request made, and where do credentials go? |
//! | `exchange` | how do our requests look to gix? |
//! | `session` | what is said to a git server? |
//! | `refs` | which of the listed references is meant? |
//! | `error` | what can go wrong, and what should be done about it? |
//!
//! Not here: ssh, pushing, submodules, LFS, work trees (`gowindows_builder::step::source` writes those).

mod auth;
mod client;
mod error;
mod exchange;
mod https;
mod refs;
mod session;
mod stop;

pub use auth::{AuthError, Credentials, GitAuth, Secret};
pub use client::GitClient;
pub use error::GitError;
pub use gowindows_model::wire::source::Reference;
pub use refs::Resolved;
pub use stop::{Stop, StopOnDrop};

use gix::ObjectId;
use https::{Clients, Door};
use session::Session;
use std::path::Path;
use std::time::Duration;

/// How long [`resolve`] may take where nothing else is said.
pub const RESOLVE_DEADLINE: Duration = Duration::from_secs(30);
/// A list of references is never longer than this, in bytes.
const LISTING_LIMIT: u64 = 64 << 20;

/// To which commit does `reference` point at `url` now?
///
/// Only references are asked for. It ends after `deadline` whatever the server does, and at once when the future is dropped.
/// A commit is its own answer: the network is not asked.
pub async fn resolve(url: &str, reference: &Reference, auth: &GitAuth, deadline: Duration) -> Result<Resolved, GitError> {
    resolve_with(&Clients::default(), url, reference, auth, deadline).await
}

/// The same over connections that are kept.
async fn resolve_with(
    clients: &Clients,
    url: &str,
    reference: &Reference,
    auth: &GitAuth,
    deadline: Duration,
) -> Result<Resolved, GitError> {
    let door = Door::new(url, auth, clients)?;
    if let Reference::Commit(id) = reference {
        return Ok(Resolved { reference_name: id.clone(), commit: id.clone() });
    }
    let stop = Stop::default();
    let _ends_with_the_future = stop.on_drop();
    let (reference, of_the_work) = (reference.clone(), stop.clone());
    let work = tokio::task::spawn_blocking(move || find(door, &reference, of_the_work));
    match tokio::time::timeout(deadline, work).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => Err(GitError::Prepare { url: url.to_owned(), detail: error.to_string() }),
        Err(_) => Err(GitError::Timeout { url: url.to_owned(), limit: deadline }),
    }
}

fn find(door: Door, reference: &Reference, stop: Stop) -> Result<Resolved, GitError> {
    let mut session = Session::open(door.clone(), stop, LISTING_LIMIT)?;
    if let Some(found) = refs::pick(&session.list(&refs::prefixes(reference))?, reference) {
        return Ok(found);
    }
    // That the reference is missing is the news; what there is in its place is a courtesy.
    let others = session.list(&refs::all_prefixes()).unwrap_or_default();
    let hint = refs::hint(&others, reference);
    Err(GitError::FindReference { url: door.url().to_owned(), reference: reference.clone(), hint })
}

/// Which commit to fetch, from where, and how much of it at most.
#[derive(Clone, Debug)]
pub struct Fetch<'a> {
    /// The repository.
    pub url: &'a str,
    /// The commit, 40 hexadecimal digits.
    pub commit: &'a str,
    /// Where to look for it if the server does not serve commits by id.
    pub reference: &'a Reference,
    /// How to introduce oneself.
    pub auth: &'a GitAuth,
    /// Limit of one download, in bytes.
    pub max_bytes: u64,
}

/// Fetches a commit into the object store `objects`, an empty folder, and says in `progress` what it does.
///
/// The commit alone is asked for first. A server that does not serve commits by id is asked for the annotated tag that was made
/// for it, and then for the whole history of the reference (of all branches and tags where none is known). Blocks; call it on a
/// thread that may, within a runtime.
pub fn fetch(request: &Fetch<'_>, objects: &Path, stop: &Stop, progress: impl Fn(&str)) -> Result<(), GitError> {
    let Fetch { url, commit, reference, auth, max_bytes } = request;
    let door = Door::new(url, auth, &Clients::default())?;
    let missing = || GitError::FindCommit { url: (*url).to_owned(), commit: (*commit).to_owned() };
    let id = ObjectId::from_hex(commit.as_bytes()).map_err(|_| missing())?;
    let packs = objects.join("pack");
    let prepare = |error: std::io::Error| GitError::Prepare { url: (*url).to_owned(), detail: format!("{}: {error}", packs.display()) };
    std::fs::create_dir_all(&packs).map_err(prepare)?;

    let open = || Session::open(door.clone(), stop.clone(), *max_bytes);
    let refused = match open()?.fetch(&[id], true, &packs) {
        Err(error @ GitError::Answer { .. }) => error,
        done => return done,
    };
    progress(&format!("the server does not serve {commit} by its id; looking for it in the history of {reference} ({refused})"));
    let mut session = open()?;
    let listed = session.list(&refs::prefixes(reference))?;
    let tips = refs::tips(&listed, reference);
    if tips.is_empty() {
        return Err(missing());
    }
    let is_newest = refs::pick(&listed, reference).is_some_and(|found| found.commit == *commit);
    session.fetch(&tips, is_newest, &packs)?;
    let store = gix::odb::at(objects, gix::hash::Kind::Sha1).map_err(prepare)?;
    match gix::odb::HeaderExt::header(&store, id) {
        Ok(_) => Ok(()),
        Err(_) => Err(missing()),
    }
}
