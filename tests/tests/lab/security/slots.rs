//! Jobs that say of themselves that they are a build's, where one slot is all there is (H7): they take none, and nobody resumes them.

use super::{KEPT, Team, changed, pod_spec, rule};
use anyhow::{Context, Result, ensure};
use gowindows_crds::GoWindowsImage;
use gowindows_crds::conditions::ConditionType;
use gowindows_crds::names::{ANNOTATION_IMAGE, ANNOTATION_QUEUED, LABEL_IMAGE_UID, LABEL_MANAGED_BY, LABEL_ROLE, MANAGED_BY};
use gowindows_crds::v1alpha1::GoWindowsImageStatus;
use gowindows_tests::thread::{LIMIT, Stage, User, forbidden, message, until};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::sync::Arc;

const TEAM: &str = "forged-jobs";
const ATTACKER: &str = "job-forger";
const OBJECT: &str = "patient";

pub async fn forged_jobs_take_no_slot(stage: Arc<Stage>) -> Result<()> {
    let team = Team::create(&stage, TEAM).await?;
    let mut object = team.object(&stage, OBJECT);
    object["spec"]["suspend"] = json!(true);
    team.apply(&object).await?;
    let images: Api<GoWindowsImage> = Api::namespaced(stage.lab.client(), TEAM);
    let uid = images.get(OBJECT).await?.uid().context("a uid")?;
    let forged = forge(&stage, &uid).await?;

    object["spec"]["suspend"] = json!(false);
    team.apply(&object).await?;
    let ended = |status: &GoWindowsImageStatus| status.image.is_some() || is_crowded(status);
    let status = until(&stage.lab.client(), TEAM, OBJECT, LIMIT, ended).await.context("it gets a slot")?;
    ensure!(!is_crowded(&status), "forged Jobs take slots: {}", message(&status, ConditionType::Built));
    for (jobs, name, suspended) in &forged {
        let spec = jobs.get(name).await.with_context(|| format!("read {name}"))?.spec.unwrap_or_default();
        ensure!(spec.suspend.unwrap_or_default() == *suspended && spec.parallelism == Some(1), "{name} was resumed or stopped: {spec:?}");
    }
    Ok(())
}

/// It is told that more builds run than the one for which there is a slot.
fn is_crowded(status: &GoWindowsImageStatus) -> bool {
    let told = message(status, ConditionType::Built);
    told.contains("in the queue") && !["where 0 run", "where 1 run"].iter().any(|right| told.contains(right))
}

/// The attacker has rights in a namespace of his own alone, the insider in the team's. Gives where each is, its name, and whether it is suspended.
async fn forge(stage: &Stage, uid: &str) -> Result<Vec<(Api<Job>, String, bool)>> {
    stage.operator.kubectl.run(&["create", "namespace", ATTACKER]).await?;
    let rules = json!([rule("batch", &["jobs"], &["create", "get"])]);
    let attacker = User::create(&stage.lab, ATTACKER, "attacker", &rules).await?;
    let insider = User::create(&stage.lab, TEAM, "insider", &rules).await?;
    forbidden(attacker.within::<Job>(TEAM).list(&ListParams::default()).await).context("the attacker looks at the team's Jobs")?;
    forbidden(insider.own::<GoWindowsImage>().list(&ListParams::default()).await).context("the insider looks at objects")?;
    let mut forged = Vec::new();
    for (position, (inside, owners, suspended)) in forgeries(uid).into_iter().enumerate() {
        let jobs: Api<Job> = if inside { insider.own() } else { attacker.own() };
        let job = forgery(&format!("{OBJECT}-{position}-forged"), uid, &owners, suspended)?;
        let made = jobs.create(&PostParams::default(), &job).await.with_context(|| format!("forge a Job of {owners}"))?;
        forged.push((jobs, made.name_any(), suspended));
    }
    Ok(forged)
}

/// Whether each is in the team's namespace, whose it says that it is, and whether it waits in the queue or runs.
fn forgeries(uid: &str) -> Vec<(bool, Value, bool)> {
    let owner = json!({"apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "name": OBJECT, "uid": uid, "controller": true});
    let with = |change: Value| json!([changed(owner.clone(), &change)]);
    vec![
        // The audit's own: a label alone.
        (true, json!([]), false),
        (false, with(json!({})), false),
        (false, with(json!({})), true),
        // A version of objects that no API server has.
        (false, with(json!({"apiVersion": "gowindows.dev/v9"})), false),
        (true, with(json!({"uid": "00000000-0000-0000-0000-000000000000"})), false),
        (true, with(json!({"controller": false})), true),
        (true, with(json!({"kind": "Whatever"})), false),
        (true, with(json!({"name": "another"})), false),
    ]
}

/// It never ends: nobody schedules its pod.
fn forgery(name: &str, uid: &str, owners: &Value, suspended: bool) -> Result<Job> {
    let labels = json!({LABEL_MANAGED_BY: MANAGED_BY, LABEL_IMAGE_UID: uid, LABEL_ROLE: "build"});
    let annotations = json!({ANNOTATION_IMAGE: OBJECT, ANNOTATION_QUEUED: "linux"});
    let job = json!({
        "metadata": {"name": name, "labels": labels, "annotations": annotations, "finalizers": [KEPT], "ownerReferences": owners},
        "spec": {"suspend": suspended, "template": {"spec": pod_spec(&[], &["assemble"])}},
    });
    Ok(serde_json::from_value(job)?)
}
