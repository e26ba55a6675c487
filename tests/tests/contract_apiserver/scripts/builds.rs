//! A build Job that is stopped: the one merge patch of the operator.

use crate::bodies::{build, name_of};
use crate::step::{Step, create, get, merge};
use anyhow::Result;
use gowindows_crds::names;
use serde_json::json;

/// Its deadline becomes a second, and the annotation says why.
pub fn stopped() -> Result<Vec<Step>> {
    let (mut job, _) = build(1)?;
    // No object of this script owns it.
    job["metadata"]["ownerReferences"] = json!(null);
    job["metadata"]["labels"][names::LABEL_IMAGE_UID] = json!("none");
    job["spec"]["template"]["metadata"]["labels"][names::LABEL_IMAGE_UID] = json!("none");
    let name = name_of(&job).to_owned();
    let stop = |why: &str| json!({"metadata": {"annotations": {names::ANNOTATION_STOPPED: why}}, "spec": {"activeDeadlineSeconds": 1}});
    let seen = ["/metadata/annotations", "/metadata/labels", "/spec/activeDeadlineSeconds", "/spec/backoffLimit"];
    let other_uid = json!({"metadata": {"uid": "11111111-1111-4111-8111-111111111111"}});
    Ok(vec![
        merge("Job", &name, stop("Cancelled")).refused(404, "NotFound"),
        create("Job", job).sees(&seen),
        merge("Job", &name, stop("Cancelled")).sees(&seen).shows(json!({"generation": 2, "version": "newer"})),
        merge("Job", &name, stop("Cancelled")).sees(&seen).shows(json!({"generation": 2, "version": "same"})),
        merge("Job", &name, stop("Superseded")).sees(&seen).shows(json!({"generation": 2, "version": "newer"})),
        merge("Job", &name, json!({"metadata": {"annotations": {names::ANNOTATION_STOPPED: null}}})).sees(&seen),
        merge("Job", &name, json!({"metadata": {"resourceVersion": "1"}, "spec": {"activeDeadlineSeconds": 7}})).refused(409, "Conflict"),
        merge("Job", &name, other_uid).refused(422, "Invalid"),
        get("Job", &name).sees(&seen).shows(json!({"version": "same"})),
    ])
}
