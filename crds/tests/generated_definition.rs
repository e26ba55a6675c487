//! The committed definition is the one that the types describe.

use gowindows_crds::v1alpha1::{crd, crd_yaml};

#[test]
fn the_committed_definition_is_up_to_date() {
    let committed = include_str!("../gowindowsimages.yaml");
    let generated = crd_yaml().expect("plain data");
    assert!(committed == generated, "crds/gowindowsimages.yaml is stale: run `cargo run --package gowindows-crds --bin crdgen`");
}

#[test]
fn an_object_that_nobody_has_seen_is_not_healthy() {
    let crd = serde_json::to_value(crd()).expect("JSON");
    let status = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
    assert_eq!(status["default"]["observedGeneration"], -1);
    assert_eq!(status["properties"]["conditions"]["x-kubernetes-list-type"], "map");
}

/// A field without words would be a hole in `kubectl explain`.
#[test]
fn every_field_of_the_specification_is_explained() {
    let crd = serde_json::to_value(crd()).expect("JSON");
    let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut silent = Vec::new();
    for part in ["spec", "status"] {
        visit(part, &root[part], &mut silent);
    }
    assert!(silent.is_empty(), "without a description: {silent:?}");
}

fn visit(path: &str, schema: &serde_json::Value, silent: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if field["description"].as_str().is_none_or(|text| text.trim().is_empty()) {
            silent.push(path.clone());
        }
        visit(&path, field, silent);
        visit(&path, &field["items"], silent);
    }
}

/// What is no field is pruned, whoever sends it and whatever validation he asks for: nothing of a pod, of a Secret's content or of another
/// namespace can be said.
#[test]
fn no_field_says_what_a_pod_may_do_or_names_another_namespace() {
    let crd = serde_json::to_value(crd()).expect("JSON");
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut fields = Vec::new();
    names("spec", spec, &mut fields);
    assert!(fields.len() > 100 && fields.contains(&"spec.rollout.targets.name".to_owned()), "{fields:?}");
    let words = [
        "hostPath",
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "hostProcess",
        "privileged",
        "securityContext",
        "nodeName",
        "runtimeClassName",
        "runtimeClass",
        "volumes",
        "volumeMounts",
        "initContainers",
        "containers",
        "podTemplate",
        "template",
        "podSpec",
        "patches",
        "capabilities",
        "command",
        "namespace",
        "buildArgs",
        "password",
        "token",
        "netrc",
        "insecure",
        "insecureSkipTLSVerify",
    ];
    let found: Vec<&String> = fields.iter().filter(|field| field.rsplit('.').next().is_some_and(|name| words.contains(&name))).collect();
    assert!(found.is_empty(), "{found:?}");
    // The one account that can be named gets its token into the stage that pushes, and none for the API server.
    let accounts: Vec<&String> = fields.iter().filter(|field| field.ends_with("serviceAccountName")).collect();
    assert_eq!(accounts, ["spec.image.identity.serviceAccountName"]);
    let text = spec.to_string();
    assert!(!text.contains("x-kubernetes-preserve-unknown-fields") && !text.contains("x-kubernetes-embedded-resource"));
}

fn names(path: &str, schema: &serde_json::Value, found: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        found.push(path.clone());
        names(&path, field, found);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            names(path, &schema[inner], found);
        }
    }
}

/// SP6: as long as Rust's own check allows.
#[test]
fn a_url_has_2048_bytes_at_most() {
    let crd = serde_json::to_value(crd()).expect("JSON");
    let url = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["source"]["properties"]["git"]["properties"]
        ["url"];
    assert_eq!(url["maxLength"], 2048);
}
