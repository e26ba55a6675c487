//! What does the cluster show of one kind? The store of a watch, found by name or by what objects belong to, overlaid by what this process
//! wrote and the watch has not shown yet: a decision on a store that is behind would repeat the write (KubeRay issue 4849, KEP-5647).

use super::index::{Index, Keys, Name, name_of};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A write is remembered this long at the most. A watch that has stalled is noticed and started again after some 320 s: until then the
/// store shows a past in which the write has not happened.
pub(super) const KEPT: Duration = Duration::from_secs(600);

/// Objects of one kind. Clones share them.
pub struct Watched<K: Resource<DynamicType = ()> + 'static> {
    store: Store<K>,
    keys: Keys<K>,
    shown: Arc<Mutex<Index>>,
    written: Arc<Mutex<Written<K>>>,
    /// Whether a first list has come to its end. The store's own promise wakes one alone of those who wait for it.
    filled: Arc<watch::Sender<bool>>,
}

/// What the API server answered to writes, until the store has it.
struct Written<K> {
    objects: HashMap<Name, (Arc<K>, Timestamp)>,
    index: Index,
    /// In the order in which they were written.
    ages: VecDeque<(Timestamp, Name)>,
}

impl<K: Resource<DynamicType = ()> + 'static> Clone for Watched<K> {
    fn clone(&self) -> Self {
        let Self { store, keys, shown, written, filled } = self;
        Self { store: store.clone(), keys: *keys, shown: shown.clone(), written: written.clone(), filled: filled.clone() }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Watched<K> {
    /// What a store shows that a watch fills; `keys` says to what an object belongs.
    pub(crate) fn new(store: Store<K>, keys: fn(&K) -> Vec<String>) -> Self {
        let written = Written { objects: HashMap::new(), index: Index::default(), ages: VecDeque::new() };
        let filled = Arc::new(watch::Sender::new(false));
        Self { store, keys, shown: Arc::default(), written: Arc::new(Mutex::new(written)), filled }
    }

    /// Follows the watch, right after its store.
    pub(crate) fn follow(&self, event: &Event<K>) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).apply(event, self.keys);
        if let Event::InitDone = event {
            self.filled.send_replace(true);
        }
        // The watch has shown that it is gone: it is, whatever was written to it.
        if let Event::Delete(gone) = event {
            let mut written = self.written();
            let name = name_of(gone);
            if written.objects.get(&name).is_some_and(|(own, _)| own.uid() == gone.uid()) {
                written.forget(&name);
            }
        }
    }

    /// Whether something that belongs there is known by own writes alone.
    pub(crate) fn unseen(&self, key: &str) -> bool {
        self.written().index.names(key).next().is_some()
    }

    /// Waits until the watch has shown everything once.
    pub(crate) async fn ready(&self) {
        // The sender lives as long as this.
        let _ = self.filled.subscribe().wait_for(|filled| *filled).await;
    }

    /// The store itself, for what looks at all objects. No pass does.
    pub(crate) fn store(&self) -> &Store<K> {
        &self.store
    }

    /// What the watch has shown of an object.
    pub(crate) fn stored(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }

    /// All that the watch has shown, by name.
    pub(crate) fn references(&self) -> Vec<ObjectRef<K>> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let names: BTreeSet<&Name> = shown.all().collect();
        names.into_iter().map(|(namespace, name)| ObjectRef::new(name).within(namespace)).collect()
    }

    /// All that the watch has shown. No pass asks for this.
    pub(crate) fn everything(&self) -> Vec<Arc<K>> {
        self.store.state()
    }

    /// What the watch has shown that belongs there.
    pub(crate) fn shown(&self, key: &str) -> Vec<Arc<K>> {
        let names: Vec<Name> = self.shown.lock().unwrap_or_else(PoisonError::into_inner).names(key).cloned().collect();
        names.iter().filter_map(|(namespace, name)| self.stored(namespace, name)).collect()
    }

    /// The newer of what the watch has shown of an object and what this process wrote.
    pub(crate) fn get(&self, namespace: &str, name: &str, now: Timestamp) -> Option<Arc<K>> {
        let stored = self.stored(namespace, name);
        let mut written = self.written();
        let key = (namespace.to_owned(), name.to_owned());
        let Some((own, at)) = written.objects.get(&key) else { return stored };
        let expired = age(now, *at) >= KEPT;
        let caught_up = stored.as_ref().is_some_and(|stored| version(stored.as_ref()) >= version(own.as_ref()));
        if expired || caught_up {
            written.forget(&key);
            return stored;
        }
        Some(own.clone())
    }

    /// What belongs there, as shown and as written, in the order of names.
    pub(crate) fn of(&self, key: &str, now: Timestamp) -> Vec<Arc<K>> {
        let mut names: BTreeSet<Name> = self.shown.lock().unwrap_or_else(PoisonError::into_inner).names(key).cloned().collect();
        names.extend(self.written().index.names(key).cloned());
        let belongs = |object: &Arc<K>| (self.keys)(object).iter().any(|own| own == key);
        names.iter().filter_map(|(namespace, name)| self.get(namespace, name, now)).filter(belongs).collect()
    }

    /// All, as shown and as written. No pass asks for this.
    pub(crate) fn all(&self, now: Timestamp) -> Vec<Arc<K>> {
        let mut names: BTreeSet<Name> = self.store.state().iter().map(|object| name_of(object.as_ref())).collect();
        names.extend(self.written().objects.keys().cloned());
        names.iter().filter_map(|(namespace, name)| self.get(namespace, name, now)).collect()
    }

    /// Remembers what the API server answered to a write.
    pub fn remember(&self, object: K, now: Timestamp) {
        let (name, keys) = (name_of(&object), (self.keys)(&object));
        let mut written = self.written();
        written.expire(now);
        // Answers to two writes can come in the other order.
        if written.objects.get(&name).is_some_and(|(known, _)| known.uid() == object.uid() && version(known.as_ref()) > version(&object)) {
            return;
        }
        written.index.insert(name.clone(), keys);
        written.ages.push_back((now, name.clone()));
        written.objects.insert(name, (Arc::new(object), now));
    }

    /// Forgets a write, because the object was deleted.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.written().forget(&(namespace.to_owned(), name.to_owned()));
    }

    fn written(&self) -> MutexGuard<'_, Written<K>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Written<K> {
    fn forget(&mut self, name: &Name) {
        self.objects.remove(name);
        self.index.remove(name);
    }

    fn expire(&mut self, now: Timestamp) {
        while self.ages.front().is_some_and(|(at, _)| age(now, *at) >= KEPT) {
            let Some((at, name)) = self.ages.pop_front() else { break };
            // It may have been written again since.
            if self.objects.get(&name).is_some_and(|(_, written)| *written == at) {
                self.forget(&name);
            }
        }
    }
}

