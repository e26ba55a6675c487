//! Who may speak to the API server, and as whom?
//!
//! Every component has its own certificate and so its own user, as in a cluster made by anyone else; only the person at the
//! keyboard is an administrator.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::network::Network;
use super::pki::{Authority, Identity, signing_key, write_private};

/// The name of the Linux node.
pub(super) const LINUX_NODE: &str = "linux";

/// The files with the cluster's certificates and keys, and one kubeconfig per user.
#[derive(Debug)]
pub(super) struct Credentials {
    /// The authority's certificate.
    pub(super) authority: PathBuf,
    /// The API server's certificate and key.
    pub(super) apiserver: (PathBuf, PathBuf),
    /// What the API server shows to kubelets.
    pub(super) apiserver_to_kubelet: (PathBuf, PathBuf),
    /// The kubelet's serving certificate and key.
    pub(super) kubelet_server: (PathBuf, PathBuf),
    /// What Windows nodes show to the API server.
    pub(super) windows_server: Identity,
    /// The private key that signs service account tokens, and the public one that checks them.
    pub(super) service_accounts: (PathBuf, PathBuf),
    /// The administrator's kubeconfig.
    pub(super) admin: PathBuf,
    /// The kubeconfigs of the components.
    pub(super) controller_manager: PathBuf,
    pub(super) scheduler: PathBuf,
    pub(super) kubelet: PathBuf,
    pub(super) proxy: PathBuf,
}

impl Credentials {
    /// Makes all of them in `folder`, but for the administrator's kubeconfig, which goes to `admin`.
    pub(super) fn create(folder: &Path, admin: PathBuf, network: &Network) -> Result<Self> {
        let authority = Authority::new("gowindows lab cluster")?;
        let node: IpAddr = network.address().into();
        let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
        let apiserver = authority.server("kube-apiserver", &names, &[node, network.kubernetes_service().into(), [127, 0, 0, 1].into()])?;
        let server = format!("https://{node}:6443");
        let kubeconfig = |path: PathBuf, user: &str, group: Option<&str>| -> Result<PathBuf> {
            let text = kubeconfig(&server, authority.certificate(), user, &authority.client(user, group)?)?;
            write_private(path, &text)
        };
        let component = |name: &str| kubeconfig(folder.join(format!("{name}.kubeconfig")), &format!("system:{name}"), None);
        let (signing_key, checking_key) = signing_key()?;
        Ok(Self {
            authority: write_private(folder.join("ca.crt"), authority.certificate())?,
            apiserver: apiserver.write(folder, "apiserver")?,
            apiserver_to_kubelet: authority.client("kube-apiserver", Some("system:masters"))?.write(folder, "apiserver-kubelet")?,
            kubelet_server: authority.server(LINUX_NODE, &[LINUX_NODE], &[node])?.write(folder, "kubelet")?,
            windows_server: authority.server("windows", &[], &[network.host_address().into()])?,
            service_accounts: (
                write_private(folder.join("service-accounts.key"), &signing_key)?,
                write_private(folder.join("service-accounts.pub"), &checking_key)?,
            ),
            admin: kubeconfig(admin, "admin", Some("system:masters"))?,
            controller_manager: component("kube-controller-manager")?,
            scheduler: component("kube-scheduler")?,
            proxy: component("kube-proxy")?,
            kubelet: kubeconfig(folder.join("kubelet.kubeconfig"), &format!("system:node:{LINUX_NODE}"), Some("system:nodes"))?,
        })
    }
}

/// A kubeconfig that holds everything itself, so that one file is enough.
fn kubeconfig(server: &str, authority: &str, user: &str, identity: &Identity) -> Result<String> {
    let base64 = |pem: &str| STANDARD.encode(pem);
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority-data": base64(authority)}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        "users": [{"name": user, "user": {
            "client-certificate-data": base64(&identity.certificate),
            "client-key-data": base64(&identity.key),
        }}],
    });
    Ok(serde_norway::to_string(&config)?)
}
