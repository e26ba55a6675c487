//! The controllers that Kubernetes itself is made of: Jobs, Deployments, endpoints, service accounts, garbage collection.

use anyhow::Result;

use super::credentials::Credentials;
use super::process::Process;
use super::site::Site;

/// Starts the controller manager.
pub(super) fn start(site: &Site, credentials: &Credentials) -> Result<Process> {
    let mut manager = site.tool("kube-controller-manager")?;
    manager.arg("--kubeconfig").arg(&credentials.controller_manager).arg("--leader-elect=false");
    manager.arg("--use-service-account-credentials");
    manager.arg("--service-account-private-key-file").arg(&credentials.service_accounts.0);
    manager.arg("--root-ca-file").arg(&credentials.authority);
    manager.arg("--flex-volume-plugin-dir").arg(site.folder("volume-plugins")?);
    manager.arg("--cert-dir").arg(site.folder("pki")?);
    site.spawn("kube-controller-manager", manager)
}