fn age(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

/// Resource versions are compared only to drop a memory early; correctness rests on names and preconditions.
fn version<K: Resource>(object: &K) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::reflector::store::Writer;

    fn object(name: &str, version: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        (object.metadata.name, object.metadata.namespace) = (Some(name.into()), Some("n".into()));
        object.metadata.resource_version = Some(version.into());
        object
    }

    /// All belong to one thing.
    fn watched() -> (Watched<ConfigMap>, Writer<ConfigMap>) {
        let writer = Writer::new(());
        (Watched::new(writer.as_reader(), |_| vec!["all".into()]), writer)
    }

    fn show(watched: &Watched<ConfigMap>, writer: &mut Writer<ConfigMap>, event: &Event<ConfigMap>) {
        writer.apply_watcher_event(event);
        watched.follow(event);
    }

    fn versions(watched: &Watched<ConfigMap>, now: Timestamp) -> Vec<String> {
        watched.of("all", now).iter().filter_map(|object| object.resource_version()).collect()
    }

    #[tokio::test]
    async fn everybody_who_waits_for_the_first_list_is_woken() {
        let (watched, mut writer) = watched();
        let waits = || {
            tokio::spawn({
                let watched = watched.clone();
                async move { watched.ready().await }
            })
        };
        let waiting = [waits(), waits(), waits()];
        tokio::task::yield_now().await;
        assert!(watched.ready().now_or_never().is_none(), "whoever only asks takes nobody's turn");
        for event in [Event::Init, Event::InitApply(object("a", "1")), Event::InitDone] {
            show(&watched, &mut writer, &event);
        }
        for one in waiting {
            one.await.expect("it is woken");
        }
    }

    #[test]
    fn an_own_write_stands_until_the_store_has_it() {
        let ((watched, mut writer), now) = (watched(), Timestamp::UNIX_EPOCH);
        watched.remember(object("a", "7"), now);
        assert_eq!(versions(&watched, now), ["7"], "found although the watch has not shown it");
        show(&watched, &mut writer, &Event::Apply(object("a", "5")));
        show(&watched, &mut writer, &Event::Apply(object("b", "6")));
        assert_eq!(versions(&watched, now), ["7", "6"]);
        show(&watched, &mut writer, &Event::Apply(object("a", "8")));
        assert_eq!(watched.get("n", "a", now).and_then(|object| object.resource_version()).as_deref(), Some("8"));
        show(&watched, &mut writer, &Event::Delete(object("a", "8")));
        assert_eq!(versions(&watched, now), ["6"], "once caught up, a deletion is believed");
    }

    #[test]
    fn a_deletion_is_believed_at_once() {
        let ((watched, mut writer), now) = (watched(), Timestamp::UNIX_EPOCH);
        watched.remember(object("a", "7"), now);
        let mut namesake = object("a", "8");
        namesake.metadata.uid = Some("another".into());
        show(&watched, &mut writer, &Event::Delete(namesake));
        assert_eq!(versions(&watched, now), ["7"]);
        show(&watched, &mut writer, &Event::Delete(object("a", "8")));
        assert!(versions(&watched, now).is_empty());
    }

    #[test]
    fn an_own_write_does_not_stand_for_ever() {
        let ((watched, _writer), now) = (watched(), Timestamp::UNIX_EPOCH);
        watched.remember(object("a", "7"), now);
        let later = now.checked_add(KEPT).expect("in range");
        assert!(watched.get("n", "a", later).is_none());
        watched.remember(object("b", "8"), now);
        watched.remember(object("c", "9"), later);
        assert_eq!(watched.written().objects.len(), 1, "nor is it kept");
    }
}
