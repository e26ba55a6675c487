//! Which kinds does the fake API server know, and what does it have to know of each?

use serde_json::{Value, json};

/// A kind as far as the operator meets it.
#[derive(Debug)]
pub struct Kind {
    /// `apps`; empty for the core group.
    pub group: &'static str,
    /// `v1`.
    pub version: &'static str,
    /// `deployments`, as it stands in paths.
    pub plural: &'static str,
    /// `Deployment`.
    pub kind: &'static str,
    /// Status is a subresource: a write to the object leaves it alone, and the other way round.
    pub status: bool,
    /// Changes of anything but metadata and status raise the generation.
    pub generation: bool,
    /// A PUT must name the version that it replaces.
    pub versioned: bool,
    /// A PUT of what is absent creates it.
    pub put_creates: bool,
    /// Who owns which field is kept.
    pub owned_fields: bool,
    /// And shown in `metadata.managedFields`: only where the operator reads it, for it is as large as the object.
    pub shows_owners: bool,
    /// Lists whose items have an identity: path and the field that is the key.
    pub keyed_lists: &'static [(&'static str, &'static str)],
}

const fn plain(group: &'static str, version: &'static str, plural: &'static str, kind: &'static str) -> Kind {
    Kind {
        group,
        version,
        plural,
        kind,
        status: false,
        generation: false,
        versioned: false,
        put_creates: false,
        owned_fields: false,
        shows_owners: false,
        keyed_lists: &[],
    }
}

/// Every kind, in an order that never changes: it is part of an object's key.
pub static KINDS: [Kind; 9] = [
    Kind {
        status: true,
        generation: true,
        versioned: true,
        owned_fields: true,
        keyed_lists: &[("status/conditions", "type")],
        ..plain("gowindows.dev", "v1alpha1", "gowindowsimages", "GoWindowsImage")
    },
    Kind { status: true, generation: true, ..plain("batch", "v1", "jobs", "Job") },
    Kind { status: true, ..plain("", "v1", "pods", "Pod") },
    Kind {
        status: true,
        generation: true,
        owned_fields: true,
        shows_owners: true,
        keyed_lists: &[("spec/template/spec/containers", "name"), ("status/conditions", "type")],
        ..plain("apps", "v1", "deployments", "Deployment")
    },
    plain("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim"),
    plain("", "v1", "secrets", "Secret"),
    plain("events.k8s.io", "v1", "events", "Event"),
    Kind { versioned: true, put_creates: true, ..plain("coordination.k8s.io", "v1", "leases", "Lease") },
    Kind { status: true, ..plain("", "v1", "nodes", "Node") },
];

/// The kind of a path's group, version and plural.
pub fn by_path(group: &str, version: &str, plural: &str) -> Option<usize> {
    KINDS.iter().position(|kind| kind.group == group && kind.version == version && kind.plural == plural)
}

/// The kind of this name. Panics for one that is not in the table: names stand in the tests' code.
pub fn by_name(name: &str) -> usize {
    KINDS.iter().position(|kind| kind.kind == name).unwrap_or_else(|| panic!("the fake API server has no kind {name}"))
}

impl Kind {
    /// `apps/v1`, `v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Puts a status into an object, with the defaults of `GoWindowsImage`'s definition.
    pub(super) fn set_status(&self, object: &mut Value, status: Option<Value>) {
        let mut status = status.filter(|status| !status.is_null());
        if self.kind == "GoWindowsImage"
            && let Value::Object(fields) = status.get_or_insert_with(|| json!({}))
        {
            fields.entry("observedGeneration").or_insert_with(|| json!(-1));
        }
        match (status, object.as_object_mut()) {
            (Some(status), Some(object)) => drop(object.insert("status".into(), status)),
            (None, Some(object)) => drop(object.remove("status")),
            _ => {}
        }
    }

    /// `Deployment.apps`, as messages name it.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() { self.kind.to_owned() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// `deployments.apps`, as messages name it.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }
}
