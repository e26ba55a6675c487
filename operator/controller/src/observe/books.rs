//! What has the outside world answered? Kept by what was asked and with what credential, not by who asked: of many objects that follow one
//! branch, or stand on one base, one asks for all.
//!
//! A failure is an answer as well. Two who ask the same at the same time ask once.

use super::Guarded;
use gowindows_model::access::Access;
use gowindows_model::call_error::CallError;
use gowindows_model::facts::{Seen, Trouble};
use gowindows_model::question::Question;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Under what an answer is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Page {
    /// The namespace of the Secret or claim that the question names; none where the same question of another namespace is the same.
    scope: Option<String>,
    question: Question,
}

impl Page {
    pub(super) fn new(namespace: &str, question: Question) -> Self {
        let anyone = match &question {
            Question::Source { secret, .. } => secret.is_none(),
            Question::Digest { access, .. } | Question::Base { access, .. } => !matches!(access, Access::Secret { .. }),
            Question::Published { repository, .. } => !matches!(repository.access, Access::Secret { .. }),
            Question::Provenance { repository, key, .. } => key.is_none() && !matches!(repository.access, Access::Secret { .. }),
            Question::GitLogin { .. }
            | Question::Workspace { .. }
            | Question::CacheClaim { .. }
            | Question::Builder { .. }
            | Question::Modules { .. } => false,
        };
        Self { scope: (!anyone).then(|| namespace.to_owned()), question }
    }

    pub(super) fn question(&self) -> &Question {
        &self.question
    }

    /// Who is asked, for people and for permits: an address, an image reference, or the API server.
    pub(super) fn whom(&self) -> &str {
        match &self.question {
            Question::Source { url, .. } => url,
            Question::Digest { reference, .. } | Question::Base { reference, .. } => reference,
            Question::Published { repository, .. } | Question::Provenance { repository, .. } => &repository.name,
            Question::GitLogin { .. }
            | Question::Workspace { .. }
            | Question::CacheClaim { .. }
            | Question::Builder { .. }
            | Question::Modules { .. } => "the API server",
        }
    }

    /// Of a source that moved all learn at once; what is published or chosen concerns who asked.
    fn tells_moves(&self) -> bool {
        matches!(self.question, Question::Source { .. })
    }

    /// An answer that another object has got may be so old. What is pushed or rotated is seen by whoever asks after that.
    fn shared_for(&self) -> Duration {
        match self.question {
            Question::Source { .. } => Duration::from_secs(2),
            Question::Digest { .. } | Question::Base { .. } => Duration::from_secs(10),
            Question::Published { .. }
            | Question::Provenance { .. }
            | Question::GitLogin { .. }
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

    /// Asks, unless somebody else has just done so and `mine` is older; returns the answer, and whom its news concerns.
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
        let moved = page.tells_moves() && known.seen.value().is_some() && known.seen.value() != news.value();
        let recovered = known.seen.trouble().is_some() && news.trouble().is_none();
        *known = Known { seen: news.clone(), asked: Some((began, Instant::now())) };
        let concerned = if moved || recovered { lock(&entry.followers).values().cloned().collect() } else { Vec::new() };
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
        Self {
            known: Mutex::new(Known { seen: Seen::NotAsked, asked: None }),
            turn: tokio::sync::Mutex::default(),
            followers: Mutex::default(),
        }
    }
}

impl<T: Clone> Entry<T> {
    /// An answer that whoever asks may take: its question was put after he began to wait, or it is recent and new to him, or it is a failure that
    /// came while he waited for his turn.
    fn shared(&self, page: &Page, mine: &Seen<T>, waiting_since: Instant) -> Option<Seen<T>> {
        let known = lock(&self.known);
        let (asked, answered) = known.asked?;
        let failed = known.seen.trouble().is_some();
        let later = asked >= waiting_since && answered > waiting_since;
        let recent = waiting_since.saturating_duration_since(asked) <= page.shared_for() && known.seen.looked_at() > mine.looked_at();
        let takes = if failed { answered > waiting_since } else { later || (recent && !page.shared_for().is_zero()) };
        takes.then(|| known.seen.clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn seen<T: Clone>(before: &Seen<T>, answer: Result<T, CallError>, now: Timestamp) -> Seen<T> {
    match answer {
        Ok(value) => Seen::Fresh(value, now),
        Err(CallError { reason, message }) => {
            let trouble = Trouble { reason, message, at: now, times: times(before.trouble(), now) };
            match before.value() {
                Some(value) => Seen::Stale(value.clone(), trouble),
                None => Seen::Unknown(trouble),
            }
        }
    }
}

/// How often in a row it failed. Many may ask in the time after which one would ask again: together they wait no longer than one.
fn times(before: Option<&Trouble>, now: Timestamp) -> u32 {
    let Some(before) = before else { return 1 };
    let wait = (10 << before.times.saturating_sub(1).min(6)).min(600);
    let again = now.duration_since(before.at).as_secs() >= wait;
    before.times.saturating_add(u32::from(again))
}

#[cfg(test)]
mod tests;
