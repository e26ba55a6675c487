//! The image registries: plain HTTP, one address for host, pods and containerd.
//!
//! Everybody may read and write the first one. A second one, for those who ask for it, wants a login for everything.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::network::Network;
use super::process::Process;
use super::site::{Site, write};

/// The user that the private registry lets in.
pub const USER: &str = "lab";
/// That user's password.
pub const PASSWORD: &str = "lab";
/// The line of a password file for them. The registry takes bcrypt only.
const LOGIN: &str = "lab:$2b$05$gowindowslabgowindows.tD.r2IofKVrjadZOwqUof0yAlpxz.Lu\n";

/// A registry that wants the login [`USER`] and [`PASSWORD`]; it runs as long as the lab.
#[derive(Debug)]
pub struct PrivateRegistry {
    address: String,
    _process: Process,
}

impl PrivateRegistry {
    /// Its `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// The address of the registry without a login, `host:port`.
pub(super) fn address(network: &Network) -> String {
    format!("{}:5000", network.address())
}

/// The address of the registry with a login, `host:port`.
pub(super) fn private_address(network: &Network) -> String {
    format!("{}:5001", network.address())
}

/// Starts the registry without a login.
pub(super) async fn start(site: &Site) -> Result<Process> {
    run(site, "registry", &address(&site.network), None).await
}

/// Starts the registry with a login.
pub(super) async fn start_private(site: &Site) -> Result<PrivateRegistry> {
    let address = private_address(&site.network);
    let logins = write(site.folder("private-registry")?.join("logins"), LOGIN)?;
    let auth = json!({"htpasswd": {"realm": "lab", "path": logins}});
    let process = run(site, "private-registry", &address, Some(auth)).await?;
    Ok(PrivateRegistry { address, _process: process })
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
    process.ready(Duration::from_secs(20), || async { TcpStream::connect(address).await.is_ok() }).await?;
    Ok(process)
}
