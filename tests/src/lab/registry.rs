//! The image registries, plain HTTP: an open one with one address for host, pods and containerd, and a guarded one that asks
//! for a login.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::network::Network;
use super::process::Process;
use super::site::{Site, write};

/// The guarded registry's only login.
pub const LOGIN: (&str, &str) = ("pusher", "letmein");
/// [`LOGIN`] as htpasswd has it. The registry takes bcrypt only; the cost is the lowest.
const HTPASSWD: &str = "pusher:$2b$05$abcdefghijklmnopqrstuuKwWV7ESJpzKzf9FQg57dBvMuv92X9HS\n";

/// The open registry's address, `host:port`.
pub(super) fn address(network: &Network) -> String {
    format!("{}:5000", network.address())
}

/// The guarded registry's address, `host:port`.
pub(super) fn guarded_address(network: &Network) -> String {
    format!("{}:5001", network.address())
}

/// Starts the open registry and waits until it listens.
pub(super) async fn start(site: &Site) -> Result<Process> {
    serve(site, "registry", address(&site.network), json!({})).await
}

/// Starts the guarded registry and waits until it listens.
pub(super) async fn start_guarded(site: &Site) -> Result<Process> {
    let passwords = write(site.folder("guarded-registry")?.join("htpasswd"), HTPASSWD)?;
    let auth = json!({"htpasswd": {"realm": "lab", "path": passwords}});
    serve(site, "guarded-registry", guarded_address(&site.network), auth).await
}

async fn serve(site: &Site, name: &str, address: String, auth: Value) -> Result<Process> {
    let mut config = json!({
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": site.folder(&format!("{name}/data"))?}, "delete": {"enabled": true}},
        "http": {"addr": address},
    });
    if auth.as_object().is_some_and(|auth| !auth.is_empty()) {
        config["auth"] = auth;
    }
    // JSON is YAML as well.
    let config = write(site.folder(name)?.join("config.yml"), &config.to_string())?;
    let mut registry = site.tool("registry")?;
    registry.arg("serve").arg(config);
    let mut process = site.spawn(name, registry)?;
    process.ready(Duration::from_secs(20), || async { TcpStream::connect(&address).await.is_ok() }).await?;
    Ok(process)
}
