//! Bad inputs from the outside world: Secrets, source, bases, registry. Each has the right condition and a sentence that names field,
//! value and remedy, makes no build that cannot succeed, is asked for in moderation, and is over as soon as its cause is.

use super::failures::fails_with;
use super::journey::jobs;
use anyhow::{Context, Result, ensure};
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::v1alpha1::{BuildPhase, GoWindowsImageStatus};
use gowindows_tests::lab::faulty_registry::Mood;
use gowindows_tests::lab::git::{Access, Repository};
use gowindows_tests::lab::windows_base::{Base, Blob, Flavor, Repository as Images};
use gowindows_tests::thread::{LIMIT, Stage, Tenant, is_true, until};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MAIN: &str = "package main\n\nfunc main() {}\n";
const GO_MOD: &str = "module example.com/storefront\n\ngo 1.22\n";
const DATE: &str = "2026-01-02T03:04:05Z";

/// A namespace, a repository with the smallest program, and an object for it that rolls nothing.
async fn smallest(stage: &Stage, namespace: &str, access: Access) -> Result<(Tenant, Repository, Value)> {
    let tenant = Tenant::create(&stage.lab, namespace).await?;
    let repository = stage.lab.git().create(&format!("{namespace}/storefront"), access).await?;
    repository.commit_files(&[("go.mod", GO_MOD), ("main.go", MAIN)], "Open", DATE).await?;
    let object = json!({
        "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "metadata": {"name": "storefront"},
        "spec": {
            "interval": "5s",
            "source": {"git": {"url": repository.url()}},
            "go": {"timezoneData": false},
            "image": {"repository": format!("{}/{namespace}/storefront", stage.lab.registry())},
            "rollout": {"mode": "StatusOnly"},
        },
    });
    Ok((tenant, repository, object))
}

fn secret(name: &str, kind: &str, data: Value) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "stringData": data}).to_string()
}

/// A Secret's type cannot be changed, so it is made anew.
async fn replace_secret(tenant: &Tenant, name: &str, secret: &str) -> Result<()> {
    tenant.kubectl.run(&["delete", "secret", name, "--ignore-not-found"]).await?;
    tenant.kubectl.apply(secret).await.map(drop)
}

async fn sees(tenant: &Tenant, stage: &Stage, kind: ConditionType, reason: Reason, says: &[&str]) -> Result<GoWindowsImageStatus> {
    fails_with(stage, &tenant.namespace, kind, reason, says).await.with_context(|| format!("waiting for {kind}/{reason}"))
}

async fn edit(tenant: &Tenant, patch: &Value) -> Result<()> {
    tenant.kubectl.run(&["patch", "gwi", "storefront", "--type=merge", "--patch", &patch.to_string()]).await.map(drop)
}

fn is_published(status: &GoWindowsImageStatus) -> bool {
    is_true(status, ConditionType::Published) && is_true(status, ConditionType::Built) && is_true(status, ConditionType::Ready)
}

/// The cause of a failure is gone, and a build starts by itself. It is not waited for: what it leads to is shown elsewhere.
async fn builds_at_last(stage: &Stage, tenant: &Tenant) -> Result<()> {
    let builds = |status: &GoWindowsImageStatus| {
        status.build.as_ref().is_some_and(|build| matches!(build.phase, BuildPhase::Running | BuildPhase::Succeeded))
    };
    until(&stage.lab.client(), &tenant.namespace, "storefront", LIMIT, builds).await.context("recover")?;
    let made = jobs(tenant).await?;
    ensure!(made.len() == 1, "no build was made that could not succeed, and one that can: {made:?}");
    tenant.kubectl.run(&["delete", "gwi", "storefront", "--wait=false"]).await.map(drop)
}

