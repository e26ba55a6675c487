//! What can somebody bring about who may create Jobs or pods in a namespace of his own, and knows every uid? Nothing (security.md, H2 and H7).

use crate::cluster::writer;
use crate::outside::Program;
use crate::run::{on_stage, on_stage_with_slots};
use crate::stage::{NAMESPACE, Stage, USER};
use crate::user::{Shop, runs};
use crate::waiting::{built, wait_for_pods, waits};
use gowindows_crds::names::{self, Role};
use gowindows_tests::fake_apiserver::Key;
use gowindows_tests::fake_apiserver::kinds::by_name;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(600);
/// A namespace of somebody else.
const EVIL: &str = "evil";

type Checked = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

async fn make(stage: &Arc<Stage>, kind: &str, namespace: &str, object: Value) -> Result<Key, String> {
    stage.wait(USER, Duration::from_millis(20)).await;
    let made = stage.server.within(|store| store.create(&writer("tenant"), by_name(kind), namespace, object));
    let made = made.map_err(|refusal| format!("the forged {kind} was refused: {}", refusal.reason))?;
    let name = made.object["metadata"]["name"].as_str().unwrap_or_default();
    Ok((by_name(kind), namespace.to_owned(), name.to_owned()))
}

/// Pods that say of a build's Jobs that all went well, with another image. Each has the labels that are looked for, and the uid of the Job.
pub fn pods_prove_nothing() -> Checked {
    on_stage(|stage| async move {
        stage.outage.store(true, Ordering::Relaxed);
        let (shop, commit) = wait_for_pods(&Shop::new(&stage, 11)).await;
        ensure(shop.until(SOON, waits).await, || format!("it does not wait: {}", shop.status()))?;
        // Both of its Jobs have been refused a pod by now.
        stage.wait(USER, Duration::from_secs(300)).await;
        let before = shop.status();
        for (number, job) in shop.jobs().iter().enumerate() {
            for (position, (namespace, change)) in forgeries().into_iter().enumerate() {
                let pod = forged_pod(&format!("forged-{number}-{position}"), job, &change);
                let key = make(&stage, "Pod", namespace, pod.clone()).await?;
                stage
                    .server
                    .within(|store| store.update(&writer("kubelet"), &key, true, |there| there["status"] = pod["status"].clone()).ok());
            }
        }
        stage.wait(USER, Duration::from_secs(60)).await;
        let after = shop.status();
        ensure(before == after, || format!("a forged pod was believed: {before} -> {after}"))?;
        stage.outage.store(false, Ordering::Relaxed);
        ensure(shop.until(SOON, |status| built(status, &commit)).await, || format!("it is not built: {}", shop.status()))?;
        let digest = shop.status()["image"]["digest"].to_string();
        ensure(!digest.contains(&"e".repeat(64)), || format!("the forged image is used: {digest}"))
    })
}

/// Where each is, and what of its owner is not that of the Job.
fn forgeries() -> Vec<(&'static str, Value)> {
    vec![
        // The audit's own: a kind that the garbage collector cannot resolve keeps it alive.
        (EVIL, json!({"apiVersion": "example.com/v1", "kind": "Whatever"})),
        (EVIL, json!({})),
        (NAMESPACE, json!({"apiVersion": "example.com/v1", "kind": "Whatever"})),
        (NAMESPACE, json!({"controller": false})),
        (NAMESPACE, json!({"name": "another"})),
    ]
}

fn forged_pod(name: &str, job: &Value, change: &Value) -> Value {
    let mut owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"], "controller": true});
    for (field, value) in change.as_object().into_iter().flatten() {
        owner[field] = value.clone();
    }
    let names =
        if job["metadata"]["labels"][names::LABEL_ROLE] == Role::Test.as_str() { ["source", "test"] } else { ["source", "assemble"] };
    let says = json!({"digest": format!("sha256:{}", "e".repeat(64))}).to_string();
    let ended = |name: &str| {
        let state = json!({"terminated": {"exitCode": 0, "message": says, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"}});
        json!({"name": name, "state": state, "ready": false, "restartCount": 0, "image": "", "imageID": ""})
    };
    json!({
        "metadata": {
            "name": name, "labels": job["metadata"]["labels"], "annotations": job["metadata"]["annotations"], "ownerReferences": [owner],
        },
        "spec": {"initContainers": [{"name": names[0]}], "containers": [{"name": names[1]}]},
        "status": {"phase": "Succeeded", "initContainerStatuses": [ended(names[0])], "containerStatuses": [ended(names[1])]},
    })
}

/// Jobs that say of themselves that they are a build's take no slot and no place, and the API server is not asked for them again and again.
pub fn jobs_take_no_slot() -> Checked {
    on_stage_with_slots(Some(1), |stage| async move {
        // None of them ever has a pod, and so none ends.
        stage.outage.store(true, Ordering::Relaxed);
        let shop = Shop::new(&stage, 0);
        let commit = shop.commit(Program::Good).await;
        shop.create().await;
        let uid = shop.get("GoWindowsImage").map(|object| object["metadata"]["uid"].clone()).ok_or("it is gone")?;
        let owner = |uid: &Value, kind: &str, controller: bool| json!([{"apiVersion": "gowindows.dev/v1alpha1", "kind": kind, "name": shop.name, "uid": uid, "controller": controller}]);
        let forgeries = [
            (NAMESPACE, json!([]), false),
            (EVIL, owner(&uid, "GoWindowsImage", true), false),
            (EVIL, owner(&uid, "GoWindowsImage", true), true),
            (NAMESPACE, owner(&json!("0000-gone"), "GoWindowsImage", true), false),
            (NAMESPACE, owner(&uid, "GoWindowsImage", false), true),
            (NAMESPACE, owner(&uid, "Whatever", true), false),
        ];
        for (number, (namespace, owners, suspended)) in forgeries.into_iter().enumerate() {
            let name = format!("shop-{}-forged", 90 + number);
            let job = json!({
                "metadata": {
                    "name": name, "ownerReferences": owners,
                    "labels": {names::LABEL_MANAGED_BY: names::MANAGED_BY, names::LABEL_IMAGE_UID: uid, names::LABEL_ROLE: "build"},
                    "annotations": {"sim/forged": "yes", names::ANNOTATION_QUEUED: "linux"},
                },
                "spec": {"suspend": suspended, "template": {"spec": {}}},
            });
            make(&stage, "Job", namespace, job).await?;
        }
        ensure(shop.until(SOON, |status| runs(status, &commit)).await, || format!("it got no slot: {}", shop.status()))
    })
}
