//! Windows nodes on paper: three releases, one of them reserved by a taint.

use super::WHOLE;
use super::app::{App, deployment, tenant};
use anyhow::{Result, bail, ensure};
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_tests::thread::{LIMIT, Ledger, Stage, Tenant, is_for, is_ready, message, until};
use gowindows_wine_node::EXIT;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Of all of it.
pub const NAMESPACE: &str = "paper";

pub async fn pods_land_fail_and_recover_on_paper(stage: Arc<Stage>) -> Result<()> {
    let _whole = WHOLE.read().await;
    let tenant = tenant(&stage, NAMESPACE, None).await?;
    tokio::try_join!(fleet(&stage, &tenant), rollout(&stage, &tenant)).map(drop)
}

/// Pods go where selector and taint send them, and meet what a node of that release answers.
async fn fleet(stage: &Stage, tenant: &Tenant) -> Result<()> {
    let base = |release: &str| format!("{}/windows/nanoserver:{release}", stage.lab.registry());
    let reserved = json!({"key": "team", "operator": "Equal", "value": "payments", "effect": "NoSchedule"});
    let cases = [
        ("newest", pods(tenant, "newest", "10.0.26100", &base("ltsc2025"))?),
        ("older", pods(tenant, "older", "10.0.26100", &base("ltsc2022"))?),
        ("too-new", pods(tenant, "too-new", "10.0.20348", &base("ltsc2025"))?),
        ("kept-out", pods(tenant, "kept-out", "10.0.17763", &base("ltsc2019"))?),
        ("let-in", with(pods(tenant, "let-in", "10.0.17763", &base("ltsc2019"))?, "/spec/template/spec/tolerations/-", reserved)?),
        ("failing", with(pods(tenant, "failing", "10.0.20348", &base("ltsc2022"))?, ENV, json!({"name": EXIT, "value": "5"}))?),
    ];
    for (_, deployment) in &cases {
        tenant.kubectl.apply(&deployment.to_string()).await?;
    }
    let ready = "{.spec.nodeName} {.status.conditions[?(@.type==\"Ready\")].status} ";
    shows(tenant, "newest", ready, "paper-2025 True paper-2025 True").await?;
    shows(tenant, "older", ready, "paper-2025 True paper-2025 True").await?;
    shows(tenant, "let-in", ready, "paper-2019 True paper-2019 True").await?;
    shows(tenant, "too-new", "{.status.containerStatuses[0].state.waiting.message}", "no match for platform in manifest").await?;
    shows(tenant, "kept-out", "{.status.conditions[?(@.type==\"PodScheduled\")].message}", "untolerated taint").await?;
    let failed = "{.status.containerStatuses[0].state.waiting.reason} {.status.containerStatuses[0].lastState.terminated.exitCode}";
    shows(tenant, "failing", failed, "CrashLoopBackOff 5").await
}

/// The environment of the only container, to be added to.
const ENV: &str = "/spec/template/spec/containers/0/env/-";

/// Two pods for one release, which need no program of their own.
fn pods(tenant: &Tenant, name: &str, build: &str, image: &str) -> Result<Value> {
    let mut deployment = deployment(tenant, name)?;
    deployment["spec"]["replicas"] = json!(2);
    let pod = &mut deployment["spec"]["template"]["spec"];
    pod["nodeSelector"]["node.kubernetes.io/windows-build"] = json!(build);
    let container = &mut pod["containers"][0];
    (container["image"], container["command"], container["env"]) = (json!(image), json!(["cmd"]), json!([]));
    Ok(deployment)
}

/// Appends to a list of a Deployment.
fn with(mut deployment: Value, path: &str, added: Value) -> Result<Value> {
    match deployment.pointer_mut(path.trim_end_matches("/-")).and_then(Value::as_array_mut) {
        Some(list) => list.push(added),
        None => bail!("a Deployment has no list at {path}"),
    }
    Ok(deployment)
}

/// Waits until the pods of an app show something.
async fn shows(tenant: &Tenant, app: &str, path: &str, expected: &str) -> Result<()> {
    let (selector, output) = (format!("app={app}"), format!("jsonpath={{range .items[*]}}{path}{{end}}"));
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let shown = tenant.kubectl.run(&["get", "pods", "--selector", &selector, "--output", &output]).await?;
        if shown.contains(expected) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let pods = tenant.kubectl.run(&["describe", "pods", "--selector", &selector]).await?;
            bail!("{app}: {expected:?} is not in {shown:?}:\n{pods}");
        }
        sleep(Duration::from_millis(300)).await;
    }
}

/// The operator rolls an image whose program ends at once, says so, and goes back when the cause is taken back.
async fn rollout(stage: &Stage, tenant: &Tenant) -> Result<()> {
    let (client, ledger) = (stage.lab.client(), Ledger::open(stage.lab.client()));
    let app = App::create(stage.lab.git(), "shaky").await?;
    app.apply(tenant, stage.lab.registry()).await?;
    let good = until(&client, NAMESPACE, "shaky", LIMIT, is_ready).await?;
    let environment = |variables: Value| {
        let mut object = app.object(tenant, stage.lab.registry());
        object["spec"]["image"]["env"] = variables;
        object.to_string()
    };
    tenant.kubectl.apply(&environment(json!([{"name": EXIT, "value": "3"}]))).await?;
    let bad = until(&client, NAMESPACE, "shaky", LIMIT, |status| is_for(status, ConditionType::RolledOut, Reason::CrashLooping)).await?;
    let says = message(&bad, ConditionType::RolledOut);
    ensure!(says.contains("exit code 3") && is_for(&bad, ConditionType::Ready, Reason::CrashLooping), "{:?}", bad.conditions);
    let serving = tenant.kubectl.run(&["get", "deployment", "shaky", "--output", "jsonpath={.status.availableReplicas}"]).await?;
    ensure!(serving == "1", "the old pod serves on: {serving:?}");
    tenant.kubectl.apply(&environment(json!([]))).await?;
    let back = until(&client, NAMESPACE, "shaky", LIMIT, |status| is_ready(status) && status.image != bad.image).await?;
    let digest = |status: &gowindows_crds::v1alpha1::GoWindowsImageStatus| status.image.as_ref().map(|image| image.digest.clone());
    ensure!(digest(&back) == digest(&good), "the same inputs are the same image: {:?}", back.image);
    let tally = ledger.close(&[NAMESPACE]).await?;
    ensure!(tally.jobs == 2, "going back builds nothing: {tally}");
    eprintln!("paper: 3 releases, 12 pods where they belong; a crashing image told as {says:?}, then gone; {tally}");
    Ok(())
}
