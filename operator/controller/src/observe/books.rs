//! What has the outside world answered? Kept by what was asked and with what credential, not by who asked: of many objects that follow one
//! branch, or stand on one base, one asks for all.
//!
//! A failure is an answer as well. Two who ask the same at the same time ask once.

use gowindows_model::call_error::CallError;
use gowindows_model::facts::{Seen, Trouble};
use gowindows_model::question::Question;
use k8s_openapi::jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

use super::Guarded;
use kube::runtime::reflector::ObjectRef;

/// Under what an answer is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Page {
    /// The namespace of the Secret or claim that the question names; none where the same question of another namespace is the same.
    scope: Option<String>,
    question: Question,
}

impl Page {
    pub(super) fn new(namespace: &str, question: Question) -> Self {
        use gowindows_model::access::Access;
        let anyone = match &question {
            Question::Source { secret, .. } => secret.is_none(),
            Question::Digest { access, .. } | Question::Base { access, .. } => !matches!(access, Access::Secret { .. }),
            Question::Published { repository, .. } => !matches!(repository.access, Access::Secret { .. }),
            Question::Workspace { .. } | Question::CacheClaim { .. } | Question::Builder { .. } | Question::Modules { .. } => false,
        };
        Self { scope: (!anyone).then(|| namespace.to_owned()), question }
    }

    pub(super) fn question(&self) -> &Question {
        &self.question
    }

    /// An answer that another object has got may be so old. What is pushed or rotated is seen by whoever asks after that.
    fn shared_for(&self) -> Duration {
        match self.question {
            Question::Source { .. } => Duration::from_secs(2),
            Question::Digest { .. } | Question::Base { .. } => Duration::from_secs(10),
            Question::Published { .. }
            | Question::Workspace { .. }
            | Question::CacheClaim { .. }
            | Question::Builder { .. }
            | Question::Modules { .. } => Duration::ZERO,
        }
    }
}

/// The answers of one kind.
pub(super) struct Book<T> {
    pages: Mutex<HashMap<Page, Arc<Entry<T>>>>,
}

impl<T> Default for Book<T> {
    fn default() -> Self {
        Self { pages: Mutex::default() }
    }
}

struct Entry<T> {
    known: Mutex<Known<T>>,
    /// Held by the one who asks.
    turn: tokio::sync::Mutex<()>,
    /// By uid.
    followers: Mutex<BTreeMap<String, ObjectRef<Guarded>>>,
}

struct Known<T> {
    seen: Seen<T>,
    /// When the newest question was put, and when it was answered.
    asked: Option<(Instant, Instant)>,
}

impl<T: Clone + PartialEq> Book<T> {
    /// What was answered last.
    pub(super) fn seen(&self, page: &Page) -> Seen<T> {
        self.pages().get(page).map(|entry| lock(&entry.known).seen.clone()).unwrap_or_default()
    }

    /// Asks, unless somebody else has just done so and `mine` is older; returns the answer, and whom it concerns beside who asked.
    pub(super) async fn ask(
        &self,
        page: &Page,
        mine: &Seen<T>,
        now: Timestamp,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> (Seen<T>, Vec<ObjectRef<Guarded>>) {
        let entry = self.entry(page);
        let began_to_wait = Instant::now();
        let _turn = entry.turn.lock().await;
        if let Some(seen) = entry.shared(page, mine, began_to_wait) {
            return (seen, Vec::new());
        }
        let began = Instant::now();
        let answer = call.await;
        let mut known = lock(&entry.known);
        let news = seen(&known.seen, answer, now);
        let changed = known.seen.value().is_some() && known.seen.value() != news.value();
        *known = Known { seen: news.clone(), asked: Some((began, Instant::now())) };
        let concerned = if changed { lock(&entry.followers).values().cloned().collect() } else { Vec::new() };
        (news, concerned)
    }

    /// From now on an object is told when the answer changes.
    pub(super) fn follow(&self, page: &Page, uid: &str, object: &ObjectRef<Guarded>) {
        lock(&self.entry(page).followers).insert(uid.to_owned(), object.clone());
    }

    /// An object wants to know no more; what nobody wants to know is forgotten.
    pub(super) fn leave(&self, page: &Page, uid: &str) {
        let mut pages = self.pages();
        let Some(entry) = pages.get(page) else { return };
        let mut followers = lock(&entry.followers);
        followers.remove(uid);
        if followers.is_empty() {
            drop(followers);
            pages.remove(page);
        }
    }

    fn entry(&self, page: &Page) -> Arc<Entry<T>> {
        self.pages().entry(page.clone()).or_default().clone()
    }

    fn pages(&self) -> MutexGuard<'_, HashMap<Page, Arc<Entry<T>>>> {
        lock(&self.pages)
    }
}

impl<T> Default for Entry<T> {
    fn default() -> Self {
        Self { known: Mutex::new(Known { seen: Seen::NotAsked, asked: None }), turn: tokio::sync::Mutex::default(), followers: Mutex::default() }
    }
}

impl<T: Clone> Entry<T> {
    /// An answer that is new to whoever asks: it is recent, or it is a failure that came while it waited for its turn.
    fn shared(&self, page: &Page, mine: &Seen<T>, waiting_since: Instant) -> Option<Seen<T>> {
        let known = lock(&self.known);
        let (asked, answered) = known.asked?;
        let new = known.seen.looked_at() > mine.looked_at() || answered > waiting_since;
        let recent = waiting_since.saturating_duration_since(asked) <= page.shared_for() && !page.shared_for().is_zero();
        let failed = known.seen.trouble().is_some() && answered > waiting_since;
        (new && (recent || failed)).then(|| known.seen.clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seen<T: Clone>(before: &Seen<T>, answer: Result<T, CallError>, now: Timestamp) -> Seen<T> {
    match answer {
        Ok(value) => Seen::Fresh(value, now),
        Err(CallError { reason, message }) => {
            let times = before.trouble().map_or(0, |trouble| trouble.times).saturating_add(1);
            let trouble = Trouble { reason, message, at: now, times };
            match before.value() {
                Some(value) => Seen::Stale(value.clone(), trouble),
                None => Seen::Unknown(trouble),
            }
        }
    }
}

#[cfg(test)]
mod tests;
