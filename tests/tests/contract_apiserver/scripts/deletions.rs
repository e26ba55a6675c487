//! Deletion: at once, in the foreground, of what another one of the same name is.

use crate::bodies::{build, image, name_of, target};
use crate::step::{Step, create, delete, get, merge};
use anyhow::Result;
use serde_json::json;

/// Without a garbage collector, what is deleted in the foreground stays marked.
pub fn deleted() -> Result<Vec<Step>> {
    let (job, _) = build(1)?;
    let name = name_of(&job).to_owned();
    let background = json!({"propagationPolicy": "Background"});
    let foreground = json!({"propagationPolicy": "Foreground"});
    let other = json!({"preconditions": {"uid": "11111111-1111-4111-8111-111111111111"}});
    Ok(vec![
        delete("Job", &name, background.clone()).refused(404, "NotFound"),
        create("GoWindowsImage", image()?).keeps("image", "/metadata/uid"),
        create("Job", job.clone()),
        delete("Job", &name, other.clone()).refused(409, "Conflict"),
        get("Job", &name).shows(json!({"version": "same"})),
        delete("Job", &name, background.clone()).shows(json!({"status": "Success"})),
        get("Job", &name).refused(404, "NotFound"),
        create("Job", job.clone()).shows(json!({"uid": "other", "generation": 1})),
        delete("Job", &name, foreground.clone()).sees(&["/metadata/finalizers"]).shows(json!({"deleting": true, "generation": 2})),
        get("Job", &name).shows(json!({"deleting": true, "version": "same"})),
        create("Job", job).refused(409, "AlreadyExists"),
        delete("Job", &name, foreground.clone()).shows(json!({"version": "same"})),
        merge("Job", &name, json!({"metadata": {"annotations": {"a": "b"}}})).shows(json!({"deleting": true, "version": "newer"})),
        // The garbage collector's last step.
        merge("Job", &name, json!({"metadata": {"finalizers": null}})).shows(json!({"deleting": true})),
        get("Job", &name).refused(404, "NotFound"),
        delete("GoWindowsImage", "storefront", foreground).shows(json!({"deleting": true})),
        delete("GoWindowsImage", "storefront", other).refused(409, "Conflict"),
        delete("GoWindowsImage", "storefront", json!({"preconditions": {"uid": "{{image}}"}, "propagationPolicy": "Background"})),
        get("GoWindowsImage", "storefront").refused(404, "NotFound"),
        create("Deployment", target()?),
        delete("Deployment", "storefront", background).shows(json!({"status": "Success"})),
        delete("Deployment", "storefront", json!(null)).refused(404, "NotFound"),
    ])
}
