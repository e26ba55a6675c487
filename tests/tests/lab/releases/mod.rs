//! Do Windows nodes of several releases get what they can run, and are bases chosen, and found, as nodes and fences want it? And do builds
//! wait for slots?
//!
//! One lab: three nodes that run the programs, each of another release, and three on paper that are only looked at. One Job of a build runs at
//! a time, whoever's it is.

mod queue;

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::v1alpha1::{GoWindowsImageStatus, ImageStatus};
use gowindows_tests::lab::git::Access;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::windows_base::{self, Base, Flavor, Sizes};
use gowindows_tests::lab::{GO_CACHE, Lab, host, registry};
use gowindows_tests::scenarios;
use gowindows_tests::thread::{LIMIT, Operator, Stage, Storefront, Suite, Tenant, is_for, is_ready, message, page, until};
use k8s_openapi::api::core::v1::Taint;
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;

/// The version of the oldest node of Windows Server 2022, and of a base that is kept for it.
const OLDER: &str = "10.0.20348.5300";
/// Node, its version, and the version of the image that it has to take.
const NODES: [(&str, &str, &str); 3] = [
    ("win-2019", "10.0.17763.8389", "10.0.17763.8389"),
    ("win-2022", "10.0.20348.5499", OLDER),
    ("win-2025", "10.0.26100.33296", "10.0.26100.33296"),
];
/// Nodes on paper: name, version, containerd, and the version of the image that it has to take.
const PAPERS: [(&str, &str, &str, &str); 3] = [
    ("paper-2022", OLDER, "1.6.35", OLDER),
    ("paper-2025", "10.0.26100.33296", "2.1.6", "10.0.26100.33296"),
    ("paper-2019", "10.0.17763.8389", "2.3.0", "10.0.17763.8389"),
];

pub fn suite() -> Suite {
    let scenarios = scenarios![
        releases::every_node_runs_its_release,
        fences::private_and_mirrored_bases_are_built_on,
        queue::builds_queue_for_the_one_slot,
    ];
    Suite { name: "lab_releases", set_up: |progress| set_up(progress).boxed(), scenarios }
}

async fn set_up(progress: Progress) -> Result<Stage> {
    let lab = Lab::start(&progress).await?;
    let small = Sizes { nanoserver: 1 << 20, servercore: 1 << 20 };
    progress.step("the Windows bases", windows_base::publish(lab.registry(), small)).await?;
    let older = Base::generate(Flavor::Nanoserver, OLDER, small.nanoserver)?;
    windows_base::publish_release(lab.registry(), Flavor::Nanoserver, "of-last-month", &older).await?;
    let mut nodes = Vec::new();
    for (name, version, _) in NODES {
        nodes.push(lab.windows_node(name, version, &progress).await?);
    }
    let on_paper = Taint { key: "on".into(), value: Some("paper".into()), effect: "NoSchedule".into(), ..Taint::default() };
    for (name, version, containerd, _) in PAPERS {
        nodes.push(lab.paper_node_with(name, version, containerd, std::slice::from_ref(&on_paper)).await?);
    }
    lab.with_warm_caches(&[GO_CACHE]).await?;
    let operator = Operator::install_with(&lab, &json!({"slots": {"linux": 1}}), &progress).await?;
    Ok(Stage { lab, operator, nodes })
}

async fn crane(stage: &Stage, arguments: &[&str]) -> Result<Value> {
    let mut crane = Command::new(stage.lab.tool("crane")?);
    crane.arg(arguments[0]).arg("--insecure").args(&arguments[1..]);
    serde_json::from_str(&host::run_async(crane).await?).context("read crane's JSON")
}

fn image(status: &GoWindowsImageStatus) -> Result<&ImageStatus> {
    status.image.as_ref().context("an image")
}

mod releases {
    use super::*;

