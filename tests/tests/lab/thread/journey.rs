//! The thread itself: what one applied object leads to.

use super::RESTARTS;
use anyhow::{Context, Result, ensure};
use gowindows_crds::conditions::{ConditionType, find};
use gowindows_crds::v1alpha1::{BuildPhase, GoWindowsImageStatus};
use gowindows_tests::lab::git::Access;
use gowindows_tests::lab::host;
use gowindows_tests::thread::{LIMIT, Stage, Storefront, Tenant, is_ready, page, until};
use serde_json::Value;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// A namespace with a public storefront, its Deployment, and an object that is looked at every few seconds.
pub async fn storefront(stage: &Stage, namespace: &str) -> Result<(Tenant, Storefront)> {
    let tenant = Tenant::create(&stage.lab, namespace).await?;
    let login = Access::Password { user: "git".into(), password: "sesame".into() };
    let storefront = Storefront::create(&stage.lab, &format!("{namespace}/storefront"), login).await?;
    tenant.grant_access(("git", "sesame"), None).await?;
    tenant.kubectl.apply(&tenant.sample("storefront-deployment.yaml", "storefront")?).await?;
    Ok((tenant, storefront))
}

pub fn object(tenant: &Tenant) -> Result<String> {
    Ok(tenant.sample("storefront.yaml", "storefront")?.replace("interval: 1m", "interval: 5s"))
}

/// The same with a twentieth of a processor, so that there is time to do something while its build runs.
pub fn slow_object(tenant: &Tenant) -> Result<String> {
    let object = object(tenant)?;
    let slow = object.replace("  build:\n", "  build:\n    resources: {requests: {cpu: 50m}, limits: {cpu: 50m}}\n");
    ensure!(slow != object, "the sample's build was not found: {object}");
    Ok(slow)
}

pub async fn service(tenant: &Tenant) -> Result<String> {
    let address = tenant.kubectl.run(&["get", "service", "storefront", "--output", "jsonpath={.spec.clusterIP}"]).await?;
    Ok(format!("http://{address}/"))
}

pub async fn jobs(tenant: &Tenant) -> Result<Vec<String>> {
    let names = tenant.kubectl.run(&["get", "jobs", "--output", "name"]).await?;
    Ok(names.lines().map(str::to_owned).collect())
}

pub async fn an_object_becomes_a_running_windows_program(stage: Arc<Stage>) -> Result<()> {
    let (tenant, storefront) = storefront(&stage, "thread").await?;
    tenant.kubectl.apply(&object(&tenant)?).await?;
    tenant.kubectl.run(&["wait", "--for=condition=Ready", "gwi/storefront", "--timeout=420s"]).await?;
    let client = stage.lab.client();
    let first = until(&client, "thread", "storefront", LIMIT, is_ready).await?;
    let url = service(&tenant).await?;
    let answer = page(&url).await?;
    ensure!(answer.contains("windows/amd64") && answer.contains("Fresh bread, every morning."), "the page is: {answer}");

    let commit = storefront.greet("And cake.").await?;
    let before = first.image.clone().context("an image")?;
    let second =
        until(&client, "thread", "storefront", LIMIT, |s| is_ready(s) && s.image.as_ref().is_some_and(|i| i.digest != before.digest))
            .await?;
    let answer = page(&url).await?;
    ensure!(answer.contains("And cake.") && answer.contains(&commit), "the page is: {answer}");
    ensure!(second.previous.as_ref().is_some_and(|previous| previous.digest == before.digest), "{:?}", second.previous);
    agrees_with_crane(&stage, &second).await?;
    columns_and_events(&tenant, &second).await
}

/// What `crane` reads at the registry is what the status says.
async fn agrees_with_crane(stage: &Stage, status: &GoWindowsImageStatus) -> Result<()> {
    let image = status.image.as_ref().context("an image")?;
    let crane = |verb: &str, reference: &str| {
        let mut crane = Command::new(stage.lab.tool("crane").unwrap_or(std::path::Path::new("crane")));
        crane.args([verb, "--insecure", reference]);
        host::run_async(crane)
    };
    let repository = image.reference.split('@').next().unwrap_or_default();
    for tag in &image.tags {
        let digest = crane("digest", &format!("{repository}:{tag}")).await?;
        ensure!(digest.trim() == image.digest, "crane digest {tag} says {digest}, the status {}", image.digest);
    }
    let manifest: Value = serde_json::from_str(&crane("manifest", &image.reference).await?)?;
    let config: Value = serde_json::from_str(&crane("config", &image.reference).await?)?;
    let platform = image.platforms.first().context("a platform")?;
    let layers = manifest["layers"].as_array().context("layers")?;
    ensure!(layers.len() == usize::try_from(platform.layers)?, "{} layers, the status says {}", layers.len(), platform.layers);
    let app = layers.last().and_then(|layer| layer["size"].as_i64());
    ensure!(app == Some(platform.app_bytes), "the app layer has {app:?} bytes, the status says {}", platform.app_bytes);
    ensure!(config["os.version"] == platform.os_version.as_str() && config["os"] == "windows", "{config}");
    ensure!(config["config"]["Entrypoint"] == serde_json::json!(["C:\\app\\storefront.exe"]), "{}", config["config"]);
    ensure!(config["config"]["User"] == "ContainerUser", "{}", config["config"]);
    Ok(())
}

