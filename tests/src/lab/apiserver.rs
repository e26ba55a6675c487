//! The API server.

use std::time::Duration;

use anyhow::{Context, Result};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::credentials::Credentials;
use super::etcd;
use super::process::Process;
use super::site::Site;

/// Its name.
pub(super) const NAME: &str = "kube-apiserver";
/// Who makes the tokens of ServiceAccounts, by its own word.
pub(super) const ISSUER: &str = "https://kubernetes.default.svc";

/// Starts the API server and waits until it is ready. The client is the administrator's.
pub(super) async fn start(site: &Site, credentials: &Credentials) -> Result<(Process, Client)> {
    let network = &site.network;
    let mut apiserver = site.tool("kube-apiserver")?;
    apiserver.args(["--etcd-servers", etcd::URL, "--allow-privileged", "--authorization-mode", "Node,RBAC"]);
    apiserver.args(["--enable-admission-plugins", "NodeRestriction", "--secure-port", "6443"]);
    apiserver.arg(format!("--advertise-address={}", network.address()));
    apiserver.arg(format!("--service-cluster-ip-range={}", network.service_subnet()));
    apiserver.arg("--cert-dir").arg(site.folder("pki")?);
    apiserver.arg("--client-ca-file").arg(&credentials.authority);
    apiserver.arg("--tls-cert-file").arg(&credentials.apiserver.0).arg("--tls-private-key-file").arg(&credentials.apiserver.1);
    apiserver.arg("--kubelet-certificate-authority").arg(&credentials.authority);
    apiserver.arg("--kubelet-client-certificate").arg(&credentials.apiserver_to_kubelet.0);
    apiserver.arg("--kubelet-client-key").arg(&credentials.apiserver_to_kubelet.1);
    // The node's name means nothing to a resolver, so `kubectl logs` would fail by the default order.
    apiserver.arg("--kubelet-preferred-address-types=InternalIP");
    apiserver.arg(format!("--service-account-issuer={ISSUER}"));
    apiserver.arg("--service-account-key-file").arg(&credentials.service_accounts.1);
    apiserver.arg("--service-account-signing-key-file").arg(&credentials.service_accounts.0);
    let mut process = site.spawn(NAME, apiserver)?;

    let client = client(credentials).await?;
    serves(&mut process, &client).await?;
    Ok((process, client))
}

/// Waits until an API server that was started is ready.
pub(super) async fn serves(process: &mut Process, client: &Client) -> Result<()> {
    process.ready(Duration::from_secs(90), || is_ready(client)).await
}

async fn client(credentials: &Credentials) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(&credentials.admin).context("cannot read the administrator's kubeconfig")?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Client::try_from(config).context("cannot make a client from the administrator's kubeconfig")
}

async fn is_ready(client: &Client) -> bool {
    match axum::http::Request::get("/readyz").body(Vec::new()) {
        Ok(request) => client.request_text(request).await.is_ok(),
        Err(_) => false,
    }
}
