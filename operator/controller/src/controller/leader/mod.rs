//! Which replica works? client-go's algorithm on a Lease (`k8s.io/client-go/tools/leaderelection`).
//!
//! Correctness rests on deterministic Job names and not on the Lease, which fences nothing: it saves work. Two details differ
//! from client-go so that a hand-over after a crash stays below 20 s: the jitter is a fifth of the period, and a standby looks
//! again at the moment at which the Lease runs out.

mod arguments;
mod record;
#[cfg(test)]
mod tests;

pub use arguments::{LeaderArgs, Timings, TimingsError};

use super::{Clock, Metrics};
use crate::act::{Leadership, LeaseError, read_lease, write_lease};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::api::ObjectMeta;
use kube::{Api, Client};
use record::Next;
use sha2::{Digest, Sha256};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// The longest jitter, as a percentage of the retry period.
const JITTER: u32 = 20;
/// Passes under way have this time to end after a stop. Then the Lease is given back all the same, before the kubelet's patience
/// (30 s) ends: a pass that waits for a slow registry must not cost the hand-over.
const FINISH: Duration = Duration::from_secs(20);

/// A candidate. Whatever it meets outside is handed to it, so that a simulation runs the same code.
pub struct LeaderElection {
    /// The API server.
    pub client: Client,
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Who the candidate is: another one for each start of a process.
    pub identity: String,
    /// How long and how often.
    pub timings: Timings,
    /// What time it is, for the Lease's fields only.
    pub clock: Clock,
    /// Where it is told that this replica stands by.
    pub metrics: Arc<Metrics>,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Led<T> {
    /// The work ended, and the Lease was given back.
    Ended(T),
    /// It was stopped: before it led, or while the work did not end in time.
    Stopped,
    /// The Lease could not be renewed, or somebody else has it. The process should end: what it knows is out of date.
    Lost,
}

impl LeaderElection {
    /// Stands by until the Lease can be had, works while it is held, and gives it back.
    ///
    /// At `stop` the work is expected to end by itself; a standby just ends. When leadership is lost the work is dropped where
    /// it stands, writes under way included.
    pub async fn lead<W: Future>(self, work: impl FnOnce(Leadership) -> W, stop: impl Future<Output = ()>) -> Led<W::Output> {
        let mut stop = pin!(stop);
        let mut candidate = Candidate::new(self);
        let sent = tokio::select! {
            biased;
            () = &mut stop => None,
            sent = candidate.acquire() => Some(sent),
        };
        let Some(sent) = sent else {
            candidate.release().await;
            return Led::Stopped;
        };
        let (term, end) = watch::channel(sent + candidate.election.timings.renew_deadline);
        let led = {
            let mut work = pin!(work(Leadership::until(end)));
            let ended = async {
                tokio::select! {
                    biased;
                    output = &mut work => return Led::Ended(output),
                    () = &mut stop => {}
                }
                timeout(FINISH, &mut work).await.map_or(Led::Stopped, Led::Ended)
            };
            tokio::select! {
                biased;
                () = candidate.keep(&term) => Led::Lost,
                led = ended => led,
            }
        };
        term.send_replace(Instant::now());
        candidate.release().await;
        led
    }
}

/// Where an attempt leads to.
enum Freshness {
    /// The Lease is held, by a write that was sent at this time: whoever sees the write sees it later.
    Leads(Instant),
    /// Somebody else's Lease runs for this time at least.
    Waits(Duration),
}

/// A candidate and what it knows of the Lease.
struct Candidate {
    election: LeaderElection,
    api: Api<Lease>,
    /// As the API server last answered; `None` where there is none.
    lease: Option<Lease>,
    /// The last record, and when it was seen to change. Outlives a deleted Lease, whose holder may still be at work.
    seen: Option<(LeaseSpec, Instant)>,
    /// Nobody was seen to write after us: the next write needs no read before it.
    current: bool,
    /// A write was sent whose answer is not known.
    unsure: bool,
    /// What was last logged, so that a state is logged once.
    told: String,
}

impl Candidate {
    fn new(election: LeaderElection) -> Self {
        let api = Api::namespaced(election.client.clone(), &election.namespace);
        Self { election, api, lease: None, seen: None, current: false, unsure: false, told: String::new() }
    }

    /// Tries until the Lease is held. Returns when the write that took it was sent.
    async fn acquire(&mut self) -> Instant {
        let pace = self.pace();
        loop {
            let pause = match timeout(self.patience(), self.attempt()).await {
                Ok(Ok(Freshness::Leads(sent))) => {
                    tracing::info!(lease = self.election.name, identity = self.election.identity, "this replica leads");
                    return sent;
                }
                Ok(Ok(Freshness::Waits(remaining))) => {
                    let holder = self.seen.as_ref().and_then(|(spec, _)| spec.holder_identity.clone()).unwrap_or_default();
                    self.tell(&format!("stands by: {holder} leads"));
                    pace.min(remaining)
                }
                Ok(Err(error)) => self.missed(Some(&error), pace),
                Err(_) => self.missed(None, pace),
            };
            sleep(pause).await;
        }
    }

