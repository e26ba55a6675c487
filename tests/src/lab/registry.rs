//! The image registry: plain HTTP, one address for host, pods and containerd.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::net::TcpStream;

use super::network::Network;
use super::process::Process;
use super::site::{Site, write};

/// Its address, `host:port`.
pub(super) fn address(network: &Network) -> String {
    format!("{}:5000", network.address())
}

/// Starts the registry and waits until it listens.
pub(super) async fn start(site: &Site) -> Result<Process> {
    let address = address(&site.network);
    let config = json!({
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": site.folder("registry/data")?}, "delete": {"enabled": true}},
        "http": {"addr": address},
    });
    // JSON is YAML as well.
    let config = write(site.folder("registry")?.join("config.yml"), &config.to_string())?;
    let mut registry = site.tool("registry")?;
    registry.arg("serve").arg(config);
    let mut process = site.spawn("registry", registry)?;
    process.ready(Duration::from_secs(20), || async { TcpStream::connect(&address).await.is_ok() }).await?;
    Ok(process)
}
