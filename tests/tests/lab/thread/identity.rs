//! Registries that only workload identities open: a real ServiceAccount's tokens, signed by the cluster and verified by its published keys,
//! are exchanged by the operator and by the build pod, and no password is anywhere else.

use super::failures::fails_with;
use anyhow::{Context, Result, ensure};
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::v1alpha1::GoWindowsImageStatus;
use gowindows_tests::clouds::{ACCOUNT, CLIENT, Cloud, PROVIDER, Provider, ROLE, TENANT};
use gowindows_tests::lab::git::{Access, Repository};
use gowindows_tests::thread::{LIMIT, Stage, Tenant, is_for, is_true, message, until};
use serde_json::{Value, json};
use std::sync::Arc;

const NAMESPACE: &str = "identity";
const SUBJECT: &str = "system:serviceaccount:identity:storefront-push";
const MAIN: &str = "package main\n\nfunc main() {}\n";
const GO_MOD: &str = "module example.com/storefront\n\ngo 1.22\n";

fn object(name: &str, repository: &Repository, cloud: &Cloud, of_cloud: (&str, Value)) -> Value {
    let identity = json!({"serviceAccountName": "storefront-push", of_cloud.0: of_cloud.1});
    json!({
        "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "metadata": {"name": name},
        "spec": {
            "interval": "5s",
            "source": {"git": {"url": repository.url()}},
            "go": {"timezoneData": false},
            "image": {"repository": format!("{}/identity/{name}", cloud.address), "identity": identity},
            "rollout": {"mode": "StatusOnly"},
        },
    })
}

/// The condition comes, whatever came before.
async fn says(stage: &Stage, reason: Reason, parts: &[&str]) -> Result<()> {
    let so = |status: &GoWindowsImageStatus| {
        let said = message(status, ConditionType::Built);
        is_for(status, ConditionType::Built, reason) && parts.iter().all(|part| said.contains(part))
    };
    let client = stage.lab.client();
    until(&client, NAMESPACE, "storefront", LIMIT, so).await.with_context(|| format!("waiting for {reason} with {parts:?}"))?;
    fails_with(stage, NAMESPACE, ConditionType::Built, reason, parts).await.map(drop)
}

fn is_published(status: &GoWindowsImageStatus) -> bool {
    is_true(status, ConditionType::Published) && is_true(status, ConditionType::Built) && is_true(status, ConditionType::Ready)
}

async fn published(stage: &Stage, name: &str) -> Result<()> {
    until(&stage.lab.client(), NAMESPACE, name, LIMIT, is_published).await.with_context(|| format!("publish {name}")).map(drop)
}

/// Only the last container of the build has a token, and it is for the cloud.
async fn token_is_where_it_belongs(tenant: &Tenant) -> Result<()> {
    let jobs: Value = serde_json::from_str(&tenant.kubectl.run(&["get", "jobs", "--output", "json"]).await?)?;
    let pods = jobs["items"].as_array().context("Jobs")?.iter().map(|job| &job["spec"]["template"]["spec"]);
    for pod in pods {
        ensure!(pod["serviceAccountName"] == "storefront-push" && pod["automountServiceAccountToken"] == false, "{pod}");
        let containers = ["initContainers", "containers"].into_iter().flat_map(|kind| pod[kind].as_array().into_iter().flatten());
        let mounts = |container: &&Value| container["volumeMounts"].to_string().contains("registry-identity");
        let seeing: Vec<&Value> = containers.filter(mounts).map(|container| &container["name"]).collect();
        ensure!(seeing == [&json!("assemble")], "{seeing:?}");
    }
    Ok(())
}

