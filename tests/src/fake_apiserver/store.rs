//! What is stored, and what does each write do to it?
//!
//! Every write has a version of its own; the log of all writes is what watches read, and any past state can be read from it.

use super::answers::Refusal;
use super::fields::{self, Manager, Owners};
use super::kinds::{KINDS, Kind};
use bytes::Bytes;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The finalizer of what waits for the garbage collector to delete all that it owns.
const FOREGROUND: &str = "foregroundDeletion";

/// Kind (its place in [`KINDS`]), namespace, name.
pub type Key = (usize, String, String);

/// An object without `managedFields`, which are added for who reads it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The object.
    pub object: Arc<Value>,
    /// Who owns which of its fields.
    pub owners: Arc<Owners>,
    /// Many read what one has written.
    shown: Arc<OnceLock<Bytes>>,
}

impl Stored {
    fn new(object: Value, owners: Owners) -> Self {
        Self { object: Arc::new(object), owners: Arc::new(owners), shown: Arc::default() }
    }

    /// As the API shows it: JSON.
    pub fn shown(&self, kind: &Kind) -> Bytes {
        self.shown.get_or_init(|| Bytes::from(self.with_owners(kind).to_string())).clone()
    }

    /// The last that is seen of it once it was deleted at a version.
    pub fn shown_deleted(&self, kind: &Kind, version: u64) -> Bytes {
        let mut last = self.with_owners(kind).into_owned();
        last["metadata"]["resourceVersion"] = json!(version.to_string());
        Bytes::from(last.to_string())
    }

    fn with_owners(&self, kind: &Kind) -> Cow<'_, Value> {
        let mut shown = Cow::Borrowed(&*self.object);
        if kind.shows_owners {
            shown.to_mut()["metadata"]["managedFields"] = fields::managed_fields(kind, &self.owners);
        }
        shown
    }
}

/// One write.
#[derive(Clone, Debug)]
pub struct Change {
    /// The version that it made.
    pub version: u64,
    /// What it changed.
    pub key: Key,
    /// Who wrote: the name of a client, or of what plays a part of the cluster.
    pub writer: String,
    /// Before; `None` for a creation.
    pub old: Option<Stored>,
    /// After; `None` for a deletion.
    pub new: Option<Stored>,
}

/// What is called after each write.
pub type Observer = Box<dyn FnMut(&Change) + Send>;
/// Whether an object is admitted: CEL's and admission's part.
pub type Admission = Box<dyn Fn(&Kind, &Value) -> Result<(), Refusal> + Send>;

/// All objects.
pub struct Store {
    objects: BTreeMap<Key, Stored>,
    log: Vec<Change>,
    version: u64,
    /// Watches from before this version get 410.
    compacted: u64,
    uids: u64,
    now: String,
    terminating: Vec<String>,
    observer: Option<Observer>,
    admission: Option<Admission>,
}

/// Who writes and how it is recorded.
#[derive(Clone, Debug)]
pub struct Writer {
    /// See [`Change::writer`].
    pub name: String,
    /// The field manager.
    pub manager: String,
}

impl Default for Store {
    /// Its version is 1: 0 has a meaning of its own in requests.
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            log: Vec::new(),
            version: 1,
            compacted: 0,
            uids: 0,
            now: String::new(),
            terminating: Vec::new(),
            observer: None,
            admission: None,
        }
    }
}

