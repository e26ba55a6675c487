//! How is leader election set up? (`gowindows controller --leader-elect ...`)

use super::super::{Clock, Metrics};
use super::{JITTER, LeaderElection};
use kube::Client;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Arguments of `gowindows controller` about the Lease.
#[derive(Clone, Debug, clap::Args)]
pub struct LeaderArgs {
    /// Work only while holding a Lease, so that other replicas stand by. `=false` for an operator that is alone.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
        default_missing_value = "true", require_equals = true)]
    pub leader_elect: bool,
    /// Namespace of the Lease. Default: the one of the ServiceAccount or the kubeconfig.
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Name of the Lease.
    #[arg(long, value_name = "NAME", default_value = "gowindows")]
    pub lease_name: String,
    /// A standby takes over when it has seen no renewal for this time.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = go_duration)]
    pub lease_duration: Duration,
    /// The leader ends when it could not renew the Lease for this time.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = go_duration)]
    pub lease_renew_deadline: Duration,
    /// How often the Lease is renewed, and looked at.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = go_duration)]
    pub lease_retry_period: Duration,
}

impl LeaderArgs {
    /// The election that these arguments ask for; `None` for none.
    ///
    /// # Errors
    /// Times that do not fit together.
    pub fn election(&self, client: &Client, clock: &Clock, metrics: &Arc<Metrics>) -> Result<Option<LeaderElection>, TimingsError> {
        if !self.leader_elect {
            return Ok(None);
        }
        let namespace = self.lease_namespace.clone().filter(|namespace| !namespace.is_empty());
        Ok(Some(LeaderElection {
            client: client.clone(),
            namespace: namespace.unwrap_or_else(|| client.default_namespace().to_owned()),
            name: self.lease_name.clone(),
            identity: identity(&host(), std::process::id(), clock().as_nanosecond()),
            timings: self.timings()?,
            clock: clock.clone(),
            metrics: metrics.clone(),
        }))
    }

    /// The times, checked.
    ///
    /// # Errors
    /// See [`Timings::checked`].
    pub fn timings(&self) -> Result<Timings, TimingsError> {
        let Self { lease_duration, lease_renew_deadline, lease_retry_period, .. } = *self;
        Timings { lease_duration, renew_deadline: lease_renew_deadline, retry_period: lease_retry_period }.checked()
    }
}

/// The times of an election, in client-go's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// A standby takes over when it has seen no renewal for this time. Whole seconds.
    pub lease_duration: Duration,
    /// The leader ends when it could not renew the Lease for this time.
    pub renew_deadline: Duration,
    /// How often the Lease is renewed, and looked at.
    pub retry_period: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self { lease_duration: Duration::from_secs(15), renew_deadline: Duration::from_secs(10), retry_period: Duration::from_secs(2) }
    }
}

/// Times with which two replicas could lead at once, or none.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TimingsError {
    /// The Lease's field holds whole seconds.
    #[error("--lease-duration is {0:?}: give whole seconds, at least 1s and at most 24h")]
    Seconds(Duration),
    /// The leader has to end before another begins.
    #[error("--lease-duration is {0:?}, --lease-renew-deadline {1:?}: make the first the longer one, or two replicas lead at once")]
    Renew(Duration, Duration),
    /// Time for at least one try.
    #[error("--lease-renew-deadline is {0:?}, --lease-retry-period {1:?}: make the first more than 1.2 times the second")]
    Retry(Duration, Duration),
    /// No pause between tries.
    #[error("--lease-retry-period is {0:?}: give at least 10ms")]
    Pause(Duration),
}

impl Timings {
    /// These times, if they fit together by client-go's rules.
    ///
    /// # Errors
    /// What does not fit.
    pub fn checked(self) -> Result<Self, TimingsError> {
        let Self { lease_duration, renew_deadline, retry_period } = self;
        match () {
            () if lease_duration.subsec_nanos() != 0 || !(1..=86_400).contains(&lease_duration.as_secs()) => {
                Err(TimingsError::Seconds(lease_duration))
            }
            () if lease_duration <= renew_deadline => Err(TimingsError::Renew(lease_duration, renew_deadline)),
            () if renew_deadline <= retry_period.saturating_mul(JITTER + 100) / 100 => {
                Err(TimingsError::Retry(renew_deadline, retry_period))
            }
            () if retry_period < Duration::from_millis(10) => Err(TimingsError::Pause(retry_period)),
            () => Ok(self),
        }
    }
}