pub async fn secrets_absent_and_wrong(stage: Arc<Stage>) -> Result<()> {
    use ConditionType::{Built, SourceResolved};
    let login = Access::Password { user: "git".into(), password: "sesame".into() };
    let (tenant, _repository, mut object) = smallest(&stage, "secrets", login).await?;
    object["spec"]["source"]["git"]["secretRef"] = json!({"name": "git-auth"});
    object["spec"]["image"]["pushSecretRef"] = json!({"name": "registry-auth"});
    tenant.kubectl.apply(&tenant.sample("secret-access.yaml", "storefront")?).await?;
    tenant.kubectl.apply(&object.to_string()).await?;

    let names = ["source.git.secretRef", "Secret git-auth"];
    sees(&tenant, &stage, SourceResolved, Reason::SecretUnavailable, &[names[0], names[1], "secret-access.yaml"]).await?;
    replace_secret(&tenant, "git-auth", &secret("git-auth", "Opaque", json!({"token": "sesame"}))).await?;
    sees(&tenant, &stage, SourceResolved, Reason::SecretInvalid, &[names[0], names[1], "`bearerToken`"]).await?;
    replace_secret(&tenant, "git-auth", &tenant.git_secret("git", "not the password")).await?;
    sees(&tenant, &stage, SourceResolved, Reason::SourceAuthFailed, &["storefront.git", "(401)", names[0]]).await?;
    replace_secret(&tenant, "git-auth", &tenant.git_secret("git", "sesame")).await?;
    // A pass between the deletion and the creation of that Secret reads as this one: `SecretUnavailable`, of the source.
    until(&stage.lab.client(), "secrets", "storefront", LIMIT, |status| is_true(status, SourceResolved)).await?;

    let names = ["image.pushSecretRef", "Secret registry-auth"];
    let status = sees(&tenant, &stage, Built, Reason::SecretUnavailable, &[names[0], names[1], "secret-access.yaml"]).await?;
    ensure!(is_true(&status, SourceResolved), "the git Secret is right by now: {:?}", status.conditions);
    let hidden = json!({"password": "the push password"});
    replace_secret(&tenant, "registry-auth", &secret("registry-auth", "Opaque", hidden)).await?;
    sees(&tenant, &stage, Built, Reason::SecretInvalid, &[names[0], names[1], ".dockerconfigjson"]).await?;
    let broken = json!({".dockerconfigjson": "{\"auths\": \"the push password\"}"});
    replace_secret(&tenant, "registry-auth", &secret("registry-auth", "kubernetes.io/dockerconfigjson", broken)).await?;
    let broken = |status: &GoWindowsImageStatus| {
        gowindows_tests::thread::message(status, Built).contains("the docker configuration")
            && gowindows_tests::thread::is_for(status, Built, Reason::SecretInvalid)
    };
    until(&stage.lab.client(), "secrets", "storefront", LIMIT, broken).await?;
    let everything = tenant.kubectl.run(&["get", "gwi,jobs,events", "--output", "yaml"]).await?;
    for password in ["not the password", "the push password", "sesame"] {
        ensure!(!everything.contains(password), "a password is in an object or an event");
    }
    replace_secret(&tenant, "registry-auth", &tenant.registry_secret(stage.lab.registry(), "anyone", "anything")).await?;
    builds_at_last(&stage, &tenant).await
}

pub async fn no_program_in_the_source(stage: Arc<Stage>) -> Result<()> {
    use ConditionType::{Built, Ready};
    let (tenant, repository, mut object) = smallest(&stage, "no-program", Access::Public).await?;
    let newer = GO_MOD.replace("1.22", "1.99");
    let files = [("lib/lib.go", "package lib\n"), ("newer/go.mod", newer.as_str()), ("newer/main.go", MAIN)];
    repository.commit_files(&files, "Grow", DATE).await?;
    object["spec"]["source"]["subPath"] = json!("nowhere");
    tenant.kubectl.apply(&object.to_string()).await?;
    let stage_of = |status: &GoWindowsImageStatus| status.build.as_ref()?.failure.as_ref()?.stage.clone();

    let status = sees(&tenant, &stage, Built, Reason::SourceInvalid, &["`source.subPath`", "\"nowhere\"", "go.mod is in ., newer"]).await?;
    ensure!(stage_of(&status).as_deref() == Some("source"), "{:?}", status.build);
    edit(&tenant, &json!({"spec": {"source": {"subPath": "."}, "go": {"package": "./lib"}}})).await?;
    let says = ["`go.package`", "\"./lib\"", "the package `lib`", "main packages are"];
    let other = |status: &GoWindowsImageStatus| gowindows_tests::thread::message(status, Built).contains("go.package");
    until(&stage.lab.client(), "no-program", "storefront", LIMIT, other).await?;
    let status = sees(&tenant, &stage, Built, Reason::SourceInvalid, &says).await?;
    ensure!(stage_of(&status).as_deref() == Some("source"), "nothing is compiled for it: {:?}", status.build);
    edit(&tenant, &json!({"spec": {"source": {"subPath": "newer"}, "go": {"package": "."}}})).await?;
    let version = stage.lab.toolchain().version().to_owned();
    sees(&tenant, &stage, Built, Reason::CompileError, &["go.version", "1.99", &version]).await?;
    edit(&tenant, &json!({"spec": {"go": {"version": "1.7"}}})).await?;
    sees(&tenant, &stage, Ready, Reason::NotConfigured, &["go.version", "\"1.7\"", "go.image", "toolchains"]).await?;
    let made = jobs(&tenant).await?;
    ensure!(made.len() == 3, "what is the input's fault is not tried again: {made:?}");
    edit(&tenant, &json!({"spec": {"source": {"subPath": "."}, "go": {"version": null}}})).await?;
    until(&stage.lab.client(), "no-program", "storefront", LIMIT, is_published).await.map(drop)
}