    /// The sample's Deployment and Service, for the nodes of one build: on paper too, but rather on the one that runs programs.
    fn workload(tenant: &Tenant, name: &str, node: &str, build: &str) -> Result<String> {
        let sample = tenant.sample("storefront-deployment.yaml", name)?;
        let selector = format!("kubernetes.io/os: windows\n        node.kubernetes.io/windows-build: {build}");
        let rather = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 100,
            "preference": {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]},
        }]}});
        let tolerates =
            format!("      affinity: {rather}\n      tolerations:\n        - {{key: \"on\", value: paper, effect: NoSchedule}}");
        Ok(sample.replace("kubernetes.io/os: windows", &selector).replace("      tolerations:", &tolerates))
    }

    pub async fn every_node_runs_its_release(stage: Arc<Stage>) -> Result<()> {
        let tenant = Tenant::create(&stage.lab, "releases").await?;
        let storefront = Storefront::create(&stage.lab, "releases/storefront", Access::Public).await?;
        storefront
            .repository
            .commit_files(&[(".gowindowsignore", "*.go\n")], "Keep the source to ourselves", "2026-01-04T03:04:05Z")
            .await?;
        let names: Vec<String> = NODES.iter().map(|(node, ..)| node.replace("win", "shop")).collect();
        for (name, (node, version, _)) in names.iter().zip(NODES) {
            let build = version.rsplit_once('.').context("four parts")?.0;
            tenant.kubectl.apply(&workload(&tenant, name, node, build)?).await?;
        }
        let mut object: Value = serde_norway::from_str(&tenant.sample("smallest.yaml", "storefront")?)?;
        object["spec"]["go"] = json!({"package": "./cmd/storefront"});
        object["spec"]["build"] = json!({"cache": {"volume": {"size": "1Gi"}}});
        object["spec"]["image"]["base"] = json!({"releases": ["ltsc2019", "ltsc2022", "ltsc2025"]});
        object["spec"]["image"]["args"] = json!(["-listen", ":8080"]);
        object["spec"]["image"]["files"] = json!([{"from": "cmd", "to": "C:\\app\\files"}]);
        object["spec"]["image"]["annotations"] = json!({"com.example.team": "shop"});
        object["spec"]["rollout"]["targets"] = names.iter().map(|name| json!({"name": name})).collect();
        tenant.kubectl.apply(&object.to_string()).await?;
        let status = until(&stage.lab.client(), "releases", "storefront", LIMIT, is_ready).await?;
        for name in &names {
            let address = tenant.kubectl.run(&["get", "service", name, "--output", "jsonpath={.spec.clusterIP}"]).await?;
            let answer = page(&format!("http://{address}/")).await.with_context(|| name.clone())?;
            ensure!(answer.contains("windows/amd64"), "{name}: {answer}");
        }
        chosen(&status)?;
        each_took_its_own(&stage, image(&status)?).await?;
        is_what_it_says(&stage, image(&status)?).await
    }

    /// Not newer than the oldest node: MUST 17.
    fn chosen(status: &GoWindowsImageStatus) -> Result<()> {
        let why = status.inputs.as_ref().and_then(|inputs| inputs.base_choice.clone()).context("why these bases")?;
        for part in
            ["ltsc2022 is 10.0.20348.5300, in place of what its tag has", "paper-2022: 10.0.20348.5300", "ltsc2019 is 10.0.17763.8389"]
        {
            ensure!(why.contains(part), "{part:?} is not in {why:?}");
        }
        let versions: Vec<_> = image(status)?.platforms.iter().map(|platform| platform.os_version.as_str()).collect();
        ensure!(versions == ["10.0.26100.33296", OLDER, "10.0.17763.8389"], "newest first: {versions:?}");
        ensure!(!message(status, ConditionType::Published).contains("No Windows node"), "{:?}", status.conditions);
        Ok(())
    }

    async fn each_took_its_own(stage: &Stage, image: &ImageStatus) -> Result<()> {
        let expected = NODES.iter().map(|(name, _, takes)| (*name, *takes)).chain(PAPERS.iter().map(|(name, .., takes)| (*name, *takes)));
        for (name, takes) in expected {
            let node = stage.nodes.iter().find(|node| node.name() == name).context("a node")?;
            let ran = node.pulls().into_iter().find(|pull| pull.reference == image.reference);
            let pull = match ran {
                Some(pull) => pull,
                None => {
                    ensure!(name.starts_with("paper"), "{name} did not pull {}", image.reference);
                    node.pre_pull(&image.reference).await.with_context(|| name.to_owned())?
                }
            };
            ensure!(pull.image.os_version == takes, "{name} took {}, not {takes}", pull.image.os_version);
        }
        Ok(())
    }

    /// One index whose entries share our layers, the files below the program.
    async fn is_what_it_says(stage: &Stage, image: &ImageStatus) -> Result<()> {
        let index = crane(stage, &["manifest", &image.reference]).await?;
        ensure!(index["annotations"]["com.example.team"] == "shop", "{index}");
        let entries = index["manifests"].as_array().context("an index")?;
        let repository = image.reference.split('@').next().unwrap_or_default();
        let mut ours = Vec::new();
        for (entry, platform) in entries.iter().zip(&image.platforms) {
            ensure!(entry["platform"]["os.version"] == platform.os_version.as_str(), "{entry}");
            let child = format!("{repository}@{}", platform.digest);
            let (manifest, config) = (crane(stage, &["manifest", &child]).await?, crane(stage, &["config", &child]).await?);
            ensure!(config["os.version"] == platform.os_version.as_str() && config["config"]["User"] == "ContainerUser", "{config}");
            let labels = &config["config"]["Labels"];
            ensure!(
                labels["org.opencontainers.image.title"] == "storefront" && labels["org.opencontainers.image.revision"].is_string(),
                "{labels}"
            );
            ensure!(manifest["annotations"]["com.example.team"] == "shop", "{manifest}");
            let layers = manifest["layers"].as_array().context("layers")?;
            let own = layers.get(layers.len() - 2..).context("two layers of ours")?;
            ensure!(own[0]["annotations"]["dev.gowindows.files.count"] == "1", "the page and no source: {}", own[0]);
            ours.push(own.iter().map(|layer| layer["digest"].clone()).collect::<Vec<_>>());
        }
        ensure!(ours.len() == 3 && ours.windows(2).all(|pair| pair[0] == pair[1]), "the layers are shared: {ours:?}");
        Ok(())
    }
}

