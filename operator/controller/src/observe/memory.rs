//! What was learned or written before, whose loss costs only time?
//!
//! [`Memory`] keeps answers of the outside world between passes. [`OwnWrites`] keeps what this process wrote until the watch
//! has shown it: a decision on a store that is behind would repeat the write (KubeRay issue 4849, KEP-5647).

use gowindows_model::facts::Answers;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{Resource, ResourceExt};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Answers of the outside world, by the object's uid.
#[derive(Default)]
pub struct Memory {
    objects: Mutex<HashMap<String, (String, Answers)>>,
    /// Objects that are gone although the store still shows them.
    gone: Mutex<HashSet<String>>,
}

impl Memory {
    /// The answers that were given for an object while its source was this one.
    pub(super) fn recall(&self, uid: &str, source: &str) -> Answers {
        let objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        objects.get(uid).filter(|(of, _)| of == source).map(|(_, answers)| answers.clone()).unwrap_or_default()
    }

    /// Keeps the answers of a pass.
    pub(super) fn keep(&self, uid: &str, source: &str, answers: &Answers) {
        let kept = Answers { asked: Vec::new(), ..answers.clone() };
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), (source.to_owned(), kept));
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
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// A write is remembered this long at the most. A watch that has stalled is noticed and started again after some 320 s: until then the
/// store shows a past in which the write has not happened.
const LONGEST: SignedDuration = SignedDuration::from_mins(10);

/// Namespace and name.
type Key = (String, String);
/// What the API server answered, and when.
type Written<K> = (Arc<K>, Timestamp);

/// Objects of one kind as this process last wrote them. Clones share them.
pub struct OwnWrites<K> {
    written: Arc<Mutex<HashMap<Key, Written<K>>>>,
}

impl<K> Clone for OwnWrites<K> {
    fn clone(&self) -> Self {
        Self { written: self.written.clone() }
    }
}

impl<K> Default for OwnWrites<K> {
    fn default() -> Self {
        Self { written: Arc::default() }
    }
}

impl<K: Resource> OwnWrites<K> {
    /// Remembers what the API server answered to a write.
    pub fn remember(&self, object: K, now: Timestamp) {
        let key = (object.namespace().unwrap_or_default(), object.name_any());
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.retain(|_, (_, at)| now.duration_since(*at) < LONGEST);
        written.insert(key, (Arc::new(object), now));
    }

    /// The newer of what the store shows and what this process wrote.
    pub(super) fn newer(&self, namespace: &str, name: &str, stored: Option<Arc<K>>, now: Timestamp) -> Option<Arc<K>> {
        let key = (namespace.to_owned(), name.to_owned());
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((own, at)) = written.get(&key) else { return stored };
        let expired = now.duration_since(*at) >= LONGEST;
        let caught_up = stored.as_ref().is_some_and(|stored| version(stored.as_ref()) >= version(own.as_ref()));
        if expired || caught_up {
            written.remove(&key);
            return stored;
        }
        Some(own.clone())
    }

    /// What was written in a namespace and is not expired, for objects that the store may not show yet.
    pub(super) fn names(&self, namespace: &str) -> Vec<String> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.keys().filter(|(ns, _)| ns == namespace).map(|(_, name)| name.clone()).collect()
    }

    /// All that was written and is not expired: namespace and name.
    pub(super) fn keys(&self) -> Vec<(String, String)> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The watch has shown that an object is gone: it is, whatever was written to it.
    pub fn forget_deleted(&self, object: &impl ResourceExt) {
        let key = (object.namespace().unwrap_or_default(), object.name_any());
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.get(&key).is_some_and(|(own, _)| own.uid() == object.uid()) {
            written.remove(&key);
        }
    }

    /// Forgets a write, because the object was deleted.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(&(namespace.to_owned(), name.to_owned()));
    }
}

/// Resource versions are compared only to drop a memory early; correctness rests on names and preconditions.
fn version<K: Resource>(object: &K) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn object(version: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some("a".into());
        object.metadata.namespace = Some("n".into());
        object.metadata.resource_version = Some(version.into());
        object
    }

    #[test]
    fn an_own_write_stands_until_the_store_has_it() {
        let (writes, now) = (OwnWrites::default(), Timestamp::UNIX_EPOCH);
        writes.remember(object("7"), now);
        let seen =
            |stored: Option<&str>| writes.newer("n", "a", stored.map(|v| Arc::new(object(v))), now).and_then(|o| o.resource_version());
        assert_eq!(seen(None).as_deref(), Some("7"));
        assert_eq!(seen(Some("5")).as_deref(), Some("7"));
        assert_eq!(seen(Some("8")).as_deref(), Some("8"));
        assert_eq!(seen(None), None, "once caught up, a deletion is believed");
    }

    #[test]
    fn a_deletion_is_believed_at_once() {
        let (writes, now) = (OwnWrites::default(), Timestamp::UNIX_EPOCH);
        writes.remember(object("7"), now);
        let mut namesake = object("8");
        namesake.metadata.uid = Some("another".into());
        writes.forget_deleted(&namesake);
        assert!(writes.newer("n", "a", None, now).is_some());
        writes.forget_deleted(&object("8"));
        assert!(writes.newer("n", "a", None, now).is_none());
    }

    #[test]
    fn an_own_write_does_not_stand_for_ever() {
        let (writes, now) = (OwnWrites::default(), Timestamp::UNIX_EPOCH);
        writes.remember(object("7"), now);
        let later = now.checked_add(LONGEST).expect("in range");
        assert!(writes.newer("n", "a", None, later).is_none());
    }
}
