//! How does a pod get its address?
//!
//! As on any node: a network namespace of its own, and the CNI plugins called with `ADD` and, at the end, `DEL`.
//! The plugins run inside the cluster's network namespace, because there is the bridge that they plug pods into.
//!
//! A pod also has its own `/etc/hosts`, in the folder that `ip netns exec` takes such files from: Wine looks its own host
//! name up when it starts, and would wait for a DNS server that does not know it.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::record::{Leftover, Record};

/// Where named network namespaces are.
const NAMESPACES: &str = "/run/netns";
/// Where `ip netns exec` finds what each of them has instead of the files of the same name in `/etc`.
const FILES: &str = "/etc/netns";

/// What is needed to plug a pod in.
#[derive(Clone, Debug)]
pub struct Cni {
    /// The cluster's network namespace.
    pub netns: String,
    /// The folder of the plugins, such as `/usr/lib/cni`.
    pub plugins: PathBuf,
    /// A network configuration, or a list of them (`plugins`).
    pub configuration: PathBuf,
}

/// The network of one pod.
#[derive(Debug)]
pub struct PodNetwork {
    cni: Cni,
    name: String,
    /// The pod's address.
    pub ip: IpAddr,
}

impl Cni {
    /// Makes the network of the pod that is called `host_name` and has the id `uid`.
    pub async fn add(&self, host_name: &str, uid: &str, record: &dyn Record) -> Result<PodNetwork> {
        let name = format!("{}-{}", self.netns, uid.split('-').next().unwrap_or(uid));
        record.note(Leftover::Netns(name.clone()))?;
        ip(&["netns", "add", &name]).await?;
        let added = self.plug_in(&name).await;
        let added = added.and_then(|ip| write_hosts(&name, host_name, ip).map(|()| ip));
        if added.is_err() {
            remove(&name);
        }
        Ok(PodNetwork { cni: self.clone(), name, ip: added? })
    }

    /// Removes the files of pods that a crash left. Their network namespaces are in the record, hence gone already.
    pub fn clean(&self) {
        let ours = format!("{}-", self.netns);
        for entry in fs::read_dir(FILES).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&ours) && !path_of(&name).exists() {
                remove_files(&entry.path());
            }
        }
    }

    async fn plug_in(&self, name: &str) -> Result<IpAddr> {
        ip(&["-n", name, "link", "set", "lo", "up"]).await?;
        let mut result = Value::Null;
        for mut plugin in self.chain()? {
            if !result.is_null() {
                plugin["prevResult"] = result;
            }
            result = self.call("ADD", name, &plugin).await?;
        }
        let address = result.pointer("/ips/0/address").and_then(Value::as_str).context("CNI gave no address")?;
        let ip = address.split('/').next().unwrap_or(address);
        ip.parse().with_context(|| format!("CNI gave the address {address:?}"))
    }

    async fn unplug(&self, name: &str) -> Result<()> {
        for plugin in self.chain()?.iter().rev() {
            self.call("DEL", name, plugin).await?;
        }
        Ok(())
    }

    /// The configuration of each plugin, with what the list says for all of them.
    fn chain(&self) -> Result<Vec<Value>> {
        let path = self.configuration.display();
        let text = fs::read(&self.configuration).with_context(|| format!("read {path}"))?;
        let configuration: Value = serde_json::from_slice(&text).with_context(|| format!("read {path}"))?;
        let Some(plugins) = configuration["plugins"].as_array() else {
            return Ok(vec![configuration]);
        };
        let with_common = |plugin: &Value| {
            let mut plugin = plugin.clone();
            plugin["name"] = configuration["name"].clone();
            plugin["cniVersion"] = configuration["cniVersion"].clone();
            plugin
        };
        Ok(plugins.iter().map(with_common).collect())
    }

    async fn call(&self, verb: &str, name: &str, configuration: &Value) -> Result<Value> {
        let plugin = configuration["type"].as_str().context("a CNI configuration without type")?;
        let mut child = Command::new("nsenter")
            .arg(format!("--net={}", path_of(&self.netns).display()))
            .arg("--")
            .arg(self.plugins.join(plugin))
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", name)
            .env("CNI_NETNS", path_of(name))
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", &self.plugins)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start the CNI plugin {plugin}"))?;
        let mut input = child.stdin.take().context("a child without stdin")?;
        input.write_all(configuration.to_string().as_bytes()).await?;
        drop(input);
        let output = child.wait_with_output().await?;
        if !output.status.success() {
            bail!("plugin type={plugin:?} {verb} failed: {}", String::from_utf8_lossy(&output.stdout).trim());
        }
        Ok(if output.stdout.is_empty() { json!(null) } else { serde_json::from_slice(&output.stdout)? })
    }
}

impl PodNetwork {
    /// The name of the network namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the address back and removes the network namespace.
    pub async fn remove(self) -> Result<()> {
        self.cni.unplug(&self.name).await
    }
}

impl Drop for PodNetwork {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

fn path_of(name: &str) -> PathBuf {
    Path::new(NAMESPACES).join(name)
}

fn write_hosts(name: &str, host_name: &str, ip: IpAddr) -> Result<()> {
    let folder = Path::new(FILES).join(name);
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    fs::write(folder.join("hosts"), format!("127.0.0.1 localhost\n{ip} {host_name}\n")).context("write a pod's hosts file")
}

fn remove_files(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::debug!(folder = %folder.display(), %error, "a pod's files were not removed");
    }
}

fn remove(name: &str) {
    remove_files(&Path::new(FILES).join(name));
    let removed = std::process::Command::new("ip").args(["netns", "delete", name]).status();
    if !removed.is_ok_and(|status| status.success()) {
        tracing::debug!(name, "a network namespace was not removed");
    }
}

async fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().await.context("run ip")?;
    if !output.status.success() {
        bail!("ip {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
