//! What does an outage of the nodes cost? Many builds wait for pods that are never let in; they cost nothing while nothing happens, the others go
//! on beside them, and all come to their end when it is over.

use crate::lives::{End, PATIENCE, deleted, settled};
use crate::meddling;
use crate::outside::Program;
use crate::stage::{Stage, USER};
use crate::user::{Shop, condition, runs};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many wait, each with a Job that builds and one that tests.
const WAITING: u64 = 20;
/// A new commit beside them is built and runs within this time.
const BESIDE: Duration = Duration::from_secs(180);

/// One object that works beside many that wait.
pub async fn many_wait(stage: Arc<Stage>) -> End {
    stage.outage.store(true, Ordering::Relaxed);
    let shop = Shop::new(&stage, 0);
    let meddler = tokio::spawn(meddling::meddle(shop.clone()));
    let first = shop.commit(Program::Good).await;
    let mut waiting = Vec::new();
    for number in 0..WAITING {
        waiting.push(wait_for_pods(&Shop::new(&stage, 11 + 10 * number)).await);
    }
    shop.create().await;
    shop.until(PATIENCE, |status| runs(status, &first)).await;
    for (shop, _) in &waiting {
        shop.until(PATIENCE, waits).await;
    }
    meddler.abort();
    meddling::undo(&shop).await;
    stage.faults.end();
    cost_nothing(&stage, &waiting).await;
    let second = shop.commit(Program::Good).await;
    if !shop.until(BESIDE, |status| runs(status, &second)).await {
        stage.invariants().breaks(format!("{} did not get on beside builds that wait: {}", shop.name, shop.status()["conditions"]));
    }
    stage.outage.store(false, Ordering::Relaxed);
    for (shop, commit) in &waiting {
        if !shop.until(PATIENCE, |status| built(status, commit)).await {
            stage.invariants().breaks(format!("{} waits for ever: {}", shop.name, shop.status()["conditions"]));
        }
    }
    let mut end = settled(&stage, &[(shop.clone(), second)]).await;
    let jobs: Vec<usize> = waiting.iter().map(|(shop, _)| shop.jobs().len()).collect();
    end.states.push(format!("{jobs:?} Jobs of builds that waited"));
    let all: Vec<Shop> = waiting.into_iter().map(|(shop, _)| shop).chain([shop]).collect();
    deleted(&stage, &all).await;
    end
}

/// A shop without a target that builds one commit.
pub async fn wait_for_pods(shop: &Shop) -> (Shop, String) {
    let commit = shop.commit(Program::Good).await;
    let object = json!({
        "metadata": {"name": shop.name},
        "spec": {
            "source": {"git": {"url": shop.url(), "ref": {"commit": commit}}},
            "go": {"test": {"packages": ["./..."]}},
            "image": {"repository": "registry.sim/shops"},
            "build": {"timeouts": {"queue": "12h"}},
        },
    });
    shop.make("GoWindowsImage", object).await;
    (shop.clone(), commit)
}

/// Its Jobs are there, and it says why they have no pod.
pub fn waits(status: &Value) -> bool {
    let built = status["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == "Built");
    built.is_some_and(|built| built["message"].as_str().is_some_and(|message| message.contains("exceeded quota")))
}

pub fn built(status: &Value, commit: &str) -> bool {
    let image = &status["image"];
    condition(status, "Built").0 == "True" && image["revision"].as_str().is_some_and(|revision| revision.ends_with(commit))
}

/// An hour in which nothing happens but that pods are refused again.
async fn cost_nothing(stage: &Arc<Stage>, waiting: &[(Shop, String)]) {
    // What a stalled watch still holds back arrives now.
    stage.wait(USER, Duration::from_secs(1_500)).await;
    for (shop, _) in waiting {
        let (jobs, status) = (shop.jobs().len(), shop.status());
        if jobs != 2 || !waits(&status) {
            stage.invariants().breaks(format!("{} waits with {jobs} Jobs: {}", shop.name, status["conditions"]));
        }
    }
    let about_them = || stage.invariants().requests_about(|object| object >= 10);
    let before = about_them();
    stage.wait(USER, Duration::from_secs(3_600)).await;
    let asked = about_them() - before;
    if asked > 0 {
        stage.invariants().breaks(format!("{asked} requests in an hour about builds that wait"));
    }
}
