//! Two objects with one cache: what the build of the first has compiled, that of the second finds.

use super::{namespace, object, windows};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::v1alpha1::{BuildEngine, CacheStatus, GoWindowsImageStatus};
use gowindows_tests::lab::git::Access;
use gowindows_tests::thread::{LIMIT, Stage, Tenant, is_for, message, until};
use serde_json::json;
use std::sync::Arc;

const FILES: [(&str, &str); 4] = [
    ("go.mod", "module example.com/siblings\n\ngo 1.22\n"),
    ("words/words.go", "package words\n\nfunc Hello() string { return \"hello\" }\n"),
    ("program/main.go", "package main\n\nimport \"example.com/siblings/words\"\n\nfunc main() { println(words.Hello()) }\n"),
    ("second/main.go", "package main\n\nimport \"example.com/siblings/words\"\n\nfunc main() { println(words.Hello(), 2) }\n"),
];
const CLAIM: &str = "go-cache";

pub async fn two_objects_share_a_cache(stage: Arc<Stage>) -> Result<()> {
    let repository = stage.lab.git().create("caches/siblings", Access::Public).await?;
    repository.commit_files(&FILES, "Say hello twice", "2026-01-02T03:04:05Z").await?;
    try_join_all([BuildEngine::Go, BuildEngine::Kaniko].map(|engine| share(&stage, engine, repository.url()))).await.map(drop)
}

async fn share(stage: &Stage, engine: BuildEngine, url: &str) -> Result<()> {
    let tenant = namespace(stage, "siblings", engine).await?;
    apply(stage, &tenant, engine, url, "program").await?;
    let absent = |status: &GoWindowsImageStatus| is_for(status, ConditionType::Built, Reason::CacheUnusable);
    let status = until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, absent).await?;
    let told = message(&status, ConditionType::Built);
    ensure!(told.contains("build.cache.volume.claimName: there is no claim go-cache; create it"), "{told}");
    windows::share(&tenant, CLAIM, "ReadWriteMany").await?;
    let first = found(stage, &tenant, "program").await?;
    apply(stage, &tenant, engine, url, "second").await?;
    let second = found(stage, &tenant, "second").await?;
    eprintln!("{}: the first build finds {first:?}, the second {second:?}", tenant.namespace);
    // The lab's volumes begin with the standard library.
    ensure!(second.hit && second.bytes > first.bytes, "{first:?} {second:?}");
    tenant.kubectl.run(&["delete", "gwi", "--all", "--wait"]).await?;
    let claims = tenant.kubectl.run(&["get", "pvc", "--output", "name"]).await?;
    ensure!(claims.trim() == format!("persistentvolumeclaim/{CLAIM}"), "it is nobody's own, and there is no other: {claims}");
    Ok(())
}

async fn apply(stage: &Stage, tenant: &Tenant, engine: BuildEngine, url: &str, name: &str) -> Result<()> {
    let mut object = object(stage, tenant, url, engine, "");
    object["metadata"]["name"] = json!(name);
    object["spec"]["go"] = json!({"package": format!("./{name}")});
    object["spec"]["image"]["repository"] = json!(format!("{}/{}/{name}", stage.lab.registry(), tenant.namespace));
    object["spec"]["build"]["cache"] = json!({"volume": {"claimName": CLAIM}});
    tenant.kubectl.apply(&object.to_string()).await.map(drop)
}

/// What the build of an object found, once its image is there.
async fn found(stage: &Stage, tenant: &Tenant, name: &str) -> Result<CacheStatus> {
    let published = |status: &GoWindowsImageStatus| status.image.is_some();
    let status = until(&stage.lab.client(), &tenant.namespace, name, LIMIT, published).await?;
    status.build.and_then(|build| build.cache).context("what was found in the cache is told")
}