/// No password, key or token of a cloud is in an object, an event or the operator's log.
async fn nothing_is_told(stage: &Stage, tenant: &Tenant, clouds: &[&Cloud]) -> Result<()> {
    let kinds = "gwi,jobs,pods,events,secrets,configmaps,serviceaccounts";
    let everything = tenant.kubectl.run(&["get", kinds, "--output", "yaml", "--show-managed-fields"]).await? + &stage.operator.log().await;
    let secrets: Vec<String> = clouds.iter().flat_map(|cloud| cloud.secrets()).collect();
    ensure!(secrets.len() > 6, "the clouds gave out little: {}", secrets.len());
    ensure!(secrets.iter().all(|secret| !everything.contains(secret.as_str())), "what a cloud gave out is in an object or a log");
    // Every token of a ServiceAccount begins so.
    ensure!(!everything.contains("eyJhbGciOi"), "a token is in an object or a log");
    Ok(())
}

pub async fn workload_identities_open_the_registries_of_their_clouds(stage: Arc<Stage>) -> Result<()> {
    let tenant = Tenant::create(&stage.lab, NAMESPACE).await?;
    let repository = stage.lab.git().create("identity/storefront", Access::Public).await?;
    repository.commit_files(&[("go.mod", GO_MOD), ("main.go", MAIN)], "Open", "2026-01-02T03:04:05Z").await?;
    let aws = stage.lab.start_cloud(Provider::Aws, SUBJECT).await?;
    let azure = stage.lab.start_cloud(Provider::Azure, SUBJECT).await?;
    let google = stage.lab.start_cloud(Provider::Google, SUBJECT).await?;

    let mut storefront = object("storefront", &repository, &aws, ("aws", json!({"roleARN": format!("{ROLE}-of-others")})));
    tenant.kubectl.apply(&storefront.to_string()).await?;
    let absent = ["image.identity.serviceAccountName", "ServiceAccount storefront-push", "registry-identity.yaml"];
    says(&stage, Reason::IdentityUnavailable, &absent).await?;
    tenant.kubectl.apply(&tenant.sample("registry-identity.yaml", "storefront")?).await?;
    let refused = ["AccessDenied", aws.address.as_str(), "trust policy", SUBJECT, "aud sts.amazonaws.com"];
    says(&stage, Reason::IdentityRefused, &refused).await?;
    let jobs = tenant.kubectl.run(&["get", "jobs", "--output", "name"]).await?;
    ensure!(jobs.trim().is_empty(), "a Job was made that could not succeed: {jobs}");

    storefront["spec"]["image"]["identity"]["aws"]["roleARN"] = json!(ROLE);
    tenant.kubectl.apply(&storefront.to_string()).await?;
    let of_azure = object("azure", &repository, &azure, ("azure", json!({"tenantID": TENANT, "clientID": CLIENT})));
    tenant.kubectl.apply(&of_azure.to_string()).await?;
    let account = json!({"workloadIdentityProvider": PROVIDER, "serviceAccountEmail": ACCOUNT});
    tenant.kubectl.apply(&object("google", &repository, &google, ("google", account)).to_string()).await?;
    tokio::try_join!(published(&stage, "storefront"), published(&stage, "azure"), published(&stage, "google"))?;
    token_is_where_it_belongs(&tenant).await?;
    nothing_is_told(&stage, &tenant, &[&aws, &azure, &google]).await?;

    // What the operator has kept opens nothing any more: it is refused once, and exchanged anew.
    let (before, patch) = (aws.exchanged(), json!({"spec": {"image": {"tags": ["$(revision)", "again"]}}}));
    aws.revoke();
    tenant.kubectl.run(&["patch", "gwi", "storefront", "--type=merge", "--patch", &patch.to_string()]).await?;
    let tagged = |status: &GoWindowsImageStatus| {
        is_published(status) && status.image.as_ref().is_some_and(|image| image.tags.contains(&"again".to_owned()))
    };
    until(&stage.lab.client(), NAMESPACE, "storefront", LIMIT, tagged).await.context("with a new password")?;
    let more = aws.exchanged() - before;
    ensure!((1..=2).contains(&more), "{more} exchanges for one that was refused");
    Ok(())
}
