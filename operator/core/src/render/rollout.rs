//! How is an image written into a target? As the smallest server-side apply: the identity of the workload and one field.
//!
//! A typed struct would claim every required field of its type; here the patch claims `image` of one container and nothing else.

use gowindows_model::plan::Roll;
use serde_json::{Value, json};

/// The server-side-apply patch of a Deployment. The uid makes it fail on a workload that was recreated meanwhile.
pub fn deployment_image(namespace: &str, roll: &Roll) -> Value {
    let Roll { index: _, name, uid, container, image } = roll;
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "uid": uid},
        "spec": {"template": {"spec": {"containers": [{"name": container, "image": image}]}}},
    })
}
