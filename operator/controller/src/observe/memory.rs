//! What did an object want to know, and what is known of that? Losing all of it costs only time.

use super::Guarded;
use super::books::{Book, Page};
use futures::channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use gowindows_model::attest::Testimony;
use gowindows_model::facts::{Answers, GitLogin, ModulesLogin, Published, ResolvedBase, Revision};
use gowindows_model::question::Question;
use kube::runtime::reflector::ObjectRef;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// Of an object so many questions are remembered, those that it put last: an old one is of a build that was.
const REMEMBERED: usize = 24;

/// Answers of the outside world, who follows them, and who is gone.
pub struct Memory {
    pub(super) books: Books,
    objects: Mutex<HashMap<String, Followed>>,
    /// Objects that are gone although the store still shows them.
    gone: Mutex<HashSet<String>>,
    wake: UnboundedSender<ObjectRef<Guarded>>,
}

/// One book for each kind of answer.
#[derive(Default)]
pub(super) struct Books {
    pub(super) sources: Book<Revision>,
    pub(super) git_logins: Book<GitLogin>,
    pub(super) digests: Book<String>,
    pub(super) bases: Book<ResolvedBase>,
    pub(super) usable: Book<()>,
    pub(super) modules: Book<ModulesLogin>,
    pub(super) published: Book<Option<Published>>,
    pub(super) provenance: Book<Vec<Testimony>>,
}

/// What one object follows.
struct Followed {
    /// All of its specification that decides whom it asks, and with what.
    of: String,
    /// The newest last.
    pages: Vec<Page>,
}

impl Memory {
    /// Nothing yet. What comes out are objects of which an answer has changed that another one asked for.
    pub fn new() -> (Self, UnboundedReceiver<ObjectRef<Guarded>>) {
        let (wake, woken) = mpsc::unbounded();
        (Self { books: Books::default(), objects: Mutex::default(), gone: Mutex::default(), wake }, woken)
    }

    /// What is known of what an object asked while its specification named these whom it asks.
    pub(super) fn recall(&self, uid: &str, of: &str) -> Answers {
        let mut answers = Answers::default();
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        for page in objects.get(uid).filter(|followed| followed.of == of).iter().flat_map(|followed| &followed.pages) {
            self.books.write(page, &mut answers);
        }
        answers
    }

    /// An object follows what it asks.
    pub(super) fn follow(&self, uid: &str, of: &str, object: &ObjectRef<Guarded>, page: &Page) {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let followed = objects.entry(uid.to_owned()).or_insert_with(|| Followed { of: of.to_owned(), pages: Vec::new() });
        if followed.of != of {
            self.leave(uid, followed.pages.drain(..));
            followed.of = of.to_owned();
        }
        followed.pages.retain(|known| known != page);
        followed.pages.push(page.clone());
        let over = followed.pages.len().saturating_sub(REMEMBERED);
        self.leave(uid, followed.pages.drain(..over));
        self.books.follow(page, uid, object);
    }

    /// Looks again at objects.
    pub(super) fn wake(&self, objects: Vec<ObjectRef<Guarded>>) {
        for object in objects {
            // Nobody listens any more where the operator stops.
            let _ = self.wake.unbounded_send(object);
        }
    }

    /// An object is gone: nothing is done for it any more, even while the store still shows it.
    pub fn bury(&self, uid: &str) {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned());
    }

    /// Whether an object is known to be gone.
    pub fn is_gone(&self, uid: &str) -> bool {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).contains(uid)
    }

    /// Forgets an object that the store does not show any more.
    pub fn forget(&self, uid: &str) {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        let followed = self.objects.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        self.leave(uid, followed.into_iter().flat_map(|followed| followed.pages));
    }

    /// A list has shown which objects there are: what is known of others is forgotten.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<String> = objects.keys().filter(|uid| !uids.contains(*uid)).cloned().collect();
        drop(objects);
        for uid in gone {
            self.forget(&uid);
        }
    }

    fn leave(&self, uid: &str, pages: impl Iterator<Item = Page>) {
        for page in pages {
            self.books.leave(&page, uid);
        }
    }
}

impl Books {
    /// Writes the newest answer to where decisions look for it.
    fn write(&self, page: &Page, answers: &mut Answers) {
        match page.question() {
            Question::Source { .. } => answers.source = self.sources.seen(page),
            Question::GitLogin { .. } => answers.git_login = self.git_logins.seen(page),
            Question::Digest { reference, .. } => drop(answers.digests.insert(reference.clone(), self.digests.seen(page))),
            Question::Base { reference, .. } => drop(answers.bases.insert(reference.clone(), self.bases.seen(page))),
            Question::Published { tag, .. } => drop(answers.published.insert(tag.clone(), self.published.seen(page))),
            Question::Provenance { digest, .. } => drop(answers.provenance.insert(digest.clone(), self.provenance.seen(page))),
            Question::Builder { .. } => answers.builder = self.usable.seen(page),
            Question::Workspace { .. } => answers.workspace = self.usable.seen(page),
            Question::CacheClaim { .. } => answers.cache_claim = self.usable.seen(page),
            Question::Modules { .. } => answers.modules = self.modules.seen(page),
        }
    }

    fn follow(&self, page: &Page, uid: &str, object: &ObjectRef<Guarded>) {
        match page.question() {
            Question::Source { .. } => self.sources.follow(page, uid, object),
            Question::GitLogin { .. } => self.git_logins.follow(page, uid, object),
            Question::Digest { .. } => self.digests.follow(page, uid, object),
            Question::Base { .. } => self.bases.follow(page, uid, object),
            Question::Published { .. } => self.published.follow(page, uid, object),
            Question::Provenance { .. } => self.provenance.follow(page, uid, object),
            Question::Builder { .. } | Question::Workspace { .. } | Question::CacheClaim { .. } => self.usable.follow(page, uid, object),
            Question::Modules { .. } => self.modules.follow(page, uid, object),
        }
    }

    fn leave(&self, page: &Page, uid: &str) {
        match page.question() {
            Question::Source { .. } => self.sources.leave(page, uid),
            Question::GitLogin { .. } => self.git_logins.leave(page, uid),
            Question::Digest { .. } => self.digests.leave(page, uid),
            Question::Base { .. } => self.bases.leave(page, uid),
            Question::Published { .. } => self.published.leave(page, uid),
            Question::Provenance { .. } => self.provenance.leave(page, uid),
            Question::Builder { .. } | Question::Workspace { .. } | Question::CacheClaim { .. } => self.usable.leave(page, uid),
            Question::Modules { .. } => self.modules.leave(page, uid),
        }
    }
}
