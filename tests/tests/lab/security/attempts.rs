//! Numbers that a tenant writes where the operator counts (H5): the highest that there is, those below one, and what is none. Its own object is
//! built all the same, nobody else's is held up, and the operator neither panics nor restarts.

use super::{Team, rule};
use anyhow::{Context, Result, ensure};
use gowindows_crds::GoWindowsImage;
use gowindows_crds::names::{
    ANNOTATION_IMAGE, LABEL_ATTEMPT, LABEL_FINGERPRINT, LABEL_IMAGE_UID, LABEL_MANAGED_BY, LABEL_ROLE, MANAGED_BY, ORDER_REBUILD, Role,
};
use gowindows_crds::v1alpha1::{BuildPhase, BuildStatus, GoWindowsImageStatus};
use gowindows_tests::thread::{LIMIT, Stage, User, forbidden, until};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const TEAM: &str = "numbers";
const OBJECT: &str = "poisoned";
/// Another team, whose object goes on.
const NEIGHBOUR: &str = "neighbour";
/// Labels of forged Jobs: the audit's own, and what no build was ever labelled with.
const LABELS: [&str; 5] = ["2147483647", "2147483648", "99999999999999", "0", ""];

pub async fn a_number_at_its_end_stops_nobody(stage: Arc<Stage>) -> Result<()> {
    let team = Team::create(&stage, TEAM).await?;
    team.apply(&team.object(&stage, OBJECT)).await?;
    team.published(&stage, OBJECT).await?;
    let editor = editor(&stage).await?;
    for attempt in [-1, 0, i32::MIN, i32::MAX] {
        write_attempt(&editor, &json!(attempt)).await?;
        let status = team.looked_at(&stage, OBJECT, &format!("status-{attempt}")).await?;
        ensure!(status.image.is_some(), "attempt {attempt}: {status:?}");
    }
    let build = rebuilt(&stage, &team, "after-the-status").await?;
    ensure!(build.attempt == i32::MAX, "it counts on from what the status says: {build:?}");
    forge_jobs(&stage, &editor).await?;
    let build = rebuilt(&stage, &team, "after-the-jobs").await?;
    ensure!(build.attempt == i32::MAX, "it counts on from what the label says: {build:?}");

    unreadable(&stage, &team, &editor).await?;
    team.looked_at(&stage, OBJECT, "readable-again").await?;
    no_panic(&stage).await
}

/// Somebody in the team who may write the status of objects, and create Jobs.
async fn editor(stage: &Stage) -> Result<User> {
    let rules = json!([
        rule("gowindows.dev", &["gowindowsimages"], &["get"]),
        rule("gowindows.dev", &["gowindowsimages/status"], &["patch"]),
        rule("batch", &["jobs"], &["create"]),
    ]);
    let editor = User::create(&stage.lab, TEAM, "editor", &rules).await?;
    forbidden(editor.own::<GoWindowsImage>().list(&ListParams::default()).await).context("the editor lists objects")?;
    forbidden(editor.own::<Job>().list(&ListParams::default()).await).context("the editor lists Jobs")?;
    Ok(editor)
}

async fn write_attempt(editor: &User, attempt: &Value) -> Result<()> {
    let patch = json!({"status": {"build": {"attempt": attempt}}});
    let written = editor.own::<GoWindowsImage>().patch_status(OBJECT, &PatchParams::default(), &Patch::Merge(&patch)).await;
    match written {
        // The answer to what was written may be no object any more.
        Ok(_) | Err(kube::Error::SerdeError(_)) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("write attempt {attempt}")),
    }
}

