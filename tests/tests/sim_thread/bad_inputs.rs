//! What does a user see who did something wrong, or to whom something was done? One test for each bad input of the cluster's own; those
//! of git and registries are tested on the real ones.

use crate::cluster::writer;
use crate::dice::Dice;
use crate::faults::Faults;
use crate::outside::Program;
use crate::run::on_stage;
use crate::stage::{NAMESPACE, Stage, USER};
use crate::user::{Shop, condition, runs};
use gowindows_tests::fake_apiserver::Key;
use gowindows_tests::fake_apiserver::kinds::by_name;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(600);

type Checked = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

fn message(status: &Value, kind: &str) -> String {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let found = conditions.into_iter().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition["message"].as_str()).unwrap_or_default().to_owned()
}

/// A shop whose first image runs.
async fn open(stage: &Arc<Stage>) -> Result<(Shop, String), String> {
    let shop = Shop::new(stage, 0);
    let commit = shop.commit(Program::Good).await;
    shop.create().await;
    ensure(shop.until(SOON, |status| runs(status, &commit)).await, || format!("it never ran: {}", shop.status()))?;
    Ok((shop, commit))
}

async fn sees(shop: &Shop, kind: &str, truth: &str, reason: &str, says: &[&str]) -> Checked {
    let seen = shop.until(SOON, |status| condition(status, kind) == (truth.into(), reason.into())).await;
    let status = shop.status();
    ensure(seen, || format!("{kind} is not {truth}/{reason}: {}", status["conditions"]))?;
    let message = message(&status, kind);
    eprintln!("{kind}/{reason}: {message}");
    ensure(says.iter().all(|part| message.contains(part)), || format!("{says:?} are not all in {message:?}"))
}

fn job(shop: &Shop) -> Option<Key> {
    let jobs = shop.jobs();
    let running = jobs.iter().find(|job| job["status"]["conditions"][0].is_null())?;
    Some((by_name("Job"), NAMESPACE.into(), running["metadata"]["name"].as_str()?.to_owned()))
}

pub fn job_deleted_by_someone() -> Checked {
    on_stage(|stage| async move {
        let shop = Shop::new(&stage, 0);
        let commit = shop.commit(Program::Good).await;
        shop.create().await;
        shop.until_world(SOON, || job(&shop).is_some()).await;
        let job = job(&shop).ok_or("no Job")?;
        shop.act(|store| store.delete(&writer("somebody"), &job, None, false)).await;
        ensure(shop.until(SOON, |status| runs(status, &commit)).await, || format!("it never ran: {}", shop.status()))?;
        ensure(shop.status()["build"]["attempt"] == 2, || format!("a lost Job is a failed attempt: {}", shop.status()["build"]))
    })
}

pub fn namespace_terminating() -> Checked {
    on_stage(|stage| async move {
        let (shop, _) = open(&stage).await?;
        stage.server.within(|store| store.terminate_namespace(NAMESPACE));
        shop.commit(Program::Good).await;
        sees(&shop, "Built", "False", "JobRefused", &["being terminated"]).await?;
        let before = stage.faults.requests();
        stage.wait(USER, Duration::from_secs(3_600)).await;
        let asked = stage.faults.requests() - before;
        ensure(asked < 1_500, || format!("{asked} requests in an hour for what cannot work"))
    })
}

pub fn object_deleted_mid_build() -> Checked {
    on_stage(|stage| async move {
        let shop = Shop::new(&stage, 0);
        shop.commit(Program::Good).await;
        shop.create().await;
        shop.until_world(SOON, || job(&shop).is_some()).await;
        shop.act(|store| store.delete(&writer("user"), &shop.key("GoWindowsImage"), None, false)).await;
        let gone = shop.until_world(Duration::from_secs(30), || shop.jobs().is_empty()).await;
        ensure(gone, || format!("left behind: {:?}", shop.jobs()))?;
        stage.wait(USER, Duration::from_secs(600)).await;
        ensure(shop.jobs().is_empty(), || "a Job came back".into())
    })
}

