//! What makes Services reachable: from pods, and by the lab's route also from the host.

use anyhow::Result;

use super::credentials::{Credentials, LINUX_NODE};
use super::process::Process;
use super::site::Site;

/// Starts kube-proxy.
pub(super) fn start(site: &Site, credentials: &Credentials) -> Result<Process> {
    let mut proxy = site.tool("kube-proxy")?;
    proxy.arg("--kubeconfig").arg(&credentials.proxy).args(["--hostname-override", LINUX_NODE, "--proxy-mode", "iptables"]);
    proxy.arg(format!("--cluster-cidr={}", site.network.pod_subnet()));
    // These are settings of the whole kernel, which only the first network namespace may change: 0 leaves them alone.
    for setting in ["max-per-core", "tcp-timeout-established", "tcp-timeout-close-wait"] {
        proxy.arg(format!("--conntrack-{setting}=0"));
    }
    site.spawn("kube-proxy", proxy)
}
