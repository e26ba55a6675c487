//! The Linux node's agent.
//!
//! It sets a few kernel settings of the machine, as every kubelet does (`vm.overcommit_memory`, `kernel.panic` and relatives),
//! and they stay.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::containerd;
use super::credentials::{Credentials, LINUX_NODE};
use super::process::Process;
use super::site::{Site, write};

/// Its name.
pub(super) const NAME: &str = "kubelet";
/// The port that it serves the API server on.
pub(super) const PORT: u16 = 10250;

/// Starts the kubelet, which registers its node by itself. containerd must answer already.
pub(super) fn start(site: &Site, credentials: &Credentials) -> Result<Process> {
    let config = config(site, credentials)?;
    let config = write(site.folder("kubelet")?.join("config.json"), &serde_json::to_string_pretty(&config)?)?;
    let mut kubelet = site.tool("kubelet")?;
    kubelet.arg("--config").arg(config).arg("--kubeconfig").arg(&credentials.kubelet);
    kubelet.arg("--root-dir").arg(site.folder("kubelet")?).arg("--cert-dir").arg(site.folder("pki")?);
    kubelet.args(["--hostname-override", LINUX_NODE]).arg(format!("--node-ip={}", site.network.address()));
    site.spawn(NAME, kubelet)
}

fn config(site: &Site, credentials: &Credentials) -> Result<Value> {
    Ok(json!({
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "containerRuntimeEndpoint": format!("unix://{}", containerd::socket(site).display()),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": credentials.authority},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": credentials.kubelet_server.0,
        "tlsPrivateKeyFile": credentials.kubelet_server.1,
        "port": PORT,
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", site.network.name()),
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        // The machine's disk is shared with whatever else fills it: pods are evicted late, images never collected.
        "evictionHard": {
            "memory.available": "50Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "serializeImagePulls": false,
        "resolvConf": resolv_conf(),
        "podLogsDir": site.folder("logs/pods")?,
        "volumePluginDir": site.folder("volume-plugins")?,
        "shutdownGracePeriod": "0s",
    }))
}

/// The file that names resolvers which pods can reach, too: a stub on the loopback address cannot be.
fn resolv_conf() -> &'static str {
    let full = "/run/systemd/resolve/resolv.conf";
    if Path::new(full).exists() { full } else { "/etc/resolv.conf" }
}