pub fn target_paused() -> Checked {
    on_stage(|stage| async move {
        let (shop, _) = open(&stage).await?;
        shop.edit("Deployment", |deployment| deployment["spec"]["paused"] = json!(true)).await;
        let commit = shop.commit(Program::Good).await;
        sees(&shop, "RolledOut", "Unknown", "TargetPaused", &["Deployment/shop-0", "kubectl rollout resume"]).await?;
        shop.edit("Deployment", |deployment| deployment["spec"]["paused"] = json!(false)).await;
        ensure(shop.until(SOON, |status| runs(status, &commit)).await, || format!("it does not go on: {}", shop.status()))
    })
}

pub fn two_objects_for_one_container() -> Checked {
    on_stage(|stage| async move {
        let (elder, _) = open(&stage).await?;
        let younger = Shop::new(&stage, 1);
        let commit = younger.commit(Program::Good).await;
        let mut object = younger.object();
        object["spec"]["rollout"] = json!({"targets": [{"name": "shop-0"}]});
        younger.make_secrets().await;
        younger.make("GoWindowsImage", object).await;
        sees(&younger, "RolledOut", "False", "TargetClaimed", &["shop-0", "rollout.targets"]).await?;
        let runs_elders = elder.get("Deployment").unwrap_or_default()["spec"]["template"]["spec"]["containers"][0]["image"]
            == elder.status()["image"]["reference"];
        ensure(runs_elders, || "the younger one took the target".into())?;
        elder.act(|store| store.delete(&writer("user"), &elder.key("GoWindowsImage"), None, false)).await;
        ensure(younger.until(SOON, |status| runs(status, &commit)).await, || format!("the heir does not roll: {}", younger.status()))
    })
}

/// L5, too: the poisoned neighbour delays nobody.
pub fn an_object_that_cannot_be_read() -> Checked {
    let time_to_run = |poison: bool| {
        let mut took = 0;
        on_stage_with(&mut took, move |stage| async move {
            let poisoned = Shop::new(&stage, 1);
            let metadata = json!({"name": "shop-1", "annotations": {crate::admission::OLD_SCHEMA: "yes"}});
            let idle = json!({"suspend": true, "source": poisoned.object()["spec"]["source"], "image": poisoned.object()["spec"]["image"]});
            let spec = if poison { json!({"source": 7}) } else { idle };
            poisoned.make("GoWindowsImage", json!({"metadata": metadata, "spec": spec})).await;
            let before = stage.milliseconds();
            open(&stage).await?;
            ensure(poisoned.status()["conditions"].is_null() == poison, || "it was read after all, or nothing is".into())?;
            let counted = stage.metrics(0).text().contains("gowindows_reconciles_total{result=\"unreadable\"}");
            ensure(counted == poison, || "who looks at the metrics does not see it".into())?;
            Ok(stage.milliseconds() - before)
        })?;
        Ok::<u64, String>(took)
    };
    let (alone, beside) = (time_to_run(false)?, time_to_run(true)?);
    eprintln!("until it runs: {alone} ms beside an idle object, {beside} ms beside a poisoned one (virtual)");
    ensure(beside * 10 <= alone * 12, || format!("{alone} ms beside an idle object, {beside} ms beside a poisoned one"))
}

fn on_stage_with<F>(took: &mut u64, act: impl FnOnce(Arc<Stage>) -> F) -> Checked
where
    F: Future<Output = Result<u64, String>>,
{
    on_stage(|stage| async {
        *took = act(stage).await?;
        Ok(())
    })
}

pub fn status_wiped() -> Checked {
    on_stage(|stage| async move {
        let (shop, commit) = open(&stage).await?;
        let (before, jobs) = (shop.status(), stage.invariants().jobs());
        let wipe = |object: &mut Value| object["status"] = json!({"observedGeneration": -1});
        shop.act(|store| store.update(&writer("somebody"), &shop.key("GoWindowsImage"), true, wipe).map(drop)).await;
        ensure(shop.until(SOON, |status| runs(status, &commit)).await, || format!("it does not come back: {}", shop.status()))?;
        let after = shop.status();
        ensure(after["image"]["reference"] == before["image"]["reference"], || format!("{before} -> {after}"))?;
        ensure(stage.invariants().jobs() == jobs, || "it was built again".into())
    })
}

