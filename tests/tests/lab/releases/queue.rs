//! Builds that wait for the one slot of the operator's settings: they are told their place, run one after the other, and all end.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use gowindows_crds::conditions::ConditionType;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::GoWindowsImageStatus;
use gowindows_tests::lab::git::Access;
use gowindows_tests::thread::{LIMIT, Stage, Storefront, Tenant, message, until};
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};

const OBJECTS: [&str; 3] = ["first", "second", "third"];

pub async fn builds_queue_for_the_one_slot(stage: Arc<Stage>) -> Result<()> {
    let tenant = Tenant::create(&stage.lab, "queue").await?;
    let storefront = Storefront::create(&stage.lab, "queue/storefront", Access::Public).await?;
    for name in OBJECTS {
        let object = json!({
            "apiVersion": "gowindows.dev/v1alpha1", "kind": "GoWindowsImage", "metadata": {"name": name},
            "spec": {
                "source": {"git": {"url": storefront.repository.url(), "ref": {"branch": "main"}}},
                // Three programs: none finds its own at the registry.
                "go": {"package": "./cmd/storefront", "ldflags": [format!("-X main.version={name}")]},
                "image": {"repository": format!("{}/queue/{name}", stage.lab.registry())},
                "build": {"cache": {"volume": {"size": "1Gi"}}},
            },
        });
        tenant.kubectl.apply(&object.to_string()).await?;
    }
    let client = stage.lab.client();
    let told = |status: &GoWindowsImageStatus| {
        let Some(position) = status.build.as_ref().and_then(|build| build.queue_position) else { return false };
        let said = message(status, ConditionType::Built);
        said.contains(&format!("number {position} of ")) && said.contains("in the queue for a slot on Linux nodes, where 1 run")
    };
    let waits = until(&client, "queue", OBJECTS[2], LIMIT, told).await.context("the last one is told its place")?;
    eprintln!("{}: {}", OBJECTS[2], message(&waits, ConditionType::Built));
    let published = |status: &GoWindowsImageStatus| status.image.is_some();
    try_join_all(OBJECTS.map(|name| until(&client, "queue", name, LIMIT, published))).await?;
    one_after_the_other(&stage).await
}

/// No Job of the cluster began before those that had begun before it ended.
async fn one_after_the_other(stage: &Stage) -> Result<()> {
    let ours = ListParams::default().labels(&format!("{}={}", names::LABEL_MANAGED_BY, names::MANAGED_BY));
    // An image is published when its pod has succeeded; the Job controller counts that later.
    let end = Instant::now() + Duration::from_secs(30);
    let mut times = loop {
        let jobs = Api::<Job>::all(stage.lab.client()).list(&ours).await?;
        let times = jobs.items.iter().filter_map(|job| {
            let status = job.status.as_ref()?;
            Some((status.start_time.as_ref()?.0, status.completion_time.as_ref()?.0))
        });
        let times: Vec<_> = times.collect();
        if times.len() >= OBJECTS.len() {
            break times;
        }
        ensure!(Instant::now() < end, "{times:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    times.sort();
    let early = times.windows(2).find(|pair| pair[1].0 < pair[0].1);
    ensure!(early.is_none(), "two Jobs ran at the same time: {early:?}");
    Ok(())
}
