//! What does a watch show? The writes after a version, one JSON line each, until its time is over or the wire ends it.

use super::answers::Refusal;
use super::call::Call;
use super::kinds::KINDS;
use super::store::{Change, Store};
use super::wire::{Delivery, Wire};
use bytes::Bytes;
use futures::stream::{self, Stream};
use serde_json::json;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

/// A quiet watch says after this time how far it has come.
const BOOKMARK: Duration = Duration::from_secs(60);
/// And once more so long before it ends.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

pub(super) struct Watch {
    pub(super) call: Call,
    pub(super) store: Arc<Mutex<Store>>,
    pub(super) wire: Arc<dyn Wire>,
    pub(super) written: Receiver<u64>,
    /// The version that it has come to.
    pub(super) at: u64,
    pub(super) ends: Instant,
    pub(super) waiting: VecDeque<Bytes>,
    pub(super) over: bool,
}

impl Watch {
    pub(super) fn stream(self) -> impl Stream<Item = Bytes> {
        stream::unfold(self, |mut watch| async move {
            let line = watch.next().await?;
            Some((line, watch))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.waiting.pop_front() {
                return Some(line);
            }
            if self.over {
                return None;
            }
            match self.newer() {
                Newer::Gone => {
                    self.over = true;
                    let gone = Refusal::new(410, "Expired", format!("too old resource version: {}", self.at));
                    return Some(line("ERROR", gone.body().to_string().as_bytes()));
                }
                Newer::Change { version, line } => match self.wire.deliver(&self.call, version).await {
                    Delivery::Once => {
                        self.at = version;
                        return Some(line);
                    }
                    Delivery::Twice => {
                        self.at = version;
                        self.waiting.push_back(line.clone());
                        return Some(line);
                    }
                    Delivery::Cut => return None,
                },
                Newer::Nothing => {
                    let bookmark = self.next_bookmark(Instant::now());
                    tokio::select! {
                        biased;
                        _ = self.written.changed() => {}
                        () = tokio::time::sleep_until(self.ends) => return None,
                        () = tokio::time::sleep_until(bookmark) => return Some(self.bookmark()),
                    }
                }
            }
        }
    }

    fn newer(&mut self) -> Newer {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        self.written.borrow_and_update();
        if self.at < store.compacted() {
            return Newer::Gone;
        }
        for change in store.changes_after(self.at) {
            if let Some(line) = self.shown(change) {
                return Newer::Change { version: change.version, line };
            }
            self.at = change.version;
        }
        Newer::Nothing
    }

    /// An object that comes to be selected is added, one that is not selected any more is deleted, and shown as it was when it was.
    fn shown(&self, change: &Change) -> Option<Bytes> {
        let selected = |stored: &&super::Stored| self.call.selects(&change.key, stored);
        let kind = KINDS.get(change.key.0)?;
        let (old, new) = (change.old.as_ref().filter(selected), change.new.as_ref().filter(selected));
        match (old, new) {
            (None, Some(new)) => Some(line("ADDED", &new.shown(kind))),
            (Some(_), Some(new)) => Some(line("MODIFIED", &new.shown(kind))),
            (Some(old), None) => Some(line("DELETED", &old.shown_deleted(kind, change.version))),
            (None, None) => None,
        }
    }

    fn next_bookmark(&self, now: Instant) -> Instant {
        let (next, last) = (now + BOOKMARK, self.ends - LAST_BOOKMARK);
        match self.call.query.get("allowWatchBookmarks").map(String::as_str) {
            Some("true") if last > now => next.min(last),
            Some("true") => next,
            _ => self.ends,
        }
    }

    fn bookmark(&self) -> Bytes {
        let (api_version, kind) = KINDS.get(self.call.kind).map(|kind| (kind.api_version(), kind.kind)).unwrap_or_default();
        let bookmark = json!({"apiVersion": api_version, "kind": kind, "metadata": {"resourceVersion": self.at.to_string()}});
        line("BOOKMARK", bookmark.to_string().as_bytes())
    }
}

enum Newer {
    Gone,
    Change { version: u64, line: Bytes },
    Nothing,
}

fn line(kind: &str, object: &[u8]) -> Bytes {
    Bytes::from([format!("{{\"type\":\"{kind}\",\"object\":").as_bytes(), object, b"}\n"].concat())
}
