//! The status of an object: applied by the operator, and by force where somebody else has written into it.

use crate::bodies::{condition, image, status};
use crate::step::{Step, apply, create, delete, get, merge, replace};
use anyhow::Result;
use gowindows_crds::names::STATUS_MANAGER;
use serde_json::{Value, json};

const KIND: &str = "GoWindowsImage";
const NAME: &str = "storefront";
const OTHER_UID: &str = "11111111-1111-4111-8111-111111111111";
fn write(uid: &str, written: Value) -> Result<Step> {
    Ok(apply(KIND, NAME, STATUS_MANAGER, status(NAME, uid, written)?).forced().on_status())
}

/// On the version that was seen and no other.
fn write_at(version: &str, written: Value) -> Result<Step> {
    let mut body = status(NAME, "{{image}}", written)?;
    body["metadata"]["resourceVersion"] = json!(version);
    Ok(apply(KIND, NAME, STATUS_MANAGER, body).forced().on_status())
}

fn first() -> Value {
    json!({
        "observedGeneration": 1, "phase": "Building", "conditions": [condition("Ready", "False"), condition("Built", "Unknown")],
        "rollout": {"digest": "sha256:1", "phase": "Waiting", "targets": [{"target": "Deployment/storefront", "phase": "Waiting"}]},
        "display": {"source": "main"},
    })
}

fn second() -> Value {
    json!({"observedGeneration": 1, "phase": "Ready", "conditions": [condition("Ready", "True")]})
}

/// What is applied stands, what is not applied any more goes, and nothing else is touched.
pub fn applied() -> Result<Vec<Step>> {
    let object = image()?;
    let mut edited = object.clone();
    edited["spec"]["interval"] = json!("2m");
    edited["status"] = json!({"observedGeneration": 7});
    let mut with_spec = status(NAME, "{{image}}", second())?;
    with_spec["spec"] = edited["spec"].clone();
    let interval = ["/spec/interval", "/metadata/labels"];
    Ok(vec![
        write(OTHER_UID, first())?.refused(404, "NotFound"),
        create(KIND, object).by("user").keeps("image", "/metadata/uid").keeps("created", "/metadata/resourceVersion"),
        // A uid guards nothing here: the version does.
        write(OTHER_UID, first())?.shows(json!({"version": "newer"})),
        write_at("{{created}}", first())?.refused(409, "Conflict"),
        write("{{image}}", first())?.shows(json!({"generation": 1, "version": "same"})).keeps("version", "/metadata/resourceVersion"),
        write_at("{{version}}", first())?.shows(json!({"generation": 1, "version": "same"})),
        write_at("{{version}}", second())?.shows(json!({"generation": 1, "version": "newer"})),
        write_at("{{version}}", second())?.refused(409, "Conflict"),
        write("{{image}}", first())?.shows(json!({"generation": 1, "version": "newer"})),
        write("{{image}}", second())?.shows(json!({"generation": 1, "version": "newer", "status": second()})),
        apply(KIND, NAME, STATUS_MANAGER, with_spec).forced().on_status().sees(&interval).shows(json!({"/spec/interval": "1m"})),
        apply(KIND, NAME, "user-apply", edited.clone()).forced().sees(&interval).shows(json!({"generation": 2})),
        replace(KIND, NAME, edited).refused(422, "Invalid"),
        merge(KIND, NAME, json!({"spec": {"interval": "3m"}, "status": {"phase": "Failed"}}))
            .by("user")
            .sees(&interval)
            .shows(json!({"generation": 3, "/spec/interval": "3m"})),
        merge(KIND, NAME, json!({"spec": {"source": {"git": {"url": "file:///etc"}}}})).by("user").refused(422, "Invalid"),
        merge(KIND, NAME, json!({"metadata": {"annotations": {"gowindows.dev/rebuild": "1"}}}))
            .by("user")
            .sees(&["/metadata/annotations"])
            .shows(json!({"generation": 3, "version": "newer"})),
        get(KIND, NAME).keeps("version", "/metadata/resourceVersion"),
        // Another object of the same name: what was seen of the first one does not get into it.
        delete(KIND, NAME, json!({"propagationPolicy": "Background"})),
        write_at("{{version}}", first())?.refused(404, "NotFound"),
        create(KIND, image()?).by("user").shows(json!({"uid": "other", "generation": 1})),
        write_at("{{version}}", first())?.refused(409, "Conflict"),
        get(KIND, NAME).shows(json!({"version": "same", "status": {"observedGeneration": -1}})),
    ])
}

/// What another manager has written is taken where we say something else, and left where we say nothing.
pub fn shared() -> Result<Vec<Step>> {
    let edit = |status: Value| merge(KIND, NAME, json!({"status": status})).on_status().by("somebody");
    let mut put = image()?;
    put["spec"]["interval"] = json!("9m");
    put["metadata"]["resourceVersion"] = json!("{{version}}");
    put["status"] = json!({"observedGeneration": 1, "phase": "Suspended", "handled": {}});
    let foreign = apply(KIND, NAME, "other-controller", status(NAME, "{{image}}", json!({"observedGeneration": 5, "phase": "Failed"}))?);
    Ok(vec![
        create(KIND, image()?).by("user").keeps("image", "/metadata/uid"),
        write("{{image}}", first())?,
        edit(json!({"phase": "Failed", "inputs": {"fingerprint": "f", "revision": "r"}})).shows(json!({"generation": 1})),
        write("{{image}}", first())?.shows(json!({"status": {"phase": "Building", "inputs": {"fingerprint": "f"}}})),
        edit(json!({"observedGeneration": 1000})),
        write("{{image}}", second())?.shows(json!({"status": {"observedGeneration": 1}})),
        get(KIND, NAME).keeps("version", "/metadata/resourceVersion"),
        replace(KIND, NAME, put.clone()).on_status().by("somebody").shows(json!({"generation": 1, "status": {"phase": "Suspended"}})),
        replace(KIND, NAME, put).on_status().by("somebody").refused(409, "Conflict"),
        write("{{image}}", second())?.shows(json!({"status": second()})),
        // Wiped by somebody: the definition's default remains.
        edit(json!(null)),
        write("{{image}}", second())?.shows(json!({"status": second()})),
        foreign.clone().on_status().refused(409, "Conflict"),
        foreign.forced().on_status(),
        write("{{image}}", second())?.shows(json!({"status": second()})),
        edit(json!({"conditions": [condition("Ready", "False"), condition("Foreign", "True")]})),
        write("{{image}}", first())?,
        write("{{image}}", second())?,
        get(KIND, NAME),
    ])
}