pub fn forged_job_of_the_right_name() -> Checked {
    // The same simulation without the forgery tells what the name will be, and all else that the Job says of itself.
    let told = std::sync::Mutex::new(Vec::<Value>::new());
    on_stage(|stage| async {
        let stage = stage;
        let shop = without_target(&stage, &json!({"name": "shop-0-another"})).await;
        shop.until_world(SOON, || shop.jobs().len() > 2).await;
        let jobs = shop.jobs().into_iter().filter(|job| job["metadata"]["annotations"]["sim/forged"].is_null());
        *told.lock().map_err(|error| error.to_string())? = jobs.map(|job| job["metadata"].clone()).collect();
        Ok(())
    })?;
    let told = told.into_inner().map_err(|error| error.to_string())?;
    ensure(told.len() == 2, || format!("not a build and its tests: {told:?}"))?;
    for own in &told {
        let name = own["name"].as_str().ok_or("no name")?;
        forged(name, &json!({"name": name}))?;
        // As a backup restores it, or who copies it: the labels and the inputs are right, and it belongs to an object that is gone, or to none.
        let mut gone = own["ownerReferences"].clone();
        gone[0]["uid"] = json!("0000-gone");
        for owners in [json!([]), gone] {
            forged(name, &json!({"name": name, "labels": own["labels"], "annotations": own["annotations"], "ownerReferences": owners}))?;
        }
    }
    Ok(())
}

fn forged(name: &str, metadata: &Value) -> Checked {
    on_stage(|stage| async move {
        let shop = without_target(&stage, metadata).await;
        let commit = stage.outside.head(&shop.url());
        sees(&shop, "Built", "False", "NameCollision", &[name, "Delete it"]).await?;
        ensure(shop.jobs().len() < 3, || "a build was started".into())?;
        let forged = (by_name("Job"), NAMESPACE.to_owned(), name.to_owned());
        shop.act(|store| store.delete(&writer("user"), &forged, None, false)).await;
        let built = |status: &Value| status["image"]["revision"].as_str().is_some_and(|revision| revision.ends_with(&commit));
        ensure(shop.until(SOON, built).await, || format!("it does not recover: {}", shop.status()))
    })
}

/// Neither a branch nor a pinned commit brings a Secret to a server that it does not name, nor one that the operator may not read into a pod.
pub fn a_login_goes_to_its_own_server_alone() -> Checked {
    for reference in ["branch", "commit"] {
        on_stage(|stage| async move {
            let shop = Shop::new(&stage, 0);
            let commit = shop.commit(Program::Good).await;
            shop.make_secrets().await;
            let mut object = shop.object();
            object["spec"]["source"]["git"]["ref"] =
                if reference == "commit" { json!({"commit": commit}) } else { json!({"branch": "main"}) };
            let (aspect, truth) = if reference == "commit" { ("Built", "Unknown") } else { ("SourceResolved", "False") };
            let secret = (by_name("Secret"), NAMESPACE.to_owned(), "shop-0-git".to_owned());
            let hosts = |hosts: &'static str| {
                move |secret: &mut Value| secret["metadata"]["annotations"] = json!({gowindows_crds::names::ANNOTATION_HOSTS: hosts})
            };
            shop.act(|store| store.update(&writer("user"), &secret, false, hosts("git.sim.evil.example,other.sim")).map(drop)).await;
            shop.make("GoWindowsImage", object).await;
            sees(&shop, aspect, truth, "SecretUnbound", &["shop-0-git", "git.sim", "gowindows.dev/hosts=", "gitHosts"]).await?;
            let stored = stage.server.within(|store| store.get(&secret).map(|stored| stored.object.as_ref().clone())).ok_or("gone")?;
            shop.act(|store| store.delete(&writer("user"), &secret, None, false)).await;
            sees(&shop, aspect, truth, "SecretUnavailable", &["shop-0-git", "secret-access.yaml"]).await?;
            ensure(shop.jobs().is_empty(), || format!("a Job was made: {:?}", shop.jobs()))?;
            shop.make("Secret", json!({"metadata": {"name": "shop-0-git"}, "data": stored["data"]})).await;
            sees(&shop, aspect, truth, "SecretUnbound", &["shop-0-git"]).await?;
            shop.act(|store| store.update(&writer("user"), &secret, false, hosts("other.sim, git.sim")).map(drop)).await;
            let built = |status: &Value| status["image"]["revision"].as_str().is_some_and(|revision| revision.ends_with(&commit));
            ensure(shop.until(SOON, built).await, || format!("it is not built: {}", shop.status()["conditions"]))
        })?;
    }
    Ok(())
}

