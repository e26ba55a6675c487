//! Which network does a lab live in, and how are its addresses cut?
//!
//! All of lab N is in one named network namespace, `gwlabN`: ports are fixed, kube-proxy's rules and the pods' bridge are
//! private, two labs cannot meet, and taking it away is deleting the namespace. With M = 200 + N:
//!
//! ```text
//! host 10.M.255.1 ──veth── 10.M.255.2 lab    etcd :2379  apiserver :6443  registry :5000  git :8443
//!                              │
//!                             cni0 10.M.0.1/24    pods (10.M.64.0/18: of Windows nodes on paper, nobody is there)
//!                          10.M.128.0/20          services
//! ```
//!
//! The host routes 10.M.0.0/16 into the lab, so a test reaches pods and services directly. The lab reaches the world through the
//! host, which translates its addresses (one rule, taken away with the lab) and must forward packets: `net.ipv4.ip_forward`
//! is switched on and stays on.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command as HostCommand;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::host::{argv, run};
use super::record::{Record, Thing};

/// The network of one lab.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    number: u8,
    mtu: u32,
}

/// A range of addresses: the first one and the length of the prefix.
type Range = (Ipv4Addr, u8);

impl Network {
    /// Whether nobody uses the addresses and names of lab `number` yet. `routes` are the host's.
    pub(super) fn is_free(number: u8, routes: &[Range]) -> bool {
        let network = Self { number, mtu: 0 };
        let ours = (network.at(0, 0), 16);
        !routes.iter().any(|route| overlap(*route, ours))
            && !fs::exists(network.path()).unwrap_or(true)
            && !fs::exists(format!("/sys/class/net/{}", network.name())).unwrap_or(true)
    }

    /// Makes the namespace of lab `number`, connects it with the host and the world, and records what it makes. Blocks.
    pub(super) fn create(number: u8, record: &Record) -> Result<Self> {
        let network = Self { number, mtu: uplink_mtu()? };
        let name = network.name();
        record.note(Thing::Netns(name.clone()))?;
        run(&mut argv(["ip", "netns", "add", &name]))?;
        network.connect(record)?;
        network.settle_inside()?;
        Ok(network)
    }

    /// `gwlabN`: the name of the namespace, of the host's side of the cable, and of the lab's cgroup.
    pub fn name(&self) -> String {
        format!("gwlab{}", self.number)
    }

    /// The namespace's file.
    pub fn path(&self) -> String {
        format!("/run/netns/{}", self.name())
    }

    /// The lab's own address: of the API server, the registry, git and the Linux node.
    pub fn address(&self) -> Ipv4Addr {
        self.at(255, 2)
    }

    /// The host's address as the lab sees it.
    pub fn host_address(&self) -> Ipv4Addr {
        self.at(255, 1)
    }

    /// All addresses of this lab, in CIDR notation.
    pub fn subnet(&self) -> String {
        format!("{}/16", self.at(0, 0))
    }

    /// The pods' addresses, in CIDR notation.
    pub fn pod_subnet(&self) -> String {
        format!("{}/24", self.at(0, 0))
    }

    /// How the addresses of the pods of paper node `number` begin. There is room for 64 nodes.
    pub(super) fn paper_pods(&self, number: u8) -> [u8; 3] {
        let [a, b, c, _] = self.at(64 + number % 64, 0).octets();
        [a, b, c]
    }

    /// The services' virtual addresses, in CIDR notation.
    pub fn service_subnet(&self) -> String {
        format!("{}/20", self.at(128, 0))
    }

    /// The virtual address of the `kubernetes` Service.
    pub fn kubernetes_service(&self) -> Ipv4Addr {
        self.at(128, 1)
    }

    /// The largest packet that leaves the machine without being cut, in bytes.
    pub fn mtu(&self) -> u32 {
        self.mtu
    }

