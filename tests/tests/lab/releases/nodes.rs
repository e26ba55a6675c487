//! One image for nodes of several releases.

use super::{NODES, OLDER, PAPERS, crane, image};
use anyhow::{Context, Result, ensure};
use gowindows_crds::conditions::ConditionType;
use gowindows_crds::v1alpha1::{GoWindowsImageStatus, ImageStatus};
use gowindows_tests::lab::git::Access;
use gowindows_tests::thread::{LIMIT, Stage, Storefront, Tenant, is_ready, message, page, until};
use serde_json::{Value, json};
use std::sync::Arc;

/// The sample's Deployment and Service, for the nodes of one build: on paper too, but rather on the one that runs programs.
fn workload(tenant: &Tenant, name: &str, node: &str, build: &str) -> Result<String> {
    let sample = tenant.sample("storefront-deployment.yaml", name)?;
    let selector = format!("kubernetes.io/os: windows\n        node.kubernetes.io/windows-build: {build}");
    let rather = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": 100,
        "preference": {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]},
    }]}});
    let tolerates = format!("      affinity: {rather}\n      tolerations:\n        - {{key: \"on\", value: paper, effect: NoSchedule}}");
    Ok(sample.replace("kubernetes.io/os: windows", &selector).replace("      tolerations:", &tolerates))
}

pub async fn every_node_runs_its_release(stage: Arc<Stage>) -> Result<()> {
    let tenant = Tenant::create(&stage.lab, "releases").await?;
    let storefront = Storefront::create(&stage.lab, "releases/storefront", Access::Public).await?;
    storefront.repository.commit_files(&[(".gowindowsignore", "*.go\n")], "Keep the source to ourselves", "2026-01-04T03:04:05Z").await?;
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
    for part in ["ltsc2022 is 10.0.20348.5300, in place of what its tag has", "paper-2022: 10.0.20348.5300", "ltsc2019 is 10.0.17763.8389"]
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
