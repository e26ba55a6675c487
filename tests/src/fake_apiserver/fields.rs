//! Who owns which field of an object, and what does a server-side apply change?
//!
//! The part of structured merge diff that the operator depends on
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/>): applied fields win and are owned, fields that a manager no
//! longer applies go unless another one owns them, and a field of another manager with another value is a conflict unless forced.
//! Lists are one value, but for the keyed ones of [`Kind::keyed_lists`].

use super::kinds::Kind;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A path to a field, as in `managedFields`: `f:spec`, `k:{"name":"app"}`, ..., in one text with [`BETWEEN`] between its parts. The
/// path of a keyed item itself is in the set, too.
pub type Path = String;

/// No name of a field contains it.
const BETWEEN: char = '\0';

fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split(BETWEEN)
}

/// Who owns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manager {
    /// Its name.
    pub name: String,
    /// By apply, not by update.
    pub applies: bool,
    /// Through the status subresource.
    pub status: bool,
}

/// Owners and their fields.
pub type Owners = BTreeMap<Manager, BTreeSet<Path>>;

/// Fields of other managers that an apply would change, as `manager: path`.
#[derive(Debug)]
pub struct Conflicts(pub Vec<String>);

/// The object after an apply; owners are brought up to date.
pub fn apply(kind: &Kind, live: &Value, applied: &Value, manager: &Manager, owners: &mut Owners, force: bool) -> Result<Value, Conflicts> {
    let new = leaves(kind, applied);
    let mut next = owners.clone();
    let mut conflicts = Vec::new();
    for (other, theirs) in next.iter_mut().filter(|(other, _)| *other != manager) {
        let taken: Vec<Path> =
            theirs.intersection(&new).filter(|path| !is_item(path) && at(live, path) != at(applied, path)).cloned().collect();
        for path in taken {
            if !force {
                conflicts.push(format!("conflict with {:?}: .{}", other.name, path.replace(BETWEEN, ".").replace("f:", "")));
            }
            theirs.remove(&path);
        }
    }
    if !conflicts.is_empty() {
        return Err(Conflicts(conflicts));
    }
    let mut merged = live.clone();
    merge(kind, &mut merged, applied, "");
    let old = next.insert(manager.clone(), new.clone()).unwrap_or_default();
    for gone in old.difference(&new) {
        let shared = next.iter().any(|(other, theirs)| other != manager && theirs.contains(gone));
        if !shared {
            remove(&mut merged, gone);
        }
    }
    next.retain(|_, fields| !fields.is_empty());
    *owners = next;
    Ok(merged)
}

/// Owners after an update: who changes a field owns it alone, and nobody owns a field that is gone.
pub fn updated(kind: &Kind, before: &Value, after: &Value, manager: &Manager, owners: &mut Owners) {
    let (old, new) = (leaves(kind, before), leaves(kind, after));
    let changed: BTreeSet<Path> = new.iter().filter(|path| !is_item(path) && at(before, path) != at(after, path)).cloned().collect();
    let added = new.difference(&old).filter(|path| is_item(path)).cloned();
    let mine: BTreeSet<Path> = changed.iter().cloned().chain(added).collect();
    for theirs in owners.values_mut() {
        theirs.retain(|path| new.contains(path) && !changed.contains(path));
    }
    if !mine.is_empty() {
        owners.entry(manager.clone()).or_default().extend(mine);
    }
    owners.retain(|_, fields| !fields.is_empty());
}

/// `metadata.managedFields`.
pub fn managed_fields(kind: &Kind, owners: &Owners) -> Value {
    let entry = |(manager, fields): (&Manager, &BTreeSet<Path>)| {
        let mut tree = Value::Object(Map::new());
        for path in fields {
            let mut node = &mut tree;
            for part in parts(path) {
                let Value::Object(map) = node else { break };
                node = map.entry(part).or_insert_with(|| json!({}));
            }
            if is_item(path)
                && let Some(map) = node.as_object_mut()
            {
                map.insert(".".into(), json!({}));
            }
        }
        let mut entry = json!({
            "manager": manager.name,
            "operation": if manager.applies { "Apply" } else { "Update" },
            "apiVersion": kind.api_version(),
            "fieldsType": "FieldsV1",
            "fieldsV1": tree,
        });
        if manager.status {
            entry["subresource"] = json!("status");
        }
        entry
    };
    owners.iter().map(entry).collect()
}

