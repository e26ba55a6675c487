//! Which Job is an object's, and which pod a Job's?
//!
//! Who may create Jobs or pods anywhere in the cluster may write any label, any annotation and any owner on them, and uids are no secrets. What
//! proves that something belongs is all of this together: it is in the namespace of its owner, which nobody else may create in; its one
//! *controlling* owner has the group, the kind, the name and the uid of that owner. Of a Job the role says for what it is; one of a role that
//! this version does not know is for nothing.
//!
//! Nothing else in the product looks at owners (`house.rs` reads that). Whoever may create Jobs or pods in the object's own namespace can also
//! mount its Secrets: against him this proves nothing, and docs/supply-chain.md says so.

use gowindows_crds::names::{self, Role};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube_core::{Resource, ResourceExt};

/// Whether `owner` controls an object.
pub fn controls<O: Resource<DynamicType = ()>>(owner: &O, object: &ObjectMeta) -> bool {
    let ObjectMeta { name: Some(name), uid: Some(uid), namespace, .. } = owner.meta() else { return false };
    let controls = |reference: &OwnerReference| is_kind::<O>(reference) && reference.name == *name && reference.uid == *uid;
    *namespace == object.namespace && controller(object).is_some_and(controls)
}

/// The name and the uid of what controls an object by its own word, if that is an `O`: for finding it. Only [`controls`] proves it.
pub fn claimed_owner<O: Resource<DynamicType = ()>>(object: &ObjectMeta) -> Option<(&str, &str)> {
    controller(object).filter(|reference| is_kind::<O>(reference)).map(|reference| (reference.name.as_str(), reference.uid.as_str()))
}

/// For what a Job is. It proves nothing of whose it is.
pub fn role(job: &Job) -> Option<Role> {
    Role::of_label(job.labels().get(names::LABEL_ROLE).map(String::as_str))
}

/// The API server allows one controlling owner (`ValidateOwnerReferences`); what came past it has none.
fn controller(object: &ObjectMeta) -> Option<&OwnerReference> {
    let mut controlling = object.owner_references.iter().flatten().filter(|reference| reference.controller == Some(true));
    controlling.next().filter(|_| controlling.next().is_none())
}

/// Of a version that is not compared: what an older version of this operator created stays ours when the API's version moves on.
fn is_kind<O: Resource<DynamicType = ()>>(reference: &OwnerReference) -> bool {
    let group = reference.api_version.split_once('/').map_or("", |(group, _)| group);
    group == O::group(&()) && reference.kind == O::kind(&())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    fn job() -> Job {
        serde_json::from_value(json!({"metadata": {"name": "shop-1", "namespace": "team", "uid": "job-uid"}})).expect("a Job")
    }

    fn pod(namespace: &str, owners: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": namespace, "ownerReferences": owners}})).expect("a pod")
    }

    fn owner(change: Value) -> Value {
        let mut owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": "shop-1", "uid": "job-uid", "controller": true});
        for (key, value) in change.as_object().expect("a change") {
            owner[key] = value.clone();
        }
        owner
    }

    #[test]
    fn only_what_fits_in_every_part_belongs() {
        let belongs = |namespace: &str, owners: Value| controls(&job(), &pod(namespace, owners).metadata);
        assert!(belongs("team", json!([owner(json!({}))])));
        assert!(belongs("team", json!([owner(json!({"uid": "other", "controller": false})), owner(json!({}))])), "others may own it, too");
        assert!(belongs("team", json!([owner(json!({"apiVersion": "batch/v2"}))])), "a later version of the same kind");
        // The audit's own: another namespace, with a kind that the garbage collector cannot resolve.
        assert!(!belongs("evil", json!([owner(json!({"apiVersion": "example.com/v1", "kind": "Whatever"}))])));
        for (namespace, owners) in [
            ("evil", json!([owner(json!({}))])),
            ("team", json!([])),
            ("team", json!([owner(json!({"apiVersion": "example.com/v1"}))])),
            ("team", json!([owner(json!({"apiVersion": "v1"}))])),
            ("team", json!([owner(json!({"kind": "CronJob"}))])),
            ("team", json!([owner(json!({"name": "shop-2"}))])),
            ("team", json!([owner(json!({"uid": "job-uid-2"}))])),
            ("team", json!([owner(json!({"controller": false}))])),
            ("team", json!([owner(json!({})), owner(json!({"name": "another"}))])),
        ] {
            assert!(!belongs(namespace, owners.clone()), "{namespace} {owners}");
        }
        let nameless = Job::default();
        assert!(!controls(&nameless, &pod("team", json!([owner(json!({"name": "", "uid": ""}))])).metadata), "nothing belongs to nobody");
    }

    #[test]
    fn a_claim_is_found_by_kind() {
        let claimed = |owners: Value| claimed_owner::<Job>(&pod("team", owners).metadata).map(|(name, uid)| format!("{name} {uid}"));
        assert_eq!(claimed(json!([owner(json!({}))])).as_deref(), Some("shop-1 job-uid"));
        assert_eq!(claimed(json!([owner(json!({"kind": "Whatever"}))])), None);
        assert_eq!(claimed(json!([owner(json!({"controller": false}))])), None);
    }
}
