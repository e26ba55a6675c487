//! The image registries: plain HTTP, one address for host, pods and containerd.
//!
//! Everybody may read and write the first one. For those who ask for them there are a second one, which wants a login for
//! everything, and a third one, which a test may take away without harming others.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::network::Network;
use super::process::Process;
use super::site::{Site, write};

/// The user that the registry with a login lets in.
pub const USER: &str = "lab";
/// That user's password.
pub const PASSWORD: &str = "lab";
/// The line of a password file for them. The registry takes bcrypt only.
const LOGIN: &str = "lab:$2b$05$gowindowslabgowindows.tD.r2IofKVrjadZOwqUof0yAlpxz.Lu\n";

/// The name of the registry that may be taken away.
pub(super) const SPARE: &str = "spare-registry";

/// The address of the registry without a login, `host:port`.
pub(super) fn address(network: &Network) -> String {
    format!("{}:5000", network.address())
}

/// The address of the registry with a login, `host:port`.
pub(super) fn private_address(network: &Network) -> String {
    format!("{}:5001", network.address())
}

/// The address of the registry that may be taken away, `host:port`.
pub(super) fn spare_address(network: &Network) -> String {
    format!("{}:5002", network.address())
}

/// Starts the registry without a login.
pub(super) async fn start(site: &Site) -> Result<Process> {
    run(site, "registry", &address(&site.network), None).await
}

/// Starts the registry with a login.
pub(super) async fn start_private(site: &Site) -> Result<Process> {
    let logins = write(site.folder("private-registry")?.join("logins"), LOGIN)?;
    let auth = json!({"htpasswd": {"realm": "lab", "path": logins}});
    run(site, "private-registry", &private_address(&site.network), Some(auth)).await
}

/// Starts the registry that may be taken away.
pub(super) async fn start_spare(site: &Site) -> Result<Process> {
    run(site, SPARE, &spare_address(&site.network), None).await
}

/// Waits until a registry that was started listens.
pub(super) async fn listens(process: &mut Process, address: &str) -> Result<()> {
    process.ready(Duration::from_secs(20), || async { TcpStream::connect(address).await.is_ok() }).await
}

/// Starts a registry and waits until it listens.
async fn run(site: &Site, name: &str, address: &str, auth: Option<Value>) -> Result<Process> {
    let mut config = json!({
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": site.folder(&format!("{name}/data"))?}, "delete": {"enabled": true}},
        "http": {"addr": address},
    });
    if let Some(auth) = auth {
        config["auth"] = auth;
    }
    // JSON is YAML as well.
    let config = write(site.folder(name)?.join("config.yml"), &config.to_string())?;
    let mut registry = site.tool("registry")?;
    registry.arg("serve").arg(config);
    let mut process = site.spawn(name, registry)?;
    listens(&mut process, address).await?;
    Ok(process)
}
