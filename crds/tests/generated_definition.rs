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