    /// Renews the Lease for as long as that succeeds; each renewal moves the end of the term.
    async fn keep(&mut self, term: &watch::Sender<Instant>) {
        let Timings { renew_deadline, retry_period, .. } = self.election.timings;
        loop {
            let end = *term.borrow();
            sleep_until(end.min(Instant::now() + retry_period)).await;
            if Instant::now() >= end {
                tracing::warn!(lease = self.election.name, "the Lease could not be renewed within {renew_deadline:?}");
                return;
            }
            match timeout_at(end.min(Instant::now() + self.patience()), self.attempt()).await {
                Ok(Ok(Freshness::Leads(sent))) => {
                    term.send_replace(sent + renew_deadline);
                }
                Ok(Ok(Freshness::Waits(_))) => {
                    tracing::warn!(lease = self.election.name, "another replica holds the Lease");
                    return;
                }
                Ok(Err(error)) => drop(self.missed(Some(&error), retry_period)),
                Err(_) => drop(self.missed(None, retry_period)),
            }
        }
    }

    /// Takes or renews the Lease, if that can be.
    async fn attempt(&mut self) -> Result<Freshness, LeaseError> {
        if self.current {
            match self.write().await {
                Err(LeaseError::Conflict(_)) => {}
                answer => return answer,
            }
        }
        self.read().await?;
        self.write().await
    }

    async fn read(&mut self) -> Result<(), LeaseError> {
        let lease = read_lease(&self.api, &self.election.name).await?;
        self.unsure = false;
        self.saw(lease);
        self.election.metrics.stands_by();
        Ok(())
    }

    async fn write(&mut self) -> Result<Freshness, LeaseError> {
        let seconds = i32::try_from(self.election.timings.lease_duration.as_secs()).unwrap_or(i32::MAX);
        let seen = self.seen.as_ref().map(|(spec, at)| (spec, at.elapsed()));
        match record::next(seen, &self.election.identity, seconds, (self.election.clock)()) {
            Next::Wait { remaining, .. } => Ok(Freshness::Waits(remaining)),
            Next::Write(spec) => {
                let sent = Instant::now();
                self.put(spec).await?;
                self.current = true;
                Ok(Freshness::Leads(sent))
            }
        }
    }

    async fn put(&mut self, spec: LeaseSpec) -> Result<(), LeaseError> {
        let name = Some(self.election.name.clone());
        let unborn = || Lease { metadata: ObjectMeta { name, ..ObjectMeta::default() }, spec: None };
        let lease = Lease { spec: Some(spec), ..self.lease.clone().unwrap_or_else(unborn) };
        (self.current, self.unsure) = (false, true);
        let answer = write_lease(&self.api, &lease).await;
        self.unsure = !matches!(answer, Ok(_) | Err(LeaseError::Conflict(_)));
        self.saw(Some(answer?));
        Ok(())
    }

    /// Expiry counts from the change that this process saw, by its own clock.
    fn saw(&mut self, lease: Option<Lease>) {
        self.lease = lease;
        let record = self.lease.as_ref().map(|lease| lease.spec.clone().unwrap_or_default());
        if let Some(record) = record.filter(|record| self.seen.as_ref().is_none_or(|(seen, _)| seen != record)) {
            self.seen = Some((record, Instant::now()));
        }
    }

    /// Gives the Lease back, so that a successor need not wait. A failure costs only that wait.
    async fn release(&mut self) {
        let patience = self.election.timings.retry_period;
        let giving_back = async {
            match self.give_back().await {
                // A renewal that was under way when the work ended has arrived meanwhile.
                Err(LeaseError::Conflict(_)) => {
                    self.read().await?;
                    self.give_back().await
                }
                answer => answer,
            }
        };
        match timeout(patience, giving_back).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = &error as &dyn std::error::Error, "the Lease was not given back"),
            Err(_) => tracing::warn!("the Lease was not given back: the API server did not answer within {patience:?}"),
        }
    }

    async fn give_back(&mut self) -> Result<(), LeaseError> {
        if self.unsure {
            self.read().await?;
        }
        let now = (self.election.clock)();
        let mine = self.seen.as_ref().and_then(|(spec, _)| record::released(spec, &self.election.identity, now));
        let Some(spec) = mine else { return Ok(()) };
        self.put(spec).await?;
        tracing::info!(lease = self.election.name, "the Lease was given back");
        Ok(())
    }

    /// An attempt may take this long: a connection that hangs must leave time for a second one.
    fn patience(&self) -> Duration {
        self.election.timings.renew_deadline / 2
    }

    /// The retry period with this candidate's jitter.
    fn pace(&self) -> Duration {
        let share = Sha256::digest(&self.election.identity).first().copied().map_or(0, u32::from);
        let period = self.election.timings.retry_period;
        period + period * JITTER * share / (100 * 255)
    }

    /// Says why an attempt failed; the next one follows after `pause`.
    fn missed(&mut self, error: Option<&LeaseError>, pause: Duration) -> Duration {
        match error {
            Some(LeaseError::Conflict(_)) => {}
            Some(error) => {
                let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
                self.tell(&format!("the Lease cannot be had: {error}{cause}"));
            }
            None => self.tell("the Lease cannot be had: the API server does not answer"),
        }
        pause
    }

    fn tell(&mut self, what: &str) {
        if self.told != what {
            what.clone_into(&mut self.told);
            tracing::info!(lease = self.election.name, identity = self.election.identity, "{what}");
        }
    }
}
