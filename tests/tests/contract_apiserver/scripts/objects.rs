//! Creation: once, valid, and not where all is going.

use crate::bodies::{build, image, name_of, target};
use crate::step::{Step, create, get, terminate_namespace};
use anyhow::Result;
use serde_json::json;

/// Names are taken once, and invalid objects not at all.
pub fn created_once() -> Result<Vec<Step>> {
    let (job, claim) = build(1)?;
    let (image, mut invalid) = (image()?, image()?);
    invalid["metadata"]["name"] = json!("invalid");
    invalid["spec"]["source"]["git"]["url"] = json!("file:///etc");
    let mut generated = job.clone();
    generated["metadata"]["name"] = json!("");
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "first"},
        "eventTime": "2026-01-02T03:04:05.000006Z", "reportingController": "gowindows", "reportingInstance": "gowindows",
        "action": "Build", "reason": "BuildStarted", "type": "Normal", "note": "said",
        "regarding": {"apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "name": "storefront", "namespace": "{{namespace}}"},
    });
    Ok(vec![
        get("GoWindowsImage", "storefront").refused(404, "NotFound").words(),
        get("Secret", "git-auth").refused(404, "NotFound"),
        create("GoWindowsImage", invalid).refused(422, "Invalid"),
        get("GoWindowsImage", "invalid").refused(404, "NotFound"),
        create("GoWindowsImage", image.clone())
            .sees(&["/spec/interval", "/kind", "/apiVersion"])
            .shows(json!({"generation": 1}))
            .keeps("image", "/metadata/uid"),
        create("GoWindowsImage", image).refused(409, "AlreadyExists").words(),
        get("GoWindowsImage", "storefront").shows(json!({"version": "same", "uid": "same"})),
        create("PersistentVolumeClaim", claim.clone()).sees(&["/metadata/labels", "/metadata/ownerReferences/0/uid"]),
        create("PersistentVolumeClaim", claim).refused(409, "AlreadyExists"),
        create("Job", job.clone()).shows(json!({"generation": 1})).sees(&[
            "/metadata/labels",
            "/metadata/annotations",
            "/metadata/ownerReferences",
            "/spec/activeDeadlineSeconds",
            "/spec/backoffLimit",
        ]),
        create("Job", job.clone()).refused(409, "AlreadyExists"),
        get("Job", name_of(&job)).sees(&["/metadata/ownerReferences/0/controller"]).shows(json!({"version": "same"})),
        create("Job", generated).refused(422, "Invalid"),
        create("Deployment", target()?).shows(json!({"generation": 1})),
        create("Event", event.clone()).sees(&["/regarding/name", "/note"]),
        create("Event", event).refused(409, "AlreadyExists"),
    ])
}

/// What is there may be changed, and nothing is added.
pub fn terminating_namespace() -> Result<Vec<Step>> {
    let (job, claim) = build(1)?;
    let mut second = image()?;
    second["metadata"]["name"] = json!("second");
    Ok(vec![
        create("GoWindowsImage", image()?).keeps("image", "/metadata/uid"),
        terminate_namespace(),
        create("GoWindowsImage", second).refused(403, "Forbidden"),
        create("GoWindowsImage", image()?).refused(403, "Forbidden"),
        create("Job", job).refused(403, "Forbidden").words(),
        create("PersistentVolumeClaim", claim).refused(403, "Forbidden").words(),
        get("GoWindowsImage", "storefront").shows(json!({"uid": "same", "deleting": false})),
    ])
}