mod fences {
    use super::*;

    /// Puts a base into the registry that wants a login.
    async fn publish_privately(stage: &Stage, private: &str) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let auth = json!({"auths": {private: {"username": registry::USER, "password": registry::PASSWORD}}});
        std::fs::write(folder.path().join("config.json"), auth.to_string())?;
        let mut crane = Command::new(stage.lab.tool("crane")?);
        let from = format!("{}/windows/nanoserver:ltsc2022", stage.lab.registry());
        crane.env("DOCKER_CONFIG", folder.path()).args(["copy", "--insecure", &from, &format!("{private}/bases/nano:1")]);
        host::run_async(crane).await.map(drop)
    }

    pub async fn private_and_mirrored_bases_are_built_on(stage: Arc<Stage>) -> Result<()> {
        let tenant = Tenant::create(&stage.lab, "fences").await?;
        Storefront::create(&stage.lab, "fences/storefront", Access::Public).await?;
        let private = stage.lab.start_private_registry().await?;
        publish_privately(&stage, &private).await?;
        let mut object: Value = serde_norway::from_str(&tenant.sample("smallest.yaml", "storefront")?)?;
        object["spec"]["interval"] = json!("5s");
        object["spec"]["go"] = json!({"package": "./cmd/storefront"});
        object["spec"]["build"] = json!({"cache": {"volume": {"size": "1Gi"}}});
        object["spec"]["rollout"] = json!({"mode": "StatusOnly"});
        object["spec"]["image"]["base"] = json!({"image": format!("{private}/bases/nano:1"), "pullSecretRef": {"name": "base-auth"}});
        tenant.kubectl.apply(&tenant.sample("secret-access.yaml", "storefront")?).await?;
        tenant.kubectl.apply(&object.to_string()).await?;
        let (client, name) = (stage.lab.client(), "storefront");
        let absent = |status: &GoWindowsImageStatus| is_for(status, ConditionType::Built, Reason::SecretUnavailable);
        let status = until(&client, "fences", name, LIMIT, absent).await?;
        let says = message(&status, ConditionType::Built);
        ensure!(says.contains("image.base.pullSecretRef") && says.contains("base-auth"), "{says}");
        let secret = tenant.registry_secret(&private, registry::USER, registry::PASSWORD).replace("registry-auth", "base-auth");
        tenant.kubectl.apply(&secret).await?;
        let status = until(&client, "fences", name, LIMIT, is_published).await?;
        let base =
            |status: &GoWindowsImageStatus| status.inputs.as_ref().and_then(|inputs| inputs.bases.first().cloned()).unwrap_or_default();
        ensure!(base(&status).starts_with(&format!("{private}/bases/nano:1@sha256:")), "{}", base(&status));

        // A host that there is not: all of it comes from its mirror, and nothing says so but the settings.
        object["spec"]["image"]["base"] = json!({"image": "vendor.invalid/windows/nanoserver:ltsc2025"});
        tenant.kubectl.apply(&object.to_string()).await?;
        let status =
            until(&client, "fences", name, LIMIT, |status| is_published(status) && base(status).starts_with("vendor.invalid/")).await?;
        let config = crane(&stage, &["config", &image(&status)?.reference]).await?;
        let labels = &config["config"]["Labels"];
        ensure!(labels["org.opencontainers.image.base.name"] == "vendor.invalid/windows/nanoserver:ltsc2025", "{labels}");
        Ok(())
    }

    fn is_published(status: &GoWindowsImageStatus) -> bool {
        let is = |kind| gowindows_tests::thread::is_true(status, kind);
        is(ConditionType::Published) && is(ConditionType::Built) && is(ConditionType::Ready)
    }
}
