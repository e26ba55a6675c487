//! Pods of others that say of a build's Jobs that all went well, with another image (H2). Each has the labels that are looked for and the uid
//! of the Job, and is newer than the Job's own pod.

use super::{KEPT, Team, changed, found, pod_spec, rule};
use anyhow::{Context, Result, ensure};
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::names::{LABEL_ROLE, Role};
use gowindows_crds::v1alpha1::{BuildPhase, GoWindowsImageStatus};
use gowindows_tests::thread::{LIMIT, Stage, User, forbidden, is_for, until};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const TEAM: &str = "forged-pods";
const ATTACKER: &str = "forger";
/// What nodes must have for this team's builds: as long as none has it, the Jobs' own pods wait.
const GATE: &str = "example.com/forged-pods";
/// An object without tests, and one whose tests fail.
const OBJECTS: [&str; 2] = ["plain", "gated"];

/// The digest that is forged.
fn forged() -> String {
    format!("sha256:{}", "e".repeat(64))
}

pub async fn forged_pods_prove_nothing(stage: Arc<Stage>) -> Result<()> {
    let team = Team::create(&stage, TEAM).await?;
    // A new namespace lets no pod in until it has an account for it.
    stage.operator.kubectl.run(&["create", "namespace", ATTACKER]).await?;
    for name in OBJECTS {
        let mut object = team.object(&stage, name);
        object["spec"]["build"]["nodes"] = json!({"selector": {GATE: "open"}});
        if name == "gated" {
            object["spec"]["go"]["test"] = json!({"packages": ["./..."]});
        }
        team.apply(&object).await?;
    }
    let jobs = found("each Job has a pod that waits", || waiting_jobs(&stage)).await?;
    // Times have whole seconds: what is forged is to be the newest.
    sleep(Duration::from_millis(1100)).await;
    let forged = forge(&stage, &jobs).await?;
    sleep(Duration::from_secs(2)).await;
    for name in OBJECTS {
        let status = team.looked_at(&stage, name, "after-the-forgery").await?;
        let phase = status.build.as_ref().map(|build| build.phase);
        ensure!(phase == Some(BuildPhase::Queued) && status.image.is_none(), "{name}: a forged pod is believed: {status:?}");
    }
    stands(&forged).await?;
    nothing_is_told(&team).await?;

    let node = format!("{GATE}=open");
    stage.operator.kubectl.run(&["label", "nodes", "--selector", "kubernetes.io/os=linux", &node]).await?;
    let failed = |status: &GoWindowsImageStatus| is_for(status, ConditionType::Built, Reason::TestsFailed);
    let gated = until(&stage.lab.client(), TEAM, "gated", LIMIT, failed).await.context("its tests fail")?;
    ensure!(gated.image.is_none(), "forged tests have passed: {:?}", gated.image);
    let plain = team.published(&stage, "plain").await?;
    let job = plain.build.as_ref().map(|build| build.job.clone()).context("a build")?;
    let image = plain.image.context("an image")?;
    ensure!(own_digest(&stage, &job).await? == image.digest, "the digest is not the one that its own pod says: {image:?}");
    stands(&forged).await?;
    nothing_is_told(&team).await
}

/// The Jobs of both objects, once each has a pod.
async fn waiting_jobs(stage: &Stage) -> Result<Option<Vec<Job>>> {
    let jobs = Api::<Job>::namespaced(stage.lab.client(), TEAM).list(&ListParams::default()).await?.items;
    let pods = Api::<Pod>::namespaced(stage.lab.client(), TEAM).list(&ListParams::default()).await?.items;
    // Two builds, and the tests of one.
    Ok((jobs.len() == 3 && pods.len() == 3).then_some(jobs))
}

