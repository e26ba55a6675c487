//! The scheduler.

use anyhow::Result;

use super::credentials::Credentials;
use super::process::Process;
use super::site::Site;

/// Starts the scheduler.
pub(super) fn start(site: &Site, credentials: &Credentials) -> Result<Process> {
    let mut scheduler = site.tool("kube-scheduler")?;
    scheduler.arg("--kubeconfig").arg(&credentials.scheduler).arg("--leader-elect=false");
    scheduler.arg("--cert-dir").arg(site.folder("pki")?);
    site.spawn("kube-scheduler", scheduler)
}