/// Orders a build and waits until its image is there.
async fn rebuilt(stage: &Stage, team: &Team, token: &str) -> Result<BuildStatus> {
    let order = format!("{ORDER_REBUILD}={token}");
    team.tenant.kubectl.run(&["annotate", "--overwrite", "gwi", OBJECT, &order]).await?;
    let done = |status: &GoWindowsImageStatus| {
        let handled = status.handled.as_ref().and_then(|handled| handled.rebuild.as_deref()) == Some(token);
        handled && status.build.as_ref().is_some_and(|build| build.phase == BuildPhase::Succeeded) && status.image.is_some()
    };
    let status = until(&stage.lab.client(), TEAM, OBJECT, LIMIT, done).await.with_context(|| format!("build {token}"))?;
    let build = status.build.context("a build")?;
    let job = Api::<Job>::namespaced(stage.lab.client(), TEAM).get(&build.job).await?;
    ensure!(job.annotations().values().any(|value| value == token), "it tells of another build: {build:?}");
    Ok(build)
}

/// Jobs that the object controls by every part of the reference, as whoever may create Jobs in its namespace can make them. An empty fingerprint
/// is the beginning of each.
async fn forge_jobs(stage: &Stage, editor: &User) -> Result<()> {
    // Times have whole seconds: each build that was ordered is older, or newer, than these.
    sleep(Duration::from_millis(1100)).await;
    let uid = Api::<GoWindowsImage>::namespaced(stage.lab.client(), TEAM).get(OBJECT).await?.uid().context("a uid")?;
    for (position, attempt) in LABELS.into_iter().enumerate() {
        let labels = json!({
            LABEL_MANAGED_BY: MANAGED_BY, LABEL_IMAGE_UID: uid, LABEL_ROLE: Role::Build.as_str(), LABEL_FINGERPRINT: "", LABEL_ATTEMPT: attempt,
        });
        let owner =
            json!({"apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "name": OBJECT, "uid": uid, "controller": true});
        let job = json!({
            "metadata": {
                "name": format!("forged-{position}"), "labels": labels, "annotations": {ANNOTATION_IMAGE: OBJECT}, "ownerReferences": [owner],
            },
            "spec": {"suspend": true, "template": {"spec": super::pod_spec(&[], &["assemble"])}},
        });
        let job: Job = serde_json::from_value(job)?;
        editor.own::<Job>().create(&PostParams::default(), &job).await.with_context(|| format!("label {attempt:?}"))?;
    }
    sleep(Duration::from_millis(1100)).await;
    Ok(())
}

/// A number that fits into no attempt. Where the API server takes it, nobody can read the object until it is gone; all others go on meanwhile.
async fn unreadable(stage: &Stage, team: &Team, editor: &User) -> Result<()> {
    let written = write_attempt(editor, &json!(99_999_999_999_999_i64)).await;
    let stored = team.tenant.kubectl.run(&["get", "gwi", OBJECT, "--output", "jsonpath={.status.build.attempt}"]).await?;
    eprintln!("{TEAM}: of an attempt that is no int32 the API server keeps {stored} ({written:?})");
    let neighbour = Team::create(stage, NEIGHBOUR).await?;
    neighbour.apply(&neighbour.object(stage, NEIGHBOUR)).await?;
    neighbour.published(stage, NEIGHBOUR).await.context("others go on")?;
    write_attempt(editor, &json!(1)).await
}

/// No replica has panicked, in a pass or as a whole; others may have been killed by a scenario beside this one.
async fn no_panic(stage: &Stage) -> Result<()> {
    let said = ["logs", "--selector", "app.kubernetes.io/name=gowindows", "--prefix", "--tail=-1"];
    let log = stage.operator.kubectl.run(&said).await?;
    let panicked: Vec<&str> = log.lines().filter(|line| line.contains("panicked")).collect();
    ensure!(panicked.is_empty(), "{panicked:?}");
    let ended = "jsonpath={.items[*].status.containerStatuses[*].lastState.terminated.exitCode}";
    let codes = stage.operator.kubectl.run(&["get", "pods", "--output", ended]).await?;
    // Of a process that panicked.
    ensure!(!codes.split_whitespace().any(|code| code == "101"), "a replica ended with {codes}");
    Ok(())
}