async fn columns_and_events(tenant: &Tenant, status: &GoWindowsImageStatus) -> Result<()> {
    let image = status.image.as_ref().context("an image")?;
    let digest = image.digest.trim_start_matches("sha256:").get(..12).unwrap_or_default();
    let row = tenant.kubectl.run(&["get", "gwi", "storefront"]).await?;
    for expected in ["READY", "True", "main@", digest, "MB", "Complete 1/1"] {
        ensure!(row.contains(expected), "{expected:?} is not in\n{row}");
    }
    let described = tenant.kubectl.run(&["describe", "gwi", "storefront"]).await?;
    for expected in ["BuildStarted", "Published", "RolloutComplete", "SourceResolved", &image.digest] {
        ensure!(described.contains(expected), "{expected:?} is not in\n{described}");
    }
    Ok(())
}

pub async fn the_smallest_object_works(stage: Arc<Stage>) -> Result<()> {
    let tenant = Tenant::create(&stage.lab, "smallest").await?;
    let storefront = Storefront::create(&stage.lab, "smallest/storefront", Access::Public).await?;
    let main = "package main\n\nfunc main() { select {} }\n";
    storefront.repository.commit_files(&[("main.go", main)], "Stand still", "2026-01-02T03:04:05Z").await?;
    tenant.kubectl.apply(&tenant.sample("smallest.yaml", "storefront")?).await?;
    let status = until(&stage.lab.client(), "smallest", "storefront", LIMIT, |s| {
        find(&s.conditions, ConditionType::Ready).is_some_and(|c| c.status == "True")
    })
    .await?;
    let rolled = find(&status.conditions, ConditionType::RolledOut).context("RolledOut")?;
    ensure!(rolled.reason == "TargetNotFound", "an image object comes before its workload: {rolled:?}");
    let image = status.image.context("an image")?;
    ensure!(image.tags.len() == 2 && image.tags[1] == "latest", "{:?}", image.tags);
    ensure!(image.platforms.first().is_some_and(|platform| platform.release.as_deref() == Some("ltsc2022")), "{:?}", image.platforms);
    Ok(())
}

pub async fn applying_again_and_restarting_build_nothing(stage: Arc<Stage>) -> Result<()> {
    let (tenant, _storefront) = storefront(&stage, "again").await?;
    let (client, object) = (stage.lab.client(), slow_object(&tenant)?);
    let alone = RESTARTS.lock().await;
    tenant.kubectl.apply(&object).await?;
    let building = |status: &GoWindowsImageStatus| status.build.as_ref().is_some_and(|build| build.phase == BuildPhase::Running);
    until(&client, "again", "storefront", LIMIT, building).await?;
    // Both replicas, so that nobody is left who remembers anything.
    stage.operator.kubectl.run(&["delete", "pod", "--selector", "app.kubernetes.io/name=gowindows", "--wait=false"]).await?;
    for _ in 0..10 {
        tenant.kubectl.apply(&object).await?;
    }
    stage.operator.settled().await?;
    drop(alone);
    until(&client, "again", "storefront", LIMIT, is_ready).await?;
    tokio::time::sleep(Duration::from_secs(12)).await;
    let jobs = jobs(&tenant).await?;
    ensure!(jobs.len() == 1, "one build and not {jobs:?}");
    Ok(())
}

pub async fn another_program_goes_the_same_way(stage: Arc<Stage>) -> Result<()> {
    let tenant = Tenant::create(&stage.lab, "another").await?;
    let module = stage.lab.toolchain().download("github.com/mccutchen/go-httpbin/v2@v2.18.3").await?;
    let repository = stage.lab.git().create("another/httpbin", Access::Public).await?;
    repository.commit_folder(&module, "Take it as it is", "2026-01-02T03:04:05Z").await?;
    let deployment = tenant.sample("storefront-deployment.yaml", "storefront")?.replace("/healthz", "/status/200");
    tenant.kubectl.apply(&deployment).await?;
    // The smallest object, with another url, a package and a cache.
    let object = tenant.sample("smallest.yaml", "storefront")?.replace("another/storefront.git", "another/httpbin.git");
    let object = format!("{object}  go: {{package: ./cmd/go-httpbin}}\n  build: {{cache: {{volume: {{size: 1Gi}}}}}}\n");
    tenant.kubectl.apply(&object).await?;
    let status = until(&stage.lab.client(), "another", "storefront", LIMIT, is_ready).await?;
    let answer = page(&format!("{}get?bread=fresh", service(&tenant).await?)).await?;
    ensure!(answer.contains("fresh"), "httpbin answers: {answer}");
    super::build::same_on_this_machine(&stage, &object, &repository, &status).await
}

pub async fn orders_are_obeyed_once(stage: Arc<Stage>) -> Result<()> {
    let (tenant, _storefront) = storefront(&stage, "orders").await?;
    let client = stage.lab.client();
    tenant.kubectl.apply(&object(&tenant)?.replace("interval: 5s", "interval: 0s")).await?;
    let first = until(&client, "orders", "storefront", LIMIT, is_ready).await?;
    tenant.kubectl.run(&["annotate", "gwi", "storefront", "gowindows.dev/rebuild=one"]).await?;
    let rebuilt = |status: &GoWindowsImageStatus| status.history.len() == 2 && is_ready(status);
    let second = until(&client, "orders", "storefront", LIMIT, rebuilt).await?;
    ensure!(first.image.as_ref().map(|i| &i.digest) == second.image.as_ref().map(|i| &i.digest), "the same inputs make the same digest");
    ensure!(second.handled.as_ref().and_then(|handled| handled.rebuild.as_deref()) == Some("one"), "{:?}", second.handled);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let jobs = jobs(&tenant).await?;
    ensure!(jobs.len() == 2, "{jobs:?}");
    Ok(())
}