impl Store {
    /// Calls this after each write.
    pub fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }

    /// Asks this before each creation or change of a specification.
    pub fn admit_by(&mut self, admission: Admission) {
        self.admission = Some(admission);
    }

    /// The time that creations and deletions are stamped with.
    pub fn set_time(&mut self, now: String) {
        self.now = now;
    }

    /// A namespace in which nothing can be created any more.
    pub fn terminate_namespace(&mut self, namespace: &str) {
        self.terminating.push(namespace.to_owned());
    }

    /// The version of the last write.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The first version that a watch can still start from.
    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Forgets history up to now, for watches.
    pub fn compact(&mut self) {
        self.compacted = self.version;
    }

    /// The writes after a version.
    pub fn changes_after(&self, version: u64) -> &[Change] {
        let from = self.log.partition_point(|change| change.version <= version);
        self.log.get(from..).unwrap_or_default()
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Stored> {
        self.objects.get(key)
    }

    /// The objects of a kind, in a namespace or in all.
    pub fn list(&self, kind: usize, namespace: Option<&str>) -> Vec<(Key, Stored)> {
        let wanted = |key: &Key| namespace.is_none_or(|namespace| key.1 == namespace);
        let of_kind = self.objects.range((kind, String::new(), String::new())..(kind + 1, String::new(), String::new()));
        of_kind.filter(|(key, _)| wanted(key)).map(|(key, stored)| (key.clone(), stored.clone())).collect()
    }

    /// The same at a past version.
    pub fn list_at(&self, version: u64, kind: usize, namespace: Option<&str>) -> Vec<(Key, Stored)> {
        let mut then = BTreeMap::new();
        for change in self.log.iter().take_while(|change| change.version <= version).filter(|change| change.key.0 == kind) {
            match &change.new {
                Some(stored) => then.insert(change.key.clone(), stored.clone()),
                None => then.remove(&change.key),
            };
        }
        then.into_iter().filter(|(key, _)| namespace.is_none_or(|namespace| key.1 == namespace)).collect()
    }

    /// Creates an object, recorded as an update.
    pub fn create(&mut self, writer: &Writer, kind: usize, namespace: &str, object: Value) -> Result<Stored, Refusal> {
        self.insert(writer, false, kind, namespace, object)
    }

    fn insert(&mut self, writer: &Writer, applies: bool, kind: usize, namespace: &str, mut object: Value) -> Result<Stored, Refusal> {
        let of = KINDS.get(kind).ok_or_else(Refusal::not_found_path)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = (kind, namespace.to_owned(), name.clone());
        if self.terminating.iter().any(|gone| gone == namespace) {
            return Err(Refusal::terminating(of, namespace, &name));
        }
        if name.is_empty() {
            return Err(Refusal::invalid(of, &name, "metadata.name: Required value: name or generateName is required"));
        }
        self.admit(of, &object)?;
        if self.objects.contains_key(&key) {
            return Err(Refusal::exists(of, &name));
        }
        self.uids += 1;
        let metadata = &mut object["metadata"];
        metadata["namespace"] = json!(namespace);
        metadata["uid"] = json!(format!("00000000-0000-4000-8000-{:012}", self.uids));
        metadata["creationTimestamp"] = json!(self.now);
        if of.generation {
            metadata["generation"] = json!(1);
        }
        // A kubelet registers its node with the status in it.
        if of.status && of.kind != "Node" {
            of.set_status(&mut object, None);
        }
        object["apiVersion"] = json!(of.api_version());
        object["kind"] = json!(of.kind);
        let mut owners = Owners::new();
        if of.owned_fields {
            let manager = Manager { name: writer.manager.clone(), applies, status: false };
            fields::updated(of, &Value::Null, &without_status(&object), &manager, &mut owners);
        }
        Ok(self.commit(writer, key, None, Some((object, owners))))
    }

    /// Replaces an object by what `edit` makes of it, recorded as an update. `status`: through the status subresource.
    pub fn update(&mut self, writer: &Writer, key: &Key, status: bool, edit: impl FnOnce(&mut Value)) -> Result<Stored, Refusal> {
        let (of, before) = self.existing(key)?;
        let mut after = (*before.object).clone();
        edit(&mut after);
        keep_identity(of, &before.object, &mut after, status);
        let mut owners = (*before.owners).clone();
        if of.owned_fields {
            let manager = Manager { name: writer.manager.clone(), applies: false, status };
            fields::updated(of, &before.object, &after, &manager, &mut owners);
        }
        self.change(writer, key, before, after, owners)
    }

    /// Server-side apply.
    pub fn apply(&mut self, writer: &Writer, key: &Key, status: bool, applied: &Value, force: bool) -> Result<Stored, Refusal> {
        let of = KINDS.get(key.0).ok_or_else(Refusal::not_found_path)?;
        let Some(before) = self.objects.get(key).cloned() else {
            return match applied["metadata"]["uid"].as_str() {
                Some(uid) if !status => Err(Refusal::uid_mismatch_absent(of, &key.2, uid)),
                _ if status => Err(Refusal::not_found(of, &key.2)),
                _ => self.insert(writer, true, key.0, &key.1, applied.clone()),
            };
        };
        let part = only_part(of, applied, status);
        let manager = Manager { name: writer.manager.clone(), applies: true, status };
        let mut owners = (*before.owners).clone();
        let merged = fields::apply(of, &before.object, &part, &manager, &mut owners, force);
        let mut after = merged.map_err(|conflicts| Refusal::conflicts(&conflicts.0))?;
        // What was applied to a status can have touched nothing else.
        if !status {
            keep_identity(of, &before.object, &mut after, status);
        }
        self.change(writer, key, before, after, owners)
    }

    /// Deletes an object: at once, or, with finalizers, by marking it.
    pub fn delete(&mut self, writer: &Writer, key: &Key, uid: Option<&str>, foreground: bool) -> Result<(), Refusal> {
        let (of, before) = self.existing(key)?;
        let metadata = &before.object["metadata"];
        let there = metadata["uid"].as_str().unwrap_or_default();
        if let Some(wanted) = uid.filter(|wanted| *wanted != there) {
            return Err(Refusal::uid_mismatch(of, &key.2, wanted, there));
        }
        let mut finalizers = metadata["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.retain(|finalizer| finalizer != FOREGROUND);
        if foreground {
            finalizers.push(json!(FOREGROUND));
        }
        if finalizers.is_empty() {
            self.commit(writer, key.clone(), Some(before), None);
            return Ok(());
        }
        let mut marked = (*before.object).clone();
        marked["metadata"]["finalizers"] = Value::Array(finalizers);
        if !metadata["deletionTimestamp"].is_string() {
            marked["metadata"]["deletionTimestamp"] = json!(self.now);
            // To be deleted is a new thing to do.
            if of.generation {
                marked["metadata"]["generation"] = next_generation(&before.object);
            }
        }
        if marked == *before.object {
            return Ok(());
        }
        let owners = (*before.owners).clone();
        self.commit(writer, key.clone(), Some(before), Some((marked, owners)));
        Ok(())
    }

    /// Takes an object away whatever its finalizers say: the garbage collector's last step.
    pub fn remove(&mut self, writer: &Writer, key: &Key) {
        if let Some(before) = self.objects.get(key).cloned() {
            self.commit(writer, key.clone(), Some(before), None);
        }
    }

    fn existing(&self, key: &Key) -> Result<(&'static Kind, Stored), Refusal> {
        let of = KINDS.get(key.0).ok_or_else(Refusal::not_found_path)?;
        self.objects.get(key).cloned().map(|stored| (of, stored)).ok_or_else(|| Refusal::not_found(of, &key.2))
    }

    fn admit(&self, of: &Kind, object: &Value) -> Result<(), Refusal> {
        self.admission.as_ref().map_or(Ok(()), |admission| admission(of, object))
    }

    fn change(&mut self, writer: &Writer, key: &Key, before: Stored, mut after: Value, owners: Owners) -> Result<Stored, Refusal> {
        let of = KINDS.get(key.0).ok_or_else(Refusal::not_found_path)?;
        if *before.object == after && *before.owners == owners {
            return Ok(before);
        }
        if of.generation && without_metadata_and_status(&before.object) != without_metadata_and_status(&after) {
            self.admit(of, &after)?;
            after["metadata"]["generation"] = next_generation(&before.object);
        }
        let metadata = &after["metadata"];
        if metadata["deletionTimestamp"].is_string() && metadata["finalizers"].as_array().is_none_or(Vec::is_empty) {
            return Ok(self.commit(writer, key.clone(), Some(before), None));
        }
        Ok(self.commit(writer, key.clone(), Some(before), Some((after, owners))))
    }

    fn commit(&mut self, writer: &Writer, key: Key, old: Option<Stored>, new: Option<(Value, Owners)>) -> Stored {
        self.version += 1;
        let version = self.version;
        let new = new.map(|(mut object, owners)| {
            object["metadata"]["resourceVersion"] = json!(version.to_string());
            Stored::new(object, owners)
        });
        match &new {
            Some(stored) => self.objects.insert(key.clone(), stored.clone()),
            None => self.objects.remove(&key),
        };
        let change = Change { version, key, writer: writer.name.clone(), old: old.clone(), new: new.clone() };
        if let Some(observer) = &mut self.observer {
            observer(&change);
        }
        self.log.push(change);
        new.or(old).unwrap_or_else(|| Stored::new(Value::Null, Owners::new()))
    }
}

fn next_generation(object: &Value) -> Value {
    json!(object["metadata"]["generation"].as_i64().unwrap_or_default() + 1)
}

fn without_status(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    object
}

fn without_metadata_and_status(object: &Value) -> Vec<(&String, &Value)> {
    object.as_object().into_iter().flatten().filter(|(name, _)| !["metadata", "status"].contains(&name.as_str())).collect()
}

/// What of an applied object counts: its status for the subresource, all but its status else.
fn only_part(of: &Kind, applied: &Value, status: bool) -> Value {
    match (of.status, status) {
        (true, true) => json!({"status": applied["status"]}),
        (true, false) => without_status(applied),
        (false, _) => applied.clone(),
    }
}

/// A writer changes neither an object's identity nor the part that is not its own.
fn keep_identity(of: &Kind, before: &Value, after: &mut Value, status: bool) {
    if of.status && status {
        let new_status = after.get_mut("status").map(Value::take);
        after.clone_from(before);
        of.set_status(after, new_status);
        return;
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "generation", "resourceVersion", "deletionTimestamp"] {
        match before["metadata"].get(field) {
            Some(value) => after["metadata"][field] = value.clone(),
            None => {
                if let Some(metadata) = after["metadata"].as_object_mut() {
                    metadata.remove(field);
                }
            }
        }
    }
    if of.status {
        of.set_status(after, before.get("status").cloned());
    }
}