/// An object beside a Job that is not its own.
async fn without_target(stage: &Arc<Stage>, job: &Value) -> Shop {
    let shop = Shop::new(stage, 0);
    shop.commit(Program::Good).await;
    shop.make_secrets().await;
    let mut metadata = job.clone();
    metadata["annotations"]["sim/forged"] = json!("yes");
    shop.make("Job", json!({"metadata": metadata, "spec": {"template": {"spec": {}}}})).await;
    shop.make("GoWindowsImage", shop.object()).await;
    shop
}

/// Nothing is written by passes over a world in which all is well.
pub fn ten_thousand_reconciles_write_nothing() -> Checked {
    on_stage(|stage| async move {
        let (shop, _) = open(&stage).await?;
        stage.wait(USER, Duration::from_secs(300)).await;
        let (writes, passes) = (stage.invariants().writes(), stage.passes());
        while stage.passes() < passes + 10_000 {
            shop.edit("Deployment", |deployment| {
                let number = deployment["metadata"]["labels"]["number"].as_str().and_then(|text| text.parse::<u64>().ok());
                deployment["metadata"]["labels"]["number"] = json!((number.unwrap_or_default() + 1).to_string());
            })
            .await;
        }
        let (written, passed) = (stage.invariants().writes() - writes, stage.passes() - passes);
        eprintln!("{passed} reconciles of a settled world: {written} writes");
        ensure(written == 0, || format!("{written} writes in {passed} passes"))
    })
}

/// No faults: what is wrong here is the input.
pub fn faults() -> Faults {
    Faults::none(Dice(0))
}

/// What changes the image and not its program takes the program from the image before; where that is gone, it is compiled after all.
pub fn a_label_needs_no_compiler() -> Checked {
    on_stage(|stage| async move {
        let (shop, commit) = open(&stage).await?;
        for (label, forgotten, stages) in [("one", false, 2), ("two", true, 3)] {
            let before = shop.status()["image"]["digest"].clone();
            if forgotten {
                stage.outside.forget(before.as_str().unwrap_or_default());
            }
            shop.edit("GoWindowsImage", |object| object["spec"]["image"]["labels"] = json!({"team": label})).await;
            let moved = |status: &Value| runs(status, &commit) && status["image"]["digest"] != before;
            ensure(shop.until(SOON, moved).await, || format!("{label}: {}", shop.status()["conditions"]))?;
            let build = shop.status()["build"].clone();
            let built = (build["stages"].as_array().map(Vec::len), build["attempt"].as_i64());
            ensure(built == (Some(stages), Some(1 + i64::from(forgotten))), || format!("{label}: {build}"))?;
        }
        // The first build has tested, once for all of them.
        ensure(shop.jobs().len() == 5, || format!("{:?}", shop.jobs()))
    })
}

/// A compiler that needs more memory than the default: the next attempt has it, and so has the next build from its first on, whatever was
/// forgotten in between.
pub fn memory_that_does_not_suffice() -> Checked {
    on_stage(|stage| async move {
        let (shop, _) = open(&stage).await?;
        let hungry = shop.commit(Program::Hungry).await;
        sees(&shop, "Built", "False", "OutOfMemory", &["its limit of 4Gi", "The next attempt gets 8Gi"]).await?;
        ensure(shop.until(SOON, |status| runs(status, &hungry)).await, || format!("it does not go on: {}", shop.status()))?;
        let status = shop.status();
        let told = (&status["build"]["attempt"], &status["build"]["memory"]["limit"], &status["learned"]["memory"]["limit"]);
        ensure(told == (&json!(2), &json!("8Gi"), &json!("8Gi")), || format!("{status}"))?;
        ensure(status["learned"]["stages"][1]["name"] == "compile", || format!("{}", status["learned"]))?;
        let wipe = |object: &mut Value| object["status"] = json!({"observedGeneration": -1});
        shop.act(|store| store.update(&writer("somebody"), &shop.key("GoWindowsImage"), true, wipe).map(drop)).await;
        let next = shop.commit(Program::Hungry).await;
        ensure(shop.until(SOON, |status| runs(status, &next)).await, || format!("it does not go on: {}", shop.status()))?;
        let build = shop.status()["build"].clone();
        ensure(build["attempt"] == 1 && build["memory"]["source"] == "Learned", || format!("{build}"))
    })
}

