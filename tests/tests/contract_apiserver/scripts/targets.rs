//! The one field of a workload that is the operator's: set, taken from others, and never on another workload of the same name.

use crate::bodies::{roll, target};
use crate::step::{Step, apply, create, delete, get, merge};
use anyhow::Result;
use gowindows_crds::names::APPLY_MANAGER;
use serde_json::{Value, json};

const KIND: &str = "Deployment";
const NAME: &str = "storefront";
const OTHER_UID: &str = "11111111-1111-4111-8111-111111111111";
const OWNED: [&str; 2] =
    ["f:spec/f:template/f:spec/f:containers/k:{\"name\":\"app\"}/f:image", "f:spec/f:template/f:spec/f:containers/k:{\"name\":\"app\"}"];
const FIRST: &str = "registry.example.com/shop/storefront@sha256:1111111111111111111111111111111111111111111111111111111111111111";
const SECOND: &str = "registry.example.com/shop/storefront@sha256:2222222222222222222222222222222222222222222222222222222222222222";

fn image(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": KIND, "metadata": {"name": NAME},
        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}},
    })
}

fn rolls(to: &str) -> Step {
    apply(KIND, NAME, APPLY_MANAGER, roll(NAME, "{{target}}", to)).forced().owned(&OWNED)
}

/// Over an update manager, as a client-side `kubectl apply` is.
pub fn rolled() -> Result<Vec<Step>> {
    let containers = json!([{"name": "app", "image": "registry.example.com/shop/other:1"}]);
    let edit = |body: Value| merge(KIND, NAME, body).by("kubectl-edit").owned(&OWNED).sees(&["/spec/replicas"]);
    Ok(vec![
        create(KIND, target()?)
            .by("kubectl-client-side-apply")
            .owned(&OWNED)
            .keeps("target", "/metadata/uid")
            .shows(json!({"generation": 1})),
        rolls(FIRST).shows(json!({"generation": 2, "containers": [["app", FIRST, null]]})),
        rolls(FIRST).shows(json!({"generation": 2, "version": "same"})),
        rolls(SECOND).shows(json!({"generation": 3})),
        get(KIND, NAME).owned(&OWNED).shows(json!({"observed": false})),
        edit(json!({"status": {"observedGeneration": 3, "replicas": 1}})).shows(json!({"generation": 3, "version": "same"})),
        merge(KIND, NAME, json!({"status": {"observedGeneration": 3, "replicas": 1, "updatedReplicas": 1}}))
            .on_status()
            .by("deployment-controller")
            .owned(&OWNED)
            .sees(&["/status/updatedReplicas"])
            .shows(json!({"generation": 3, "version": "newer", "observed": true})),
        edit(json!({"spec": {"replicas": 3}})).shows(json!({"generation": 4, "observed": false})),
        edit(json!({"metadata": {"labels": {"team": "shop"}}})).shows(json!({"generation": 4, "version": "newer"})),
        edit(json!({"spec": {"template": {"spec": {"containers": containers}}}})).shows(json!({"generation": 5})),
        rolls(SECOND).shows(json!({"generation": 6, "containers": [["app", SECOND, null]]})),
    ])
}

/// Over another apply manager, whom the operator names to people.
pub fn taken() -> Result<Vec<Step>> {
    let mut target = target()?;
    target["metadata"]["namespace"] = json!("{{namespace}}");
    let argo = |image: &str| {
        let mut body = target.clone();
        body["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        apply(KIND, NAME, "argocd-controller", body).owned(&OWNED)
    };
    let other = "registry.example.com/shop/storefront:placeholder";
    Ok(vec![
        argo(other).creates().keeps("target", "/metadata/uid").shows(json!({"containers": [["app", other, "argocd-controller"]]})),
        apply(KIND, NAME, APPLY_MANAGER, roll(NAME, "{{target}}", FIRST)).refused(409, "Conflict"),
        rolls(FIRST).shows(json!({"generation": 2, "containers": [["app", FIRST, null]]})),
        argo(other).refused(409, "Conflict"),
        argo(other).forced().shows(json!({"generation": 3, "containers": [["app", other, "argocd-controller"]]})),
        rolls(other).shows(json!({"generation": 3, "version": "newer", "containers": [["app", other, "argocd-controller"]]})),
        argo(FIRST).refused(409, "Conflict"),
        rolls(SECOND).shows(json!({"generation": 4})),
        apply(KIND, NAME, "flux", image(SECOND)).owned(&OWNED).shows(json!({"containers": [["app", SECOND, "flux"]]})),
    ])
}

/// Gone, or another one of the same name.
pub fn gone() -> Result<Vec<Step>> {
    Ok(vec![
        apply(KIND, NAME, APPLY_MANAGER, roll(NAME, OTHER_UID, FIRST)).forced().refused(409, "Conflict").words(),
        create(KIND, target()?).by("user").keeps("target", "/metadata/uid"),
        apply(KIND, NAME, APPLY_MANAGER, roll(NAME, OTHER_UID, FIRST)).forced().refused(422, "Invalid").words(),
        delete(KIND, NAME, json!({"propagationPolicy": "Background"})),
        rolls(FIRST).refused(409, "Conflict").words(),
        create(KIND, target()?).by("user").shows(json!({"uid": "other", "generation": 1})),
        rolls(FIRST).refused(422, "Invalid"),
        get(KIND, NAME).owned(&OWNED).shows(json!({"version": "same"})),
    ])
}
