//! The Lease of the leader: of two candidates that have read the same version, one is refused.

use crate::step::{Step, create, delete, get, replace};
use anyhow::Result;
use serde_json::{Value, json};

/// Created once, renewed, taken, given back.
pub fn taken_in_turns() -> Result<Vec<Step>> {
    let lease = |holder: &str, version: Value| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "gowindows", "resourceVersion": version},
            "spec": {
                "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 0,
                "acquireTime": "2026-01-02T03:04:05.000006Z", "renewTime": "2026-01-02T03:04:05.000006Z",
            },
        })
    };
    let seen = ["/spec/holderIdentity", "/spec/leaseTransitions", "/spec/renewTime"];
    let by = |holder: &str, version: &str| replace("Lease", "gowindows", lease(holder, json!(version))).sees(&seen);
    let mut other = lease("c", json!(null));
    other["metadata"]["uid"] = json!("11111111-1111-4111-8111-111111111111");
    let mut other_at_third = other.clone();
    other_at_third["metadata"]["resourceVersion"] = json!("{{third}}");
    Ok(vec![
        get("Lease", "gowindows").refused(404, "NotFound"),
        create("Lease", lease("a", json!(null))).keeps("first", "/metadata/resourceVersion").sees(&seen),
        create("Lease", lease("b", json!(null))).refused(409, "AlreadyExists"),
        by("a2", "{{first}}").keeps("second", "/metadata/resourceVersion").shows(json!({"version": "newer"})),
        by("b", "{{first}}").refused(409, "Conflict"),
        by("a2", "{{second}}").shows(json!({"version": "same"})),
        by("b", "{{second}}").shows(json!({"version": "newer", "uid": "same"})),
        replace("Lease", "gowindows", lease("c", json!(null))).refused(422, "Invalid"),
        replace("Lease", "gowindows", other).refused(409, "Conflict"),
        get("Lease", "gowindows").sees(&seen).keeps("third", "/metadata/resourceVersion").shows(json!({"version": "same"})),
        delete("Lease", "gowindows", json!(null)).shows(json!({"status": "Success"})),
        replace("Lease", "gowindows", other_at_third).refused(409, "Conflict"),
        // A Lease that was deleted is made anew by its holder's renewal.
        by("a", "{{third}}").creates().shows(json!({"uid": "other"})),
    ])
}
