//! Lists and watches, as the operator's stores are filled. Bookmarks are left out: the API server guarantees none, and the operator
//! needs none.

use crate::bodies::{build, image, ours};
use crate::step::{Step, apply, compact, create, delete, list, merge, watch};
use anyhow::Result;
use gowindows_crds::names;
use serde_json::{Value, json};

/// A Job of this name, ours or not.
fn job(name: &str, is_ours: bool) -> Result<Value> {
    let (mut job, _) = build(1)?;
    job["metadata"]["name"] = json!(name);
    job["metadata"]["ownerReferences"] = json!(null);
    job["metadata"]["labels"] =
        if is_ours { json!({names::LABEL_MANAGED_BY: names::MANAGED_BY, "number": "1"}) } else { json!({"number": "1"}) };
    job["spec"]["template"]["metadata"]["labels"] = json!(null);
    Ok(job)
}

/// What comes to be selected is added, what is not selected any more is deleted; a change that changes nothing is no event.
pub fn watched() -> Result<Vec<Step>> {
    let label = |name: &str, value: Value| merge("Job", name, json!({"metadata": {"labels": {names::LABEL_MANAGED_BY: value}}}));
    let seen = ["/metadata/labels", "/spec/activeDeadlineSeconds"];
    let (all, two) = (ours(), format!("{},number=1", ours()));
    let mut steps = vec![
        list("Job", &all).keeps("empty", "/metadata/resourceVersion").shows(json!({"items": []})),
        create("Job", job("b", true)?),
        create("Job", job("a", true)?),
        create("Job", job("foreign", false)?),
        list("Job", &all).sees(&seen).keeps("full", "/metadata/resourceVersion"),
        list("Job", &two).sees(&["/metadata/labels"]),
        list("Job", "").with("limit", "500"),
        merge("Job", "a", json!({"spec": {"activeDeadlineSeconds": 1}})).sees(&seen),
        merge("Job", "a", json!({"spec": {"activeDeadlineSeconds": 1}})).sees(&seen),
        merge("Job", "foreign", json!({"spec": {"activeDeadlineSeconds": 1}})),
        label("b", json!("somebody")),
        merge("Job", "b", json!({"spec": {"activeDeadlineSeconds": 2}})),
        label("foreign", json!(names::MANAGED_BY)),
        label("b", json!(names::MANAGED_BY)),
        delete("Job", "a", json!({"propagationPolicy": "Background"})),
        delete("Job", "b", json!({"propagationPolicy": "Foreground"})),
        create("Job", job("last", true)?),
    ];
    for (selector, from) in [(&all, "{{empty}}"), (&all, "{{full}}"), (&two, "{{full}}")] {
        steps.push(watch("Job", selector, from, "last").sees(&seen));
    }
    steps.push(list("Job", &all).sees(&seen));
    Ok(steps)
}

/// A watch from before what is remembered ends at once, with the error that makes the store list again.
pub fn expired() -> Result<Vec<Step>> {
    let gone = json!({"events": [{"type": "ERROR"}]});
    let first = create("GoWindowsImage", image()?).keeps("version", "/metadata/resourceVersion");
    let patch = json!({"apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "metadata": {"annotations": {"a": "b"}}});
    Ok(vec![
        first,
        apply("GoWindowsImage", "storefront", "user", patch),
        watch("GoWindowsImage", "", "{{version}}", "storefront"),
        compact(),
        watch("GoWindowsImage", "", "1", "storefront").shows(gone),
    ])
}