fn is_item(path: &str) -> bool {
    parts(path).next_back().is_some_and(|part| part.starts_with("k:"))
}

/// The field that identifies the items of the list at a path such as `status/conditions`.
fn key_of(kind: &Kind, place: &str) -> Option<&'static str> {
    kind.keyed_lists.iter().find(|(path, _)| *path == place).map(|(_, key)| *key)
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { [place, "/", name].concat() }
}

fn item_part(key: &str, item: &Value) -> String {
    format!("k:{}", json!({key: item[key]}))
}

/// Every field of an object but its identity.
fn leaves(kind: &Kind, object: &Value) -> BTreeSet<Path> {
    let mut found = BTreeSet::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        if !["apiVersion", "kind"].contains(&name.as_str()) {
            collect(kind, value, name, &mut format!("f:{name}"), &mut found);
        }
    }
    found
}

/// Metadata that is the server's, not a manager's.
const SERVERS: [&str; 8] =
    ["name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "managedFields"];

fn collect(kind: &Kind, value: &Value, place: &str, path: &mut Path, found: &mut BTreeSet<Path>) {
    match (value, key_of(kind, place)) {
        (Value::Object(map), _) if !map.is_empty() => {
            for (name, value) in map.iter().filter(|(name, _)| place != "metadata" || !SERVERS.contains(&name.as_str())) {
                let above = path.len();
                path.push(BETWEEN);
                path.push_str("f:");
                path.push_str(name);
                collect(kind, value, &join(place, name), path, found);
                path.truncate(above);
            }
        }
        (Value::Array(items), Some(key)) => {
            for item in items {
                let above = path.len();
                path.push(BETWEEN);
                path.push_str(&item_part(key, item));
                found.insert(path.clone());
                collect(kind, item, place, path, found);
                path.truncate(above);
            }
        }
        _ => {
            found.insert(path.clone());
        }
    }
}

fn merge(kind: &Kind, live: &mut Value, applied: &Value, place: &str) {
    match (applied, key_of(kind, place)) {
        (Value::Object(fields), _) if !fields.is_empty() || live.is_object() => {
            if !live.is_object() {
                *live = json!({});
            }
            let Some(map) = live.as_object_mut() else { return };
            for (name, value) in fields {
                merge(kind, map.entry(name.clone()).or_insert(Value::Null), value, &join(place, name));
            }
        }
        (Value::Array(items), Some(key)) if live.is_array() => {
            let Some(list) = live.as_array_mut() else { return };
            for item in items {
                match list.iter_mut().find(|there| there[key] == item[key]) {
                    // Inside an item no list of ours is keyed, so its place is of no matter.
                    Some(there) => merge(kind, there, item, "-"),
                    None => list.push(item.clone()),
                }
            }
        }
        _ => live.clone_from(applied),
    }
}

fn step<'a>(value: &'a Value, part: &str) -> Option<&'a Value> {
    match part.split_at(2) {
        ("f:", name) => value.get(name),
        (_, key) => {
            let key: Map<String, Value> = serde_json::from_str(key).ok()?;
            value.as_array()?.iter().find(|item| key.iter().all(|(name, value)| item.get(name) == Some(value)))
        }
    }
}

fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    parts(path).try_fold(object, step)
}

/// Takes a field away, and what has become empty above it.
fn remove(node: &mut Value, path: &str) {
    let (part, below) = path.split_once(BETWEEN).unwrap_or((path, ""));
    match (node, part.split_at(2)) {
        (Value::Object(map), ("f:", name)) => {
            if let Some(field) = map.get_mut(name) {
                if !below.is_empty() {
                    remove(field, below);
                }
                if below.is_empty() || field.as_object().is_some_and(Map::is_empty) {
                    map.remove(name);
                }
            }
        }
        (Value::Array(items), (_, key)) => {
            let Ok(key) = serde_json::from_str::<Map<String, Value>>(key) else { return };
            let is_it = |item: &Value| key.iter().all(|(name, value)| item.get(name) == Some(value));
            if below.is_empty() {
                items.retain(|item| !is_it(item));
            } else if let Some(item) = items.iter_mut().find(|item| is_it(item)) {
                remove(item, below);
            }
        }
        _ => {}
    }
}
