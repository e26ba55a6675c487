//! How does a buildkitd get into a cluster? `config/buildkitd` is applied through an overlay, and the certificates are made as
//! `docs/engines.md` says.

use super::install::{relative, repository};
use super::{Kubectl, Tenant};
use crate::lab::packages::{self, CERTIFICATES};
use crate::lab::progress::Progress;
use crate::lab::{Lab, host};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::process::Command;

/// The namespace of `config/buildkitd`.
const NAMESPACE: &str = "gowindows-buildkitd";
/// Where a buildkitd keeps its settings, and what they are in `config/buildkitd`.
const SETTINGS: &str = "buildkitd.toml";
/// In the documentation: the name that the certificate is for, and the namespace of the team.
const DOCUMENTED: [&str; 2] = ["DNS:buildkitd.gowindows-buildkitd", "--namespace shop"];

/// A buildkitd that runs in the cluster.
pub struct Deployed {
    /// `kubectl` in its namespace.
    pub kubectl: Kubectl,
    /// As `build.buildkit.address` has it. The lab has no DNS.
    pub address: String,
}

impl Deployed {
    /// Applies `config/buildkitd`, makes its certificates and those of a team, and waits until it is ready.
    pub async fn install(lab: &Lab, tenant: &Tenant, progress: &Progress) -> Result<Self> {
        let image = lab.buildkitd_image(progress).await?;
        let (name, digest) = image.split_once('@').context("the image has no digest")?;
        let overlay = lab.dir().join("buildkitd-overlay");
        std::fs::create_dir_all(&overlay)?;
        let config = repository().join("config/buildkitd");
        let settings = std::fs::read_to_string(config.join(SETTINGS))?;
        std::fs::write(overlay.join(SETTINGS), format!("{settings}\n[registry.{:?}]\nhttp = true\n", lab.registry()))?;
        let kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [relative(&overlay, &config)],
            "images": [{"name": "docker.io/moby/buildkit", "newName": name, "digest": digest}],
            "configMapGenerator": [{"name": "buildkitd-settings", "namespace": NAMESPACE, "behavior": "replace", "files": [SETTINGS]}],
        });
        std::fs::write(overlay.join("kustomization.yaml"), kustomization.to_string())?;
        let kubectl = Kubectl::new(lab, NAMESPACE)?;
        kubectl.run(&["apply", "-k", &overlay.to_string_lossy()]).await?;
        let address = kubectl.run(&["get", "service", "buildkitd", "--output", "jsonpath={.spec.clusterIP}"]).await?;
        packages::ensure(CERTIFICATES, progress).await?;
        certificates(lab, tenant, &address).await?;
        let deployed = Self { kubectl, address: format!("tcp://{address}:1234") };
        deployed.settled().await?;
        Ok(deployed)
    }

    /// Waits until it is ready.
    pub async fn settled(&self) -> Result<()> {
        self.kubectl.run(&["rollout", "status", "deployment/buildkitd", "--timeout=180s"]).await.map(drop)
    }
}

/// Runs what the documentation says, for this address and this team.
async fn certificates(lab: &Lab, tenant: &Tenant, address: &str) -> Result<()> {
    let documentation = std::fs::read_to_string(repository().join("docs/engines.md"))?;
    let mut blocks = documentation.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let documented = blocks.find(|block| block.contains("openssl")).context("docs/engines.md does not say how certificates are made")?;
    for part in DOCUMENTED {
        ensure!(documented.contains(part), "{part} is not in {documented}");
    }
    let script = documented.replace(DOCUMENTED[0], &format!("IP:{address}"));
    let script = script.replace(DOCUMENTED[1], &format!("--namespace {}", tenant.namespace));
    let folder = tempfile::tempdir()?;
    let kubectl = lab.tool("kubectl")?.parent().context("kubectl is in no folder")?;
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(kubectl.to_owned()).chain(std::env::split_paths(&usual)))?;
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &script]).current_dir(folder.path()).env("PATH", path).env("KUBECONFIG", lab.kubeconfig());
    host::run_async(shell).await.map(drop)
}
