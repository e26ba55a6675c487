//! Does one object that always fails slow the others down? Its Job is refused by a ValidatingAdmissionPolicy of the cluster, as a policy of a
//! company would.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gowindows_bench::{Results, Table};
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::bench::{Bench, Latencies, ONE, Run};
use crate::ground::{Ground, space};
use crate::seen::Key;
use crate::subject::Kind;

/// Objects of each round.
const COUNT: usize = 200;

/// Without the object and with it, in turns.
pub async fn measure(bench: &Bench, results: &mut Results) -> Result<()> {
    let run = bench.run(Kind::Operator).await?;
    refuse(bench, &run.ground).await?;
    let before = run.ground.requests().await?;
    let count = bench.count(COUNT);
    let (mut without, mut with) = (Latencies::default(), Latencies::default());
    for round in 0..bench.repeats {
        without.add(bench.progress.step("without a poisoned object", run.ten_a_second(&format!("without-{round}"), count)).await?);
        let key: Key = (space(0), format!("poisoned-{round}"));
        run.ground.create(&key, &run.ground.pinned()).await?;
        poisoned(&run, &key).await?;
        with.add(bench.progress.step("with one", run.ten_a_second(&format!("with-{round}"), count)).await?);
        run.ground.delete(std::iter::once(key)).await?;
    }
    let refused = run.ground.requests().await?.since(&before).of_controller().tally().wasted;
    run.end().await?;
    let mut table = Table::new(["ten objects a second", "p50", "p99"]);
    table.row(["without it".into(), without.shown(50.0), without.shown(99.0)]);
    table.row(["with it".into(), with.shown(50.0), with.shown(99.0)]);
    results.heading("One poisoned object");
    results.table(&table);
    results.text(&format!("A ValidatingAdmissionPolicy refuses its Job. {refused} requests of the operator were refused in all."));
    let ratio = with.percentile(99.0) / without.percentile(99.0);
    results.goal("p99 of the others with a poisoned object, beside without", "<= 1.2", format!("{ratio:.2}"), ratio <= 1.2);
    Ok(())
}

/// Has the API server refuse Jobs of poisoned objects, and waits until it does.
async fn refuse(bench: &Bench, ground: &Ground) -> Result<()> {
    let policy: ValidatingAdmissionPolicy = serde_json::from_value(json!({
        "metadata": {"name": "no-poison"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [
                {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]},
            ]},
            "validations": [{"expression": "!object.metadata.name.startsWith('poisoned')", "message": "poisoned"}],
        },
    }))?;
    let binding: ValidatingAdmissionPolicyBinding = serde_json::from_value(json!({
        "metadata": {"name": "no-poison"}, "spec": {"policyName": "no-poison", "validationActions": ["Deny"]},
    }))?;
    Api::all(ground.client.clone()).create(&PostParams::default(), &policy).await.context("create the policy")?;
    Api::all(ground.client.clone()).create(&PostParams::default(), &binding).await.context("bind the policy")?;
    let job: Job = serde_json::from_value(bench.template.made(&space(0), "poisoned-by-hand", "00000000")?.job)?;
    let (jobs, params) = (Api::<Job>::namespaced(ground.client.clone(), &space(0)), PostParams { dry_run: true, ..PostParams::default() });
    let end = Instant::now() + ONE;
    while jobs.create(&params, &job).await.is_ok() {
        if Instant::now() > end {
            bail!("the policy does not refuse Jobs after {} s", ONE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Waits until the operator has told of it.
async fn poisoned(run: &Run, key: &Key) -> Result<()> {
    if !run.ground.seen.until(&[key], ONE, |[_, statuses]| statuses == 1).await? {
        bail!("the poisoned object has no status after {} s", ONE.as_secs());
    }
    match run.ground.seen.job(key) {
        Some(_) => bail!("the poisoned object got a Job"),
        None => Ok(()),
    }
}
