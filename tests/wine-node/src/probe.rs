//! Is a container's program well?
//!
//! HTTP and TCP probes, sent from the node to the pod's address as a kubelet does. `exec` and gRPC probes are not played
//! here and count as failed, with a message that says so.

use std::{net::IpAddr, time::Duration};

use futures::future::{Either, pending, select};
use k8s_openapi::{
    api::core::v1::{Container, HTTPGetAction, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};
use tokio::{net::TcpStream, sync::watch, time::sleep};

use crate::{
    events::PodEvents,
    status::{Progress, Tracked},
};

/// The probes of one running container.
pub struct Probes<'a> {
    /// The container.
    pub container: &'a Container,
    /// The pod's address; none where nobody listens and a running program counts as well.
    pub ip: Option<IpAddr>,
    /// Where `started` and `ready` are kept.
    pub progress: &'a watch::Sender<Progress>,
    /// Where failures are told.
    pub events: &'a PodEvents,
}

/// Why a container has to be started again.
pub struct Unwell {
    /// In the words of a kubelet.
    pub message: String,
    /// The probe's own grace period.
    pub grace: Option<Duration>,
}

impl Probes<'_> {
    /// Keeps `started` and `ready` up to date; ends only when the container has to be started again.
    pub async fn watch(&self) -> Unwell {
        let Container { startup_probe, readiness_probe, liveness_probe, .. } = self.container;
        if let Some(probe) = startup_probe
            && !self.until(probe, "Startup", true, delay(probe)).await
        {
            return self.unwell("startup", probe);
        }
        let ready = readiness_probe.is_none();
        self.note(|tracked| (tracked.started, tracked.ready) = (true, ready));
        let readiness = async {
            let Some(probe) = readiness_probe else { return pending().await };
            let mut wait = delay(probe);
            loop {
                let now = self.until(probe, "Readiness", true, wait).await;
                self.note(|tracked| tracked.ready = now);
                wait = period(probe);
                if now {
                    self.until(probe, "Readiness", false, wait).await;
                    self.note(|tracked| tracked.ready = false);
                }
            }
        };
        let liveness = async {
            let Some(probe) = liveness_probe else { return pending().await };
            self.until(probe, "Liveness", false, delay(probe)).await;
            self.unwell("liveness", probe)
        };
        let (readiness, liveness) = (Box::pin(readiness), Box::pin(liveness));
        match select(readiness, liveness).await {
            Either::Left((unwell, _)) | Either::Right((unwell, _)) => unwell,
        }
    }

    /// Probes until the outcome has been `success` (or failure) often enough. While success is waited for, enough failures
    /// in a row end it too. The first probe comes after `wait`. Gives whether the probe succeeds now.
    async fn until(&self, probe: &Probe, kind: &str, success: bool, wait: Duration) -> bool {
        let threshold = |of: Option<i32>, otherwise| of.unwrap_or(otherwise).max(1);
        let (successes, failures) = (threshold(probe.success_threshold, 1), threshold(probe.failure_threshold, 3));
        let (mut good, mut bad) = (0, 0);
        sleep(wait).await;
        loop {
            match self.check(probe).await {
                Ok(()) => (good, bad) = (good + 1, 0),
                Err(message) => {
                    (good, bad) = (0, bad + 1);
                    self.events.warning(&self.container.name, "Unhealthy", format!("{kind} probe failed: {message}")).await;
                }
            }
            if success && good >= successes {
                return true;
            }
            if bad >= failures {
                return false;
            }
            sleep(period(probe)).await;
        }
    }

    async fn check(&self, probe: &Probe) -> Result<(), String> {
        let Some(ip) = self.ip else { return Ok(()) };
        let limit = seconds(probe.timeout_seconds, 1);
        let checked = async {
            if let Some(http) = &probe.http_get {
                self.http(http, ip, limit).await
            } else if let Some(tcp) = &probe.tcp_socket {
                let port = self.port(&tcp.port)?;
                let host = tcp.host.clone().unwrap_or_else(|| ip.to_string());
                let connected = TcpStream::connect((host.as_str(), port)).await;
                connected.map(drop).map_err(|error| format!("dial tcp {host}:{port}: connect: {error}"))
            } else {
                Err("this node knows only httpGet and tcpSocket".to_owned())
            }
        };
        tokio::time::timeout(limit, checked).await.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
    }

    async fn http(&self, action: &HTTPGetAction, ip: IpAddr, limit: Duration) -> Result<(), String> {
        let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
        let host = action.host.clone().unwrap_or_else(|| ip.to_string());
        let path = action.path.as_deref().unwrap_or("/");
        let url = format!("{scheme}://{host}:{}/{}", self.port(&action.port)?, path.trim_start_matches('/'));
        let client = reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).timeout(limit).user_agent("kube-probe/1.34");
        let client = client.build().map_err(|error| error.to_string())?;
        let headers = action.http_headers.iter().flatten();
        let request = headers.fold(client.get(&url), |request, header| request.header(&header.name, &header.value));
        let answer = request.send().await.map_err(|error| format!("Get {url:?}: {}", root_cause(&error)))?;
        match answer.status().as_u16() {
            200..400 => Ok(()),
            status => Err(format!("HTTP probe failed with statuscode: {status}")),
        }
    }

    fn port(&self, port: &IntOrString) -> Result<u16, String> {
        let number = match port {
            IntOrString::Int(number) => Some(*number),
            IntOrString::String(name) => {
                let ports = self.container.ports.iter().flatten();
                ports.filter(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port).next().or(name.parse().ok())
            }
        };
        number.and_then(|number| u16::try_from(number).ok()).ok_or_else(|| format!("the container has no port {port:?}"))
    }

    fn note(&self, change: impl FnOnce(&mut Tracked)) {
        self.progress.send_modify(|progress| change(progress.containers.entry(self.container.name.clone()).or_default()));
    }

    fn unwell(&self, kind: &str, probe: &Probe) -> Unwell {
        let grace = probe.termination_grace_period_seconds.and_then(|grace| u64::try_from(grace).ok()).map(Duration::from_secs);
        Unwell { message: format!("Container {} failed {kind} probe, will be restarted", self.container.name), grace }
    }
}

fn delay(probe: &Probe) -> Duration {
    seconds(probe.initial_delay_seconds, 0)
}

fn period(probe: &Probe) -> Duration {
    seconds(probe.period_seconds, 10)
}

fn seconds(given: Option<i32>, otherwise: u64) -> Duration {
    Duration::from_secs(given.and_then(|given| u64::try_from(given).ok()).unwrap_or(otherwise))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root_cause)
}
