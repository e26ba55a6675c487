//! What do third parties do meanwhile (F12), and what happens to the status (F13)? A few acts per life, drawn from the seed.

use crate::cluster::writer;
use crate::stage::{NAMESPACE, USER};
use crate::user::Shop;
use gowindows_tests::fake_apiserver::kinds::by_name;
use serde_json::{Value, json};
use std::time::Duration;

/// A phase that this version does not know.
pub const UNKNOWN: &str = "Perplexed";

/// Meddles now and then, until it is aborted.
pub async fn meddle(shop: Shop) {
    let (dice, mut number) = (shop.stage.dice, shop.name.bytes().last().map_or(0, u64::from) * 1_000);
    loop {
        number += 1;
        shop.stage.wait(USER, Duration::from_secs(5 + dice.below("pause", number, 120))).await;
        if shop.stage.faults.has("F12") && dice.chance("third party", number, 500) {
            third_party(&shop, dice.below("act", number, 8)).await;
        }
        if shop.stage.faults.has("F13") && dice.chance("status", number, 400) {
            edit_status(&shop, dice.below("edit", number, 4)).await;
        }
    }
}

/// Takes back what would stand in the way for ever.
pub async fn undo(shop: &Shop) {
    if shop.get("Deployment").is_none() {
        shop.make("Deployment", shop.deployment()).await;
    }
    let name = format!("{}-push", shop.name);
    let key = (by_name("Secret"), NAMESPACE.to_owned(), name.clone());
    if shop.stage.server.within(|store| store.get(&key).is_none()) {
        shop.make("Secret", json!({"metadata": {"name": name}})).await;
    }
    shop.edit("Deployment", |deployment| {
        deployment["spec"]["replicas"] = json!(2);
        deployment["spec"]["paused"] = json!(false);
    })
    .await;
    if shop.get("GoWindowsImage").is_none() {
        shop.make("GoWindowsImage", shop.object()).await;
    }
}

async fn third_party(shop: &Shop, act: u64) {
    let job = shop
        .jobs()
        .last()
        .map(|job| (by_name("Job"), NAMESPACE.to_owned(), job["metadata"]["name"].as_str().unwrap_or_default().to_owned()));
    let strike = |what: &str| shop.stage.faults.strike(&format!("F12 {what}"));
    match (act, job) {
        (0, Some(job)) => {
            strike("Job deleted");
            shop.act(|store| store.delete(&writer("somebody"), &job, None, false)).await;
        }
        (1, Some(job)) => {
            strike("labels stripped");
            let strip = |job: &mut Value| job["metadata"]["labels"] = json!({"sim/stripped": "yes"});
            shop.act(|store| store.update(&writer("somebody"), &job, false, strip).map(drop)).await;
        }
        (2, _) => {
            strike("target edited");
            shop.edit("Deployment", |deployment| {
                deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.sim/other:1")
            })
            .await;
        }
        (3, _) => {
            strike("scaled to 0 and back");
            shop.edit("Deployment", |deployment| deployment["spec"]["replicas"] = json!(0)).await;
            shop.stage.wait(USER, Duration::from_secs(20)).await;
            shop.edit("Deployment", |deployment| deployment["spec"]["replicas"] = json!(2)).await;
        }
        (4, _) => {
            strike("paused and resumed");
            shop.edit("Deployment", |deployment| deployment["spec"]["paused"] = json!(true)).await;
            shop.stage.wait(USER, Duration::from_secs(40)).await;
            shop.edit("Deployment", |deployment| deployment["spec"]["paused"] = json!(false)).await;
        }
        (5, _) => {
            strike("object recreated");
            let key = shop.key("GoWindowsImage");
            // In one moment, or an edit of its user's in between is lost, and the end is another one.
            shop.act(|store| {
                let Some(spec) = store.get(&key).map(|stored| stored.object["spec"].clone()) else { return Ok(()) };
                store.delete(&writer("somebody"), &key, None, false)?;
                let object = json!({"metadata": {"name": shop.name}, "spec": spec});
                store.create(&writer("user"), by_name("GoWindowsImage"), NAMESPACE, object).map(drop)
            })
            .await;
        }
        (6, _) => {
            strike("Secret gone and back");
            let name = format!("{}-push", shop.name);
            let key = (by_name("Secret"), NAMESPACE.to_owned(), name.clone());
            let data = shop.stage.server.within(|store| store.get(&key).map(|stored| stored.object["data"].clone()));
            if let Some(data) = data {
                shop.act(|store| store.delete(&writer("somebody"), &key, None, false)).await;
                shop.stage.wait(USER, Duration::from_secs(30)).await;
                shop.make("Secret", json!({"metadata": {"name": name}, "data": data})).await;
            }
        }
        (7, _) => {
            strike("target recreated");
            let (key, mut target) = (shop.key("Deployment"), None);
            shop.act(|store| {
                target = store.get(&key).map(|stored| stored.object.clone());
                store.delete(&writer("somebody"), &key, None, false)
            })
            .await;
            if let Some(target) = target {
                shop.stage.wait(USER, Duration::from_secs(2)).await;
                let metadata = json!({"name": shop.name, "labels": target["metadata"]["labels"]});
                shop.make("Deployment", json!({"metadata": metadata, "spec": target["spec"]})).await;
            }
        }
        _ => {}
    }
}

async fn edit_status(shop: &Shop, edit: u64) {
    let strike = |what: &str| shop.stage.faults.strike(&format!("F13 {what}"));
    shop.stage.invariants().meddled = true;
    let change: Box<dyn FnOnce(&mut Value) + Send> = match edit {
        0 => {
            strike("wiped");
            Box::new(|object| object["status"] = json!({"observedGeneration": -1}))
        }
        1 => {
            strike("another digest");
            Box::new(|object| {
                if object["status"]["image"].is_object() {
                    object["status"]["image"]["digest"] = json!(format!("sha256:{}", "e".repeat(64)));
                    object["status"]["image"]["reference"] = json!(format!("registry.sim/shops@sha256:{}", "e".repeat(64)));
                }
            })
        }
        2 => {
            strike("unknown value");
            Box::new(|object| object["status"]["phase"] = json!(UNKNOWN))
        }
        _ => {
            strike("future generation");
            Box::new(|object| object["status"]["observedGeneration"] = json!(1_000))
        }
    };
    shop.act(|store| store.update(&writer("somebody"), &shop.key("GoWindowsImage"), true, change).map(drop)).await;
}
