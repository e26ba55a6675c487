//! How long does a Windows node take until a pod is ready, by the image that it has to pull for it?
//!
//! The node is the lab's, which runs the programs under Wine: it pulls, unpacks and starts as a real one does, but not as fast.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gowindows_bench::{Results, Table, megabytes, seconds};
use gowindows_tests::lab::Lab;
use gowindows_tests::lab::host::run_async;
use gowindows_wine_node::WindowsNode;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use tokio::time::sleep;

use crate::builders::{Runs, TAG};
use crate::measure::Cost;
use crate::stand::Stand;

const NAMESPACE: &str = "default";
/// A pod that is not ready by then will not be.
const LIMIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

/// Images that were put where the lab's nodes can pull them.
pub struct Shelf {
    lab: Lab,
    images: Vec<&'static str>,
}

impl Shelf {
    /// An empty one, with a cluster beside it.
    pub async fn start(stand: &Stand) -> Result<Self> {
        Ok(Self { lab: Lab::start(&stand.progress).await?, images: Vec::new() })
    }

    /// Copies an image and the base below it out of a registry that is about to end. `name` is how it is called in tables.
    pub async fn take(&mut self, stand: &Stand, host: &str, repository: &str, name: &'static str) -> Result<()> {
        let place = self.place(self.images.len());
        for (from, to) in [("windows/nanoserver:ltsc2022".to_owned(), self.base()), (format!("{repository}:{TAG}"), place)] {
            let mut crane = Command::new(stand.tools.path("crane")?);
            crane.args(["copy", "--insecure", &format!("{host}/{from}"), &to]);
            run_async(crane).await.with_context(|| format!("copy {from} to the lab"))?;
        }
        self.images.push(name);
        Ok(())
    }

    fn place(&self, index: usize) -> String {
        format!("{}/shelf/image-{index}:{TAG}", self.lab.registry())
    }

    fn base(&self) -> String {
        format!("{}/shelf/base:{TAG}", self.lab.registry())
    }

    /// A new node that has the base, each time, and a pod for each image.
    pub async fn measure(self, stand: &Stand, repeats: usize, results: &mut Results) -> Result<()> {
        let mut all: Vec<(Runs, u64)> = self.images.iter().map(|_| Default::default()).collect();
        for repeat in 0..repeats {
            let name = format!("windows-{repeat}");
            let node = self.lab.windows_node(&name, &stand.base().os_version, &stand.progress).await?;
            node.pre_pull(&self.base()).await?;
            for (index, (runs, pulled)) in all.iter_mut().enumerate() {
                let took = self.ready(&node, &format!("image-{index}-{repeat}"), &self.place(index)).await?;
                runs.add(Cost { took, peak: 0 });
                *pulled = node.pulls().last().map(|pull| pull.downloaded).unwrap_or_default();
            }
            node.stop().await;
        }
        results.text(
            "From the creation of a pod until it is ready, on a node of the lab that has the base, by image. The node runs the program under \
             Wine, and starts a new one each time; the registry is on the same machine, so that bytes cost less here than elsewhere.",
        );
        let mut table = Table::new(["image", "pulled", "pod ready after", "gowindows beside it"]);
        let first = all.first().map(|(runs, _)| runs.median()).unwrap_or_default();
        for (name, (runs, pulled)) in self.images.iter().zip(&all) {
            let ratio = format!("{:.2}", first / runs.median().max(1e-9));
            table.row([(*name).into(), megabytes(*pulled), seconds(&runs.took), ratio]);
        }
        results.table(&table);
        Ok(())
    }

    async fn ready(&self, node: &WindowsNode, name: &str, image: &str) -> Result<Duration> {
        let pods = Api::<Pod>::namespaced(self.lab.client(), NAMESPACE);
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "os": {"name": "windows"},
                "nodeSelector": {"kubernetes.io/hostname": node.name()},
                "tolerations": [{"key": "os", "value": "windows", "effect": "NoSchedule"}],
                "containers": [{
                    "name": "app", "image": image,
                    "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
                }],
            },
        }))?;
        let began = Instant::now();
        pods.create(&PostParams::default(), &pod).await?;
        while !is_ready(&pods.get(name).await?) {
            if began.elapsed() > LIMIT {
                bail!("pod {name} with {image} is not ready after {LIMIT:?}: {:?}", pods.get(name).await?.status);
            }
            sleep(LOOK).await;
        }
        let took = began.elapsed();
        pods.delete(name, &Default::default()).await?;
        Ok(took)
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