/// A ServiceAccount that is not there: no Job is made, what runs stays, it is asked for in moderation, and is over with its cause.
pub fn an_identity_without_its_account() -> Checked {
    on_stage(|stage| async move {
        let (shop, _) = open(&stage).await?;
        let (jobs, image) = (shop.jobs().len(), shop.status()["image"].clone());
        shop.edit("GoWindowsImage", |object| {
            object["spec"]["image"] = json!({
                "repository": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/shops",
                "identity": {"serviceAccountName": "absent", "aws": {"roleARN": "arn:aws:iam::123456789012:role/push"}},
            });
        })
        .await;
        let commit = shop.commit(Program::Good).await;
        sees(&shop, "Built", "Unknown", "IdentityUnavailable", &["ServiceAccount absent"]).await?;
        let before = stage.faults.requests();
        stage.wait(USER, Duration::from_secs(3_600)).await;
        let asked = stage.faults.requests() - before;
        ensure(asked < 1_500, || format!("{asked} requests in an hour for what cannot work"))?;
        ensure(shop.jobs().len() == jobs && shop.status()["image"] == image, || format!("{:?} {}", shop.jobs(), shop.status()["image"]))?;
        shop.edit("GoWindowsImage", |object| object["spec"]["image"] = shop.object()["spec"]["image"].clone()).await;
        ensure(shop.until(SOON, |status| runs(status, &commit)).await, || format!("it does not go on: {}", shop.status()))
    })
}

/// A failing test: nothing of it is published or rolled, its name is told, and it is not tried again before something changes.
pub fn failing_test_blocks_the_push() -> Checked {
    on_stage(|stage| async move {
        let (shop, first) = open(&stage).await?;
        let before = shop.status()["image"].clone();
        ensure(before["tests"]["packages"] == json!(["./..."]), || format!("passed tests are not recorded: {before}"))?;
        let failing = shop.commit(Program::Untested).await;
        sees(&shop, "Built", "False", "TestsFailed", &["Test TestBread of example.com/shop", "it is stale", "Push a commit"]).await?;
        stage.wait(USER, Duration::from_secs(1_800)).await;
        let status = shop.status();
        ensure(runs_on(&status, &first) && status["image"] == before, || format!("the last good image changed: {}", status["image"]))?;
        let failure = &status["build"]["failure"];
        ensure(failure["stage"] == "test" && failure["logTail"].as_str().is_some_and(|tail| tail.contains("TestBread")), || {
            format!("{failure}")
        })?;
        ensure(shop.jobs().len() == 4, || format!("it was tried again: {:?}", shop.jobs().len()))?;
        let fingerprint = status["inputs"]["fingerprint"].as_str().unwrap_or_default().to_owned();
        let tags = [gowindows_crds::names::fingerprint_tag(&fingerprint), format!("shop-0-{failing}")];
        let published = tags.iter().find(|tag| stage.outside.tagged("registry.sim/shops", tag).is_some());
        ensure(published.is_none(), || format!("{published:?} leads to an image whose test failed"))?;
        let mended = shop.commit(Program::Good).await;
        ensure(shop.until(SOON, |status| runs(status, &mended)).await, || format!("it does not go on: {}", shop.status()))
    })
}

fn runs_on(status: &Value, commit: &str) -> bool {
    condition(status, "Ready").0 == "True" && status["image"]["revision"].as_str().is_some_and(|revision| revision.ends_with(commit))
}