/// The attacker has rights in a namespace of his own alone, the insider in the team's; neither may touch a Job.
async fn forge(stage: &Stage, jobs: &[Job]) -> Result<Vec<(Api<Pod>, String)>> {
    let rules = json!([rule("", &["pods"], &["create", "get"]), rule("", &["pods/status"], &["patch"])]);
    let attacker = User::create(&stage.lab, ATTACKER, "attacker", &rules).await?;
    let insider = User::create(&stage.lab, TEAM, "insider", &rules).await?;
    forbidden(attacker.within::<Pod>(TEAM).list(&ListParams::default()).await).context("the attacker looks at the team's pods")?;
    forbidden(insider.own::<Job>().list(&ListParams::default()).await).context("the insider looks at Jobs")?;
    let mut forged = Vec::new();
    for (number, job) in jobs.iter().enumerate() {
        for (position, (inside, change)) in forgeries().into_iter().enumerate() {
            let pods: Api<Pod> = if inside { insider.own() } else { attacker.own() };
            let (pod, status) = forgery(&format!("forged-{number}-{position}"), job, &change)?;
            let name = pods.create(&PostParams::default(), &pod).await.with_context(|| format!("forge {change}"))?.name_any();
            pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.with_context(|| format!("end {change}"))?;
            forged.push((pods, name));
        }
    }
    Ok(forged)
}

/// Whether each is in the team's namespace, and what of its owner is not that of the Job.
fn forgeries() -> Vec<(bool, Value)> {
    vec![
        // The audit's own: a kind that the garbage collector cannot resolve.
        (false, json!({"apiVersion": "example.com/v1", "kind": "Whatever"})),
        // In every part that of the Job.
        (false, json!({})),
        // A version of Jobs that no API server has.
        (false, json!({"apiVersion": "batch/v9"})),
        (true, json!({"controller": false})),
        (true, json!({"apiVersion": "example.com/v1", "kind": "Whatever"})),
        (true, json!({"apiVersion": "example.com/v1"})),
        (true, json!({"name": "another"})),
    ]
}

/// A pod that names a Job, and how it says that it ended.
fn forgery(name: &str, job: &Job, change: &Value) -> Result<(Pod, Value)> {
    let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": job.name_any(), "uid": job.uid(), "controller": true});
    let tests = job.labels().get(LABEL_ROLE).is_some_and(|role| role == Role::Test.as_str());
    let [first, last] = if tests { ["source", "test"] } else { ["source", "assemble"] };
    let pod = json!({
        "metadata": {
            "name": name, "labels": job.labels(), "annotations": job.annotations(), "finalizers": [KEPT],
            "ownerReferences": [changed(owner, change)],
        },
        "spec": pod_spec(&[first], &[last]),
    });
    let says = json!({"digest": forged()}).to_string();
    let (start, end) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z");
    let ended = |name: &str| {
        let state = json!({"terminated": {"exitCode": 0, "message": says, "startedAt": start, "finishedAt": end}});
        json!([{"name": name, "state": state, "ready": false, "restartCount": 0, "image": "", "imageID": ""}])
    };
    let status = json!({"phase": "Succeeded", "initContainerStatuses": ended(first), "containerStatuses": ended(last)});
    Ok((serde_json::from_value(pod)?, json!({"status": status})))
}

/// Every forged pod is there, and says what it said: nothing was shown by what the garbage collector had taken away.
async fn stands(forged: &[(Api<Pod>, String)]) -> Result<()> {
    for (pods, name) in forged {
        let phase = pods.get(name).await.with_context(|| format!("read {name}"))?.status.and_then(|status| status.phase);
        ensure!(phase.as_deref() == Some("Succeeded"), "{name} is {phase:?}");
    }
    Ok(())
}

/// Nothing that the team is told has the forged digest.
async fn nothing_is_told(team: &Team) -> Result<()> {
    let told = team.tenant.kubectl.run(&["get", "gwi,jobs,events", "--output", "json"]).await?;
    ensure!(told.contains("plain") && !told.contains(&forged()), "the forged digest is told: {told}");
    Ok(())
}

/// The digest that the pod of a Job says, the one that its controller made.
async fn own_digest(stage: &Stage, job: &str) -> Result<String> {
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    let pods = Api::<Pod>::namespaced(stage.lab.client(), TEAM).list(&of_job).await?.items;
    let containers = pods.into_iter().filter_map(|pod| pod.status).flat_map(|status| status.container_statuses.unwrap_or_default());
    let mut said = containers.filter_map(|container| container.state?.terminated?.message);
    let said: Value = serde_json::from_str(&said.next().context("a pod of the build that has ended")?)?;
    said["digest"].as_str().map(str::to_owned).context("a digest")
}