    /// A command that runs `program` inside the namespace. Only the network is another one: mounts are shared with the host,
    /// and the process id is the program's own.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.inside(program).into()
    }

    /// Listens on `port` of the lab's address from this process, which itself stays in the host's namespace.
    pub async fn listen(&self, port: u16) -> Result<TcpListener> {
        let (path, address) = (self.path(), SocketAddrV4::new(self.address(), port));
        // A socket belongs for ever to the namespace of the thread that made it, so a thread of its own makes it and ends.
        let bind = move || -> Result<std::net::TcpListener> {
            let namespace = File::open(&path).with_context(|| format!("cannot open {path}"))?;
            setns(namespace, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {path}"))?;
            let listener = bind_when_free(address).with_context(|| format!("cannot listen on {address}"))?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let bound = tokio::task::spawn_blocking(|| std::thread::spawn(bind).join()).await?;
        let bound = bound.map_err(|_| anyhow!("the thread that listens on {address} broke"))?;
        Ok(TcpListener::from_std(bound?)?)
    }

    fn at(&self, third: u8, fourth: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 200 + self.number, third, fourth)
    }

    fn inside(&self, program: impl AsRef<std::ffi::OsStr>) -> HostCommand {
        let mut command = HostCommand::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg("--").arg(program);
        command
    }

    fn connect(&self, record: &Record) -> Result<()> {
        let (name, mtu) = (self.name(), self.mtu.to_string());
        record.note(Thing::Link(name.clone()))?;
        run(&mut argv(["ip", "link", "add", &name, "mtu", &mtu, "type", "veth", "peer", "name", "eth0", "mtu", &mtu, "netns", &name]))?;
        run(&mut argv(["ip", "address", "add", &format!("{}/30", self.host_address()), "dev", &name]))?;
        run(&mut argv(["ip", "link", "set", &name, "up"]))?;
        run(self.inside("ip").args(["link", "set", "lo", "up"]))?;
        run(self.inside("ip").args(["address", "add", &format!("{}/30", self.address()), "dev", "eth0"]))?;
        run(self.inside("ip").args(["link", "set", "eth0", "up"]))?;
        run(self.inside("ip").args(["route", "add", "default", "via", &self.host_address().to_string()]))?;
        run(&mut argv(["ip", "route", "add", &self.subnet(), "via", &self.address().to_string()]))?;

        fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot switch net.ipv4.ip_forward on")?;
        let subnet = self.subnet();
        add_rule(record, "-A", &["nat", "POSTROUTING", "-s", &subnet, "!", "-o", &name, "-j", "MASQUERADE"])?;
        // First in the chain, because a firewall or a container engine of the host may drop what it does not know.
        add_rule(record, "-I", &["filter", "FORWARD", "-i", &name, "-j", "ACCEPT"])?;
        add_rule(record, "-I", &["filter", "FORWARD", "-o", &name, "-j", "ACCEPT"])
    }

    fn settle_inside(&self) -> Result<()> {
        // Absent or built in, depending on the kernel; the setting below tells.
        let _ = run(&mut argv(["modprobe", "br_netfilter"]));
        for setting in ["net.ipv4.ip_forward=1", "net.bridge.bridge-nf-call-iptables=1"] {
            // Without the second one, a pod that calls a Service whose pod is on the same bridge gets its answer from a stranger.
            run(self.inside("sysctl").args(["-q", "-w", setting]))?;
        }
        Ok(())
    }
}

/// The ranges that the host has routes for, the default route aside.
pub(super) fn routes() -> Result<Vec<Range>> {
    let listed = run(&mut argv(["ip", "-json", "-4", "route", "show", "table", "all"]))?;
    let routes: Vec<Route> = serde_json::from_str(&listed).context("cannot read what `ip -json route` prints")?;
    Ok(routes.iter().filter_map(|route| range(&route.dst)).collect())
}

#[derive(Deserialize)]
struct Route {
    dst: String,
    dev: Option<String>,
}

fn range(text: &str) -> Option<Range> {
    match text.split_once('/') {
        Some((address, length)) => Some((address.parse().ok()?, length.parse().ok()?)),
        None => Some((text.parse().ok()?, 32)),
    }
}

fn overlap(a: Range, b: Range) -> bool {
    let shared = a.1.min(b.1);
    let prefix = |range: Range| range.0.to_bits().checked_shr(32 - u32::from(shared)).unwrap_or(0);
    prefix(a) == prefix(b)
}

fn uplink_mtu() -> Result<u32> {
    let listed = run(&mut argv(["ip", "-json", "-4", "route", "show", "default"]))?;
    let routes: Vec<Route> = serde_json::from_str(&listed).context("cannot read what `ip -json route` prints")?;
    // Without a way out of the machine any size will do.
    let Some(device) = routes.into_iter().find_map(|route| route.dev) else { return Ok(1500) };
    let path = format!("/sys/class/net/{device}/mtu");
    let mtu = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    mtu.trim().parse().with_context(|| format!("{path} holds `{}`, which is no number", mtu.trim()))
}

fn add_rule(record: &Record, how: &str, rule: &[&str]) -> Result<()> {
    record.note(Thing::Iptables(rule.iter().map(ToString::to_string).collect()))?;
    run(HostCommand::new("iptables").args(["-w", "10", "-t", rule[0], how]).args(&rule[1..]))?;
    Ok(())
}

/// A server that was dropped closes its socket when its task is looked at next, which may be after the next one begins.
fn bind_when_free(address: SocketAddrV4) -> std::io::Result<std::net::TcpListener> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match std::net::TcpListener::bind(address) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < end => std::thread::sleep(Duration::from_millis(50)),
            bound => return bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_stays_away_from_what_the_host_routes() {
        let lab = (Ipv4Addr::new(10, 201, 0, 0), 16);
        let covered = ["10.0.0.0/8", "10.201.4.0/24", "10.201.255.1"];
        assert!(covered.iter().all(|route| overlap(range(route).expect("a range"), lab)));
        let apart = ["10.202.0.0/16", "192.0.2.0/24", "10.200.255.255"];
        assert!(!apart.iter().any(|route| overlap(range(route).expect("a range"), lab)));
        assert_eq!(range("default"), None);
    }
}
