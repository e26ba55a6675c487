//! Which lives are led? From creation over a bad rollout and an edit mid-build to deletion, while things go wrong; after they have
//! stopped going wrong, the liveness properties of the design must hold:
//!
//! L1 the end state is that of the life without faults; L2 nobody waits for more than a minute without a condition that says why;
//! L3 then nothing is written any more; L4 a deletion needs nobody. (L5, the poisoned neighbour, has a test of its own.)

use crate::cluster::writer;
use crate::meddling;
use crate::outside::Program;
use crate::stage::{Stage, USER};
use crate::user::{Shop, condition, runs};
use gowindows_crds::conditions::Reason;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// While things go wrong the user goes on after this time.
pub const PATIENCE: Duration = Duration::from_secs(1_200);
/// After the last fault all is well within this time: the longest back-off and a stalled watch.
const RECOVERY: Duration = Duration::from_secs(1_500);

/// What is left of a life.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct End {
    /// The normalised end state, one per object.
    pub states: Vec<String>,
}

/// One object: good, an edit while it builds, a failing test, a bad rollout, good again, deleted.
pub async fn one_object(stage: Arc<Stage>) -> End {
    let shop = Shop::new(&stage, 0);
    let meddler = tokio::spawn(meddling::meddle(shop.clone()));
    let first = shop.commit(Program::Good).await;
    shop.create().await;
    explained(&shop).await;
    shop.until(PATIENCE, |status| runs(status, &first)).await;

    let second = shop.commit(Program::Good).await;
    shop.until(PATIENCE, |status| builds(status, &second)).await;
    shop.edit("GoWindowsImage", |object| object["spec"]["go"]["ldflags"] = json!(["-X main.edition=second"])).await;
    shop.until(PATIENCE, |status| runs(status, &second) && status["observedGeneration"] == 2).await;

    // Some minutes later, as a user would: all that was under way has ended.
    stage.wait(USER, Duration::from_secs(200)).await;
    let untested = shop.commit(Program::Untested).await;
    shop.until(PATIENCE, |status| builds(status, &untested) && condition(status, "Built") == ("False".into(), "TestsFailed".into())).await;
    if names(&shop.status(), &untested) {
        stage.invariants().breaks("I14: an image whose tests failed is the last good one".into());
    }

    let third = shop.commit(Program::Crashes).await;
    let crashed = |status: &Value| names(status, &third) && condition(status, "RolledOut") == ("False".into(), "CrashLooping".into());
    shop.until(PATIENCE, crashed).await;

    let last = shop.commit(Program::Good).await;
    shop.until(PATIENCE, |status| runs(status, &last)).await;
    meddler.abort();
    meddling::undo(&shop).await;
    stage.faults.end();
    let end = settled(&stage, &[(shop.clone(), last)]).await;
    deleted(&stage, &[shop]).await;
    end
}

/// Three objects that share a namespace, a repository of images and, two of them, their commits.
pub async fn three_objects(stage: Arc<Stage>) -> End {
    let shops: Vec<Shop> = (0..3).map(|number| Shop::new(&stage, number)).collect();
    let meddlers: Vec<_> = shops.iter().map(|shop| tokio::spawn(meddling::meddle(shop.clone()))).collect();
    for (number, shop) in shops.iter().enumerate() {
        shop.commit(if number == 2 { Program::Broken } else { Program::Good }).await;
    }
    stage.outside.mirror(&shops[0].url(), &shops[1].url());
    for shop in &shops {
        shop.create().await;
    }
    let first = stage.outside.head(&shops[0].url());
    for shop in &shops[..2] {
        shop.until(PATIENCE, |status| runs(status, &first)).await;
    }
    let mut last = Vec::new();
    for shop in &shops {
        let commit = shop.commit(Program::Good).await;
        last.push(commit);
    }
    shops[1].until(PATIENCE, |status| builds(status, &last[1])).await;
    shops[1].edit("GoWindowsImage", |object| object["spec"]["go"]["ldflags"] = json!(["-X main.edition=second"])).await;
    for (shop, commit) in shops.iter().zip(&last) {
        shop.until(PATIENCE, |status| runs(status, commit)).await;
    }
    for (shop, meddler) in shops.iter().zip(meddlers) {
        meddler.abort();
        meddling::undo(shop).await;
    }
    stage.faults.end();
    let all: Vec<(Shop, String)> = shops.iter().cloned().zip(last).collect();
    let end = settled(&stage, &all).await;
    deleted(&stage, &shops).await;
    end
}

/// A build of this commit is under way, or is over already.
fn builds(status: &Value, commit: &str) -> bool {
    status["inputs"]["revision"].as_str().is_some_and(|revision| revision.ends_with(commit))
}

fn names(status: &Value, commit: &str) -> bool {
    status["image"]["revision"].as_str().is_some_and(|revision| revision.ends_with(commit))
}

