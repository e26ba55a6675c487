//! How does a pod get its address?
//!
//! By the stock plugins: a bridge in the lab's network namespace, addresses from a file. The same configuration serves both
//! nodes, so their pods are in one network.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use super::site::{Site, write};

/// Where Debian's package `containernetworking-plugins` puts the plugins.
pub const PLUGINS: &str = "/usr/lib/cni";

/// Writes the network's configuration list and returns its path, alone in its directory.
pub(super) fn write_network(site: &Site) -> Result<PathBuf> {
    let network = &site.network;
    let list = json!({
        "cniVersion": "0.4.0",
        "name": network.name(),
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                // The host translates what leaves the lab; inside it, everyone sees the pods' own addresses.
                "ipMasq": false,
                "hairpinMode": true,
                "mtu": network.mtu(),
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": network.pod_subnet()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": site.folder("cni/addresses")?,
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    });
    write(site.folder("cni/net.d")?.join("10-lab.conflist"), &serde_json::to_string_pretty(&list)?)
}
