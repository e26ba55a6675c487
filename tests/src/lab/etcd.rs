//! The cluster's store.

use anyhow::Result;

use super::process::Process;
use super::site::Site;

/// Where the API server finds it, inside the lab's network.
pub(super) const URL: &str = "http://127.0.0.1:2379";

/// Starts etcd. The API server waits for it by itself.
pub(super) fn start(site: &Site) -> Result<Process> {
    let mut etcd = site.tool("etcd")?;
    etcd.arg("--data-dir").arg(site.folder("etcd")?);
    etcd.args(["--listen-client-urls", URL, "--advertise-client-urls", URL]);
    etcd.args(["--listen-peer-urls", "http://127.0.0.1:2380"]);
    // The data is thrown away with the lab; syncing it to the disk would be most of its work.
    etcd.args(["--unsafe-no-fsync", "--log-level", "warn"]);
    // With a port that gRPC does not share with HTTP, etcd's own HTTP/2 server does not let watches starve beside other answers.
    etcd.args(["--listen-client-http-urls", "http://127.0.0.1:2378"]);
    // Four times the default: benchmarks have tens of thousands of objects.
    etcd.args(["--quota-backend-bytes", "8589934592"]);
    site.spawn("etcd", etcd)
}