/// L2.
async fn explained(shop: &Shop) {
    let told = shop.until(Duration::from_secs(60), |status| !condition(status, "Ready").0.is_empty()).await;
    // While the operator is down or cut off nobody can explain anything.
    if !told && shop.stage.faults.struck().is_empty() {
        shop.stage.invariants().breaks(format!("L2: {} has no condition after a minute", shop.name));
    }
}

/// L1, L2 and L3.
pub async fn settled(stage: &Arc<Stage>, shops: &[(Shop, String)]) -> End {
    for (shop, commit) in shops {
        let well = |status: &Value| runs(status, commit) && current(shop, status);
        if !shop.until(RECOVERY, well).await {
            let (status, jobs) = (shop.status(), shop.jobs().iter().map(|job| job["metadata"]["name"].clone()).collect::<Vec<_>>());
            let conditions = serde_json::to_string(&status["conditions"]).unwrap_or_default();
            stage.invariants().breaks(format!("L1: {} does not run {commit}: {conditions}, Jobs {jobs:?}", shop.name));
        }
        if condition(&shop.status(), "Ready").0.is_empty() {
            stage.invariants().breaks(format!("L2: {} has no Ready condition", shop.name));
        }
    }
    // What a stalled watch still holds back arrives now; after that there must be silence.
    stage.wait(USER, Duration::from_secs(700)).await;
    let before = stage.invariants().writes();
    stage.wait(USER, Duration::from_secs(60)).await;
    let written = stage.invariants().writes() - before;
    if written > 0 {
        stage.invariants().breaks(format!("L3: {written} writes in the minute after all was settled"));
    }
    End { states: shops.iter().map(|(shop, _)| normalised(shop)).collect() }
}

/// The target runs what the status says, and the status speaks of the newest generation.
fn current(shop: &Shop, status: &Value) -> bool {
    let deployment = shop.get("Deployment").unwrap_or_default();
    let generation = shop.get("GoWindowsImage").map(|object| object["metadata"]["generation"].clone());
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] == status["image"]["reference"]
        && generation.as_ref() == Some(&status["observedGeneration"])
}

/// L4: registry and git are down, and all that belongs to the objects goes.
pub async fn deleted(stage: &Arc<Stage>, shops: &[Shop]) {
    stage.outside.set_git_down(true);
    stage.outside.set_registry_down(Some(Reason::RegistryUnreachable));
    for (number, shop) in shops.iter().enumerate() {
        let foreground = stage.dice.chance("foreground", u64::try_from(number).unwrap_or_default(), 500);
        shop.act(|store| store.delete(&writer("user"), &shop.key("GoWindowsImage"), None, foreground)).await;
    }
    for shop in shops {
        let gone = || shop.get("GoWindowsImage").is_none() && shop.jobs().is_empty();
        if !shop.until_world(Duration::from_secs(30), gone).await {
            stage.invariants().breaks(format!("L4: {} or its Jobs are still there 30 s after its deletion", shop.name));
        }
    }
    stage.wait(USER, Duration::from_secs(120)).await;
}

/// What must be the same with and without faults: neither times nor names of attempts.
fn normalised(shop: &Shop) -> String {
    let status = shop.status();
    let conditions: Vec<Value> = ["Ready", "Reconciling", "Stalled", "SourceResolved", "Built", "Published", "RolledOut"]
        .iter()
        .map(|kind| json!([kind, condition(&status, kind)]))
        .collect();
    // Where the Job is gone before it could be told from, provenance is missing; what is signed has it.
    let attested = shop.signs().then(|| condition(&status, "Attested"));
    // Why these bases were chosen tells what was seen of the nodes at that moment. Which ones were is compared.
    let mut inputs = status["inputs"].clone();
    inputs.as_object_mut().map(|inputs| inputs.remove("baseChoice"));
    let deployment = shop.get("Deployment").unwrap_or_default();
    let jobs = shop.jobs();
    let unfinished = jobs.iter().filter(|job| job["status"]["conditions"][0].is_null() && !waits_for_nobody(job)).count();
    json!({
        "conditions": conditions,
        "attested": attested,
        "phase": status["phase"],
        "inputs": inputs,
        "image": [status["image"]["reference"], status["image"]["revision"], status["image"]["tags"], status["image"]["platforms"], status["image"]["tests"]],
        "rollout": [status["rollout"]["digest"], status["rollout"]["phase"]],
        "display": status["display"],
        "target": [deployment["spec"]["template"]["spec"]["containers"][0]["image"], deployment["spec"]["replicas"]],
        "unfinishedJobs": unfinished,
    })
    .to_string()
}

/// It queued when somebody took its labels away: it stays suspended, and nobody counts it any more.
fn waits_for_nobody(job: &Value) -> bool {
    job["metadata"]["labels"]["sim/stripped"].is_string() && job["spec"]["suspend"] == true
}