fn go_duration(text: &str) -> Result<Duration, String> {
    let remedy = "write a duration as Go does, such as 15s or 1m30s";
    let parsed: kube::core::Duration = text.parse().map_err(|error| format!("{error}; {remedy}"))?;
    if parsed.is_negative() { Err(format!("it is negative; {remedy}")) } else { Ok(parsed.into()) }
}

/// Who a candidate is. A container that was started again has its pod's old name, but is not who held the Lease: what the old
/// process was doing has ended.
fn identity(host: &str, process: u32, started: i128) -> String {
    let unique = hex::encode(Sha256::digest(format!("{host} {process} {started}")));
    format!("{host}_{}", unique.get(..16).unwrap_or_default())
}

fn host() -> String {
    let named = ["POD_NAME", "HOSTNAME"].into_iter().filter_map(|name| std::env::var(name).ok()).find(|name| !name.is_empty());
    let kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned());
    named.or_else(|| kernel().ok()).unwrap_or_else(|| "gowindows".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        leader: LeaderArgs,
    }

    fn parsed(arguments: &[&str]) -> Result<LeaderArgs, String> {
        let all = [&["gowindows"], arguments].concat();
        Cli::try_parse_from(all).map(|cli| cli.leader).map_err(|error| error.to_string())
    }

    fn refused(arguments: &[&str]) -> String {
        parsed(arguments).map_or_else(|error| error, |args| args.timings().expect_err("refused").to_string())
    }

    #[test]
    fn the_defaults_are_client_gos() {
        let defaults = parsed(&[]).expect("no arguments");
        assert!(defaults.leader_elect);
        assert_eq!(defaults.timings(), Ok(Timings::default()));
        assert_eq!(defaults.lease_name, "gowindows");
        assert!(parsed(&["--leader-elect"]).is_ok_and(|args| args.leader_elect));
        assert!(parsed(&["--leader-elect=false"]).is_ok_and(|args| !args.leader_elect));
        let slow = ["--lease-duration=1m30s", "--lease-renew-deadline=1m", "--lease-retry-period=500ms"];
        let slow = parsed(&slow).expect("valid").timings().expect("valid");
        assert_eq!((slow.lease_duration.as_secs(), slow.renew_deadline.as_secs(), slow.retry_period.as_millis()), (90, 60, 500));
    }

    #[test]
    fn times_that_do_not_fit_are_named() {
        for (arguments, says) in [
            (["--lease-duration=10s", "--lease-renew-deadline=10s"], ["--lease-duration is 10s", "longer one"]),
            (["--lease-duration=15500ms", "--lease-renew-deadline=10s"], ["--lease-duration is 15.5s", "whole seconds"]),
            (["--lease-duration=0s", "--lease-renew-deadline=10s"], ["--lease-duration is 0ns", "at least 1s"]),
            (["--lease-retry-period=5s", "--lease-renew-deadline=6s"], ["--lease-retry-period 5s", "1.2 times"]),
            (["--lease-retry-period=0s", "--lease-renew-deadline=10s"], ["--lease-retry-period is 0ns", "10ms"]),
            (["--lease-duration=15", "--lease-renew-deadline=10s"], ["--lease-duration", "such as 15s"]),
            (["--lease-duration=-15s", "--lease-renew-deadline=10s"], ["--lease-duration", "negative"]),
        ] {
            let error = refused(&arguments);
            assert!(says.iter().all(|part| error.contains(part)), "{arguments:?}: {error}");
        }
        assert_eq!(parsed(&["--lease-retry-period=5s", "--lease-renew-deadline=6001ms"]).map(|args| args.timings().is_ok()), Ok(true));
    }

    #[test]
    fn a_container_that_starts_again_is_somebody_else() {
        let (first, second) = (identity("pod-1", 1, 1), identity("pod-1", 1, 2));
        assert!(first != second && first.starts_with("pod-1_") && second.starts_with("pod-1_"), "{first} {second}");
        assert_eq!(first, identity("pod-1", 1, 1));
    }
}
