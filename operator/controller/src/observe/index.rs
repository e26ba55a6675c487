//! Which objects belong to what? Names by key, so that no pass looks through all objects of the cluster.
//!
//! A name in here is a hint: the store says whether the object is there, and the object itself whether it belongs.

use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};
use std::collections::{BTreeSet, HashMap};

/// Namespace and name.
pub(super) type Name = (String, String);

/// To what an object belongs, as many times as it does.
pub(super) type Keys<K> = fn(&K) -> Vec<String>;

/// The namespace and name of an object.
pub(super) fn name_of(object: &impl ResourceExt) -> Name {
    (object.namespace().unwrap_or_default(), object.name_any())
}

/// Names by key.
#[derive(Debug, Default)]
pub(super) struct Index {
    names: HashMap<String, BTreeSet<Name>>,
    keys: HashMap<Name, Vec<String>>,
    /// What a list that has not come to its end has brought.
    arriving: HashMap<Name, Vec<String>>,
}

impl Index {
    /// Those that belong there, in the order of their names.
    pub(super) fn names(&self, key: &str) -> impl Iterator<Item = &Name> {
        self.names.get(key).into_iter().flatten()
    }

    /// All that are filed, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Name> {
        self.keys.keys()
    }

    /// Files an object under what it belongs to now.
    pub(super) fn insert(&mut self, name: Name, keys: Vec<String>) {
        if self.keys.get(&name).is_some_and(|known| *known == keys) {
            return;
        }
        self.remove(&name);
        for key in &keys {
            self.names.entry(key.clone()).or_default().insert(name.clone());
        }
        self.keys.insert(name, keys);
    }

    /// Forgets an object.
    pub(super) fn remove(&mut self, name: &Name) {
        for key in self.keys.remove(name).into_iter().flatten() {
            if let Some(names) = self.names.get_mut(&key) {
                names.remove(name);
                if names.is_empty() {
                    self.names.remove(&key);
                }
            }
        }
    }

    /// Follows a watch, as its store does: a list replaces all at its end.
    pub(super) fn apply<K: Resource>(&mut self, event: &Event<K>, keys: Keys<K>) {
        match event {
            Event::Apply(object) => self.insert(name_of(object), keys(object)),
            Event::Delete(object) => self.remove(&name_of(object)),
            Event::Init => self.arriving.clear(),
            Event::InitApply(object) => {
                self.arriving.insert(name_of(object), keys(object));
            }
            Event::InitDone => {
                let arrived = std::mem::take(&mut self.arriving);
                *self = Self::default();
                for (name, keys) in arrived {
                    self.insert(name, keys);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;

    fn object(name: &str, owners: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        (object.metadata.name, object.metadata.namespace) = (Some(name.into()), Some("team".into()));
        object.data = Some([("owners".to_owned(), owners.to_owned())].into());
        object
    }

    fn keys(object: &ConfigMap) -> Vec<String> {
        let owners = object.data.as_ref().map(|data| data["owners"].clone()).unwrap_or_default();
        owners.split_whitespace().map(str::to_owned).collect()
    }

    fn names(index: &Index, key: &str) -> Vec<String> {
        index.names(key).map(|(_, name)| name.clone()).collect()
    }

    #[test]
    fn an_index_follows_its_watch() {
        let mut index = Index::default();
        for event in [
            Event::Apply(object("b", "one two")),
            Event::Apply(object("a", "one")),
            Event::Apply(object("c", "one")),
            Event::Apply(object("b", "two")),
            Event::Delete(object("c", "whatever")),
        ] {
            index.apply(&event, keys);
        }
        assert_eq!((names(&index, "one"), names(&index, "two"), names(&index, "three")), (vec!["a".into()], vec!["b".into()], vec![]));
    }

    #[test]
    fn a_list_replaces_all_at_its_end() {
        let mut index = Index::default();
        index.apply(&Event::Apply(object("old", "one")), keys);
        for event in [Event::Init, Event::InitApply(object("lost", "one")), Event::Init, Event::InitApply(object("new", "one"))] {
            index.apply(&event, keys);
            assert_eq!(names(&index, "one"), ["old"], "a list that broke off changes nothing");
        }
        index.apply(&Event::<ConfigMap>::InitDone, keys);
        assert_eq!(names(&index, "one"), ["new"]);
        index.remove(&("team".into(), "new".into()));
        assert!(index.names.is_empty() && index.keys.is_empty() && index.arriving.is_empty(), "nothing stays behind");
    }
}