pub async fn bases_that_cannot_be_built_on(stage: Arc<Stage>) -> Result<()> {
    use ConditionType::Built;
    let (tenant, _repository, mut object) = smallest(&stage, "bases", Access::Public).await?;
    let here = |tag: &str| format!("{}/bases/windows:{tag}", stage.lab.registry());
    let images = Images::new(stage.lab.registry(), "bases/windows")?;
    for (tag, key, value) in [("linux", "os", "linux"), ("three-parts", "os.version", "10.0.20348")] {
        publish_base(&images, tag, |config| config[key] = json!(value)).await?;
    }
    object["spec"]["image"]["base"] = json!({"image": here("linux")});
    tenant.kubectl.apply(&object.to_string()).await?;
    let says = ["image.base", &here("linux"), "windows/amd64", "linux/amd64", "nanoserver:ltsc2022"];
    sees(&tenant, &stage, Built, Reason::BaseInvalid, &says).await?;
    edit(&tenant, &json!({"spec": {"image": {"base": {"image": here("gone")}}}})).await?;
    sees(&tenant, &stage, Built, Reason::BaseUnavailable, &["image.base", "bases/windows:gone", "404", "check repository, tag"]).await?;
    edit(&tenant, &json!({"spec": {"image": {"base": {"image": here("three-parts")}}}})).await?;
    let says = ["image.base", &here("three-parts"), "os.version \"10.0.20348\"", "four numbers", "use the vendor's image"];
    sees(&tenant, &stage, Built, Reason::BaseInvalid, &says).await?;
    ensure!(jobs(&tenant).await?.is_empty(), "nothing is compiled for a base that cannot be built on");
    // The base itself is mended: no edit of the object.
    publish_base(&images, "three-parts", |_| {}).await?;
    builds_at_last(&stage, &tenant).await
}

/// A small base whose configuration was changed.
async fn publish_base(images: &Images, tag: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
    let base = Base::generate(Flavor::Nanoserver, "10.0.20348.5499", 4096)?;
    let mut config: Value = serde_json::from_slice(&base.config.bytes)?;
    change(&mut config);
    let config = Blob::new(base.config.media_type, serde_json::to_vec(&config)?);
    let mut manifest: Value = serde_json::from_slice(&base.manifest.bytes)?;
    manifest["config"] = json!({"mediaType": config.media_type, "size": config.bytes.len(), "digest": config.digest});
    for blob in base.layers.iter().chain([&config]) {
        images.push_blob(blob).await?;
    }
    images.push_manifest(tag, &Blob::new(base.manifest.media_type, serde_json::to_vec(&manifest)?)).await
}

pub async fn registry_misbehaves(stage: Arc<Stage>) -> Result<()> {
    use ConditionType::{Built, SourceResolved};
    let (tenant, _repository, mut object) = smallest(&stage, "faulty", Access::Public).await?;
    let registry = stage.lab.start_faulty_registry().await?;
    object["spec"]["image"]["repository"] = json!(format!("{}/faulty/storefront", registry.address()));
    registry.set(Mood::Status(403)).await;
    tenant.kubectl.apply(&object.to_string()).await?;
    let (host, began) = (registry.address(), Instant::now());
    let no_credentials = [host, "HTTP 403", "no credentials for exactly this host", "image.pushSecretRef"];
    sees(&tenant, &stage, Built, Reason::RegistryAuthFailed, &no_credentials).await?;
    registry.set(Mood::Portal).await;
    sees(&tenant, &stage, Built, Reason::RegistryInvalid, &[host, "an answer that cannot be right"]).await?;
    registry.set(Mood::Silent).await;
    sees(&tenant, &stage, Built, Reason::RegistryUnreachable, &[host, "could not be reached"]).await?;
    registry.set(Mood::Status(503)).await;
    let busy = |status: &GoWindowsImageStatus| gowindows_tests::thread::message(status, Built).contains("HTTP 503");
    let status = until(&stage.lab.client(), "faulty", "storefront", LIMIT, busy).await?;
    sees(&tenant, &stage, Built, Reason::RegistryUnreachable, &[host, "HTTP 503", "may pass by itself"]).await?;
    ensure!(is_true(&status, SourceResolved), "the source has nothing to do with it: {:?}", status.conditions);
    ensure!(jobs(&tenant).await?.is_empty(), "nothing is built that cannot be pushed");
    let (asked, seconds) = (registry.asked(), began.elapsed().max(Duration::from_secs(1)).as_secs());
    ensure!(asked <= seconds.max(10), "{asked} requests in {seconds} s to a registry that is in trouble");
    registry.set(Mood::NoProject).await;
    let status =
        sees(&tenant, &stage, Built, Reason::RegistryInvalid, &[host, "no such project", "create the repository", "again"]).await?;
    let failed_in = status.build.as_ref().and_then(|build| build.failure.as_ref()?.stage.clone());
    ensure!(failed_in.as_deref() == Some("assemble"), "the program was built, and had no place: {:?}", status.build);
    registry.set(Mood::Well).await;
    until(&stage.lab.client(), "faulty", "storefront", LIMIT, is_published).await.context("once there is a place, without an order")?;
    Ok(())
}
