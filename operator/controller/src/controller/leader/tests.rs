//! Candidates against a small API server, on a clock that stands still until everybody waits for it.

mod server;

use super::*;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use server::{Line, Server, Wire};
use std::sync::Mutex;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A candidate at work, as its process would be.
struct Replica {
    wire: Wire,
    metrics: Arc<Metrics>,
    leadership: Arc<Mutex<Option<Leadership>>>,
    stop: Option<oneshot::Sender<()>>,
    process: JoinHandle<Led<()>>,
}

impl Replica {
    fn start(server: &Server, identity: &str) -> Self {
        Self::with_clock(server, identity, 0)
    }

    /// A candidate whose machine's clock is that far ahead. Its work ends at once when it is told to stop.
    fn with_clock(server: &Server, identity: &str, ahead: i64) -> Self {
        Self::with_work(server, identity, ahead, Duration::ZERO)
    }

    fn with_work(server: &Server, identity: &str, ahead: i64, finishing: Duration) -> Self {
        let (wire, metrics, start) = (server.wire(), Arc::new(Metrics::default()), Instant::now());
        let clock = move || {
            let passed = SignedDuration::try_from(start.elapsed()).expect("a time");
            Timestamp::from_second(1_700_000_000 + ahead).expect("a time") + passed
        };
        let election = LeaderElection {
            client: wire.client(),
            namespace: "default".into(),
            name: "gowindows".into(),
            identity: identity.into(),
            timings: Timings::default(),
            clock: Arc::new(clock),
            metrics: metrics.clone(),
        };
        let leadership = Arc::new(Mutex::new(None));
        let ((stop, stopped), held, counted) = (oneshot::channel(), leadership.clone(), metrics.clone());
        let stopped = futures::FutureExt::shared(async move { drop(stopped.await) });
        let stopping = stopped.clone();
        let work = move |leadership: Leadership| async move {
            counted.leads(leadership.clone());
            *held.lock().expect("held") = Some(leadership);
            stopping.await;
            sleep(finishing).await;
        };
        let process = tokio::spawn(election.lead(work, stopped));
        Self { wire, metrics, leadership, stop: Some(stop), process }
    }

    fn leads(&self) -> bool {
        self.leadership.lock().expect("held").as_ref().is_some_and(Leadership::holds)
    }

    /// Ends as by SIGKILL.
    fn crash(&self) {
        self.process.abort();
        *self.leadership.lock().expect("held") = None;
    }

    /// SIGTERM.
    fn stop(&mut self) {
        drop(self.stop.take());
    }
}

/// Lets time pass until something is so, and says how much passed. Nobody ever leads beside another.
async fn until(replicas: &[&Replica], limit: u64, what: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    loop {
        assert!(replicas.iter().filter(|replica| replica.leads()).count() <= 1, "two lead at {:?}", start.elapsed());
        if what() {
            return start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(limit), "not within {limit} s");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn watch_for(replicas: &[&Replica], seconds: u64) {
    let end = Instant::now() + Duration::from_secs(seconds);
    until(replicas, seconds + 1, || Instant::now() >= end).await;
}

#[tokio::test(start_paused = true)]
async fn one_of_two_leads_and_stays() {
    let server = Server::default();
    let (first, second) = (Replica::start(&server, "first"), Replica::start(&server, "second"));
    until(&[&first, &second], 1, || first.leads() || second.leads()).await;
    watch_for(&[&first, &second], 600).await;
    assert!(first.leads() != second.leads());
    let (leader, standby) = if first.leads() { (&first, &second) } else { (&second, &first) };
    assert_eq!(server.spec().lease_transitions, Some(0));
    assert!(leader.metrics.text().contains("gowindows_leader 1\n") && standby.metrics.text().contains("gowindows_leader 0\n"));
    assert!(standby.metrics.is_ready().await, "a standby is ready");
    assert!(!leader.metrics.is_ready().await, "a leader is ready when its stores are filled");
}

#[tokio::test(start_paused = true)]
async fn a_successor_leads_within_20_seconds_of_a_crash_at_any_moment() {
    let mut longest = Duration::ZERO;
    // Over one renewal, and a little more than one look of the standby.
    for moment in 0..26 {
        let server = Server::default();
        let first = Replica::start(&server, "first");
        until(&[&first], 1, || first.leads()).await;
        let second = Replica::start(&server, "second");
        sleep(Duration::from_secs(20) + Duration::from_millis(100 * moment)).await;
        first.crash();
        let took = until(&[&second], 20, || second.leads()).await;
        assert!(took >= Duration::from_secs(12), "the crashed one was waited for: {took:?}");
        assert_eq!((server.holder().as_str(), server.spec().lease_transitions), ("second", Some(1)));
        longest = longest.max(took);
        second.crash();
    }
    eprintln!("the longest hand-over after a crash took {longest:?}");
    assert!(longest < Duration::from_millis(17_500), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_clean_stop_hands_over_at_once() {
    let server = Server::default();
    let mut first = Replica::start(&server, "first");
    until(&[&first], 1, || first.leads()).await;
    let second = Replica::start(&server, "second");
    watch_for(&[&first, &second], 7).await;
    first.stop();
    let took = until(&[&first, &second], 20, || second.leads()).await;
    assert!(took <= Duration::from_millis(2_450), "one look of the standby: {took:?}");
    assert_eq!(first.process.await.expect("it ended"), Led::Ended(()));
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_does_not_end_costs_no_hand_over() {
    let server = Server::default();
    let mut first = Replica::with_work(&server, "first", 0, Duration::from_secs(3600));
    until(&[&first], 1, || first.leads()).await;
    let second = Replica::start(&server, "second");
    watch_for(&[&first, &second], 7).await;
    first.stop();
    let took = until(&[&first, &second], 30, || second.leads()).await;
    assert!(took >= FINISH && took <= FINISH + Duration::from_millis(2_450), "{took:?}");
    assert_eq!(first.process.await.expect("it ended"), Led::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_is_stopped_takes_nothing() {
    let server = Server::default();
    let first = Replica::start(&server, "first");
    until(&[&first], 1, || first.leads()).await;
    let mut second = Replica::start(&server, "second");
    watch_for(&[&first, &second], 7).await;
    second.stop();
    assert_eq!(second.process.await.expect("it ended"), Led::Stopped);
    assert_eq!(server.holder(), "first");
}

#[tokio::test(start_paused = true)]
async fn who_cannot_reach_the_server_stops_leading_before_another_begins() {
    for line in [Line::Cut, Line::Deaf, Line::Broken] {
        let server = Server::default();
        let first = Replica::start(&server, "first");
        until(&[&first], 1, || first.leads()).await;
        let second = Replica::start(&server, "second");
        watch_for(&[&first, &second], 7).await;
        first.wire.set(line);
        let ended = until(&[&first, &second], 11, || !first.leads()).await;
        assert!(ended <= Duration::from_millis(10_010) && ended >= Duration::from_millis(7_900), "{ended:?}");
        assert!(!second.leads());
        let taken = until(&[&first, &second], 20, || second.leads()).await;
        // Who is deaf only gives the Lease back, when it has ended.
        assert!(line == Line::Deaf || taken >= Duration::from_secs(3), "{taken:?} between the one and the other");
        assert_eq!(first.process.await.expect("it ended"), Led::Lost);
        assert_eq!(server.holder(), "second");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_interruption_costs_nothing() {
    for line in [Line::Cut, Line::Deaf, Line::Broken] {
        let server = Server::default();
        let first = Replica::start(&server, "first");
        until(&[&first], 1, || first.leads()).await;
        let second = Replica::start(&server, "second");
        watch_for(&[&first, &second], 7).await;
        first.wire.set(line);
        watch_for(&[&first, &second], 4).await;
        first.wire.set(Line::Up);
        watch_for(&[&first, &second], 120).await;
        assert!(first.leads() && server.spec().lease_transitions == Some(0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_without_an_answer_is_kept_or_given_back() {
    for stopped in [false, true] {
        let server = Server::default();
        let mut first = Replica::start(&server, "first");
        first.wire.set(Line::Deaf);
        until(&[&first], 1, || server.holder() == "first").await;
        assert!(!first.leads(), "what was not answered is not believed");
        first.wire.set(Line::Up);
        if stopped {
            first.stop();
            assert_eq!(first.process.await.expect("it ended"), Led::Stopped);
            assert_eq!(server.holder(), "");
        } else {
            until(&[&first], 10, || first.leads()).await;
            assert_eq!(server.spec().lease_transitions, Some(0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_under_way_at_the_stop_keeps_no_lease() {
    let server = Server::default();
    let mut first = Replica::start(&server, "first");
    until(&[&first], 1, || first.leads()).await;
    first.wire.set(Line::Late);
    let renewed = server.spec().renew_time;
    watch_for(&[&first], 2).await;
    sleep(Duration::from_millis(200)).await;
    first.stop();
    assert_eq!(first.process.await.expect("it ended"), Led::Ended(()));
    assert_eq!(server.refused(), 1, "the renewal arrived between, {renewed:?} -> {:?}", server.spec().renew_time);
    assert_eq!(server.holder(), "");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_not_taken_for_a_renewal() {
    let server = Server::default();
    let first = Replica::start(&server, "first");
    until(&[&first], 1, || first.leads()).await;
    let renewed = server.spec().renew_time;
    // Somebody touches it: the renewal is refused once, the Lease read, and renewed.
    server.edit(|lease| lease.as_mut().expect("a Lease").metadata.labels = Some([("a".into(), "b".into())].into()));
    watch_for(&[&first], 3).await;
    assert!(first.leads() && server.refused() == 1 && server.spec().renew_time > renewed);
    // Somebody takes it: the refused renewal moves nothing, and who lost it ends.
    server.edit(|lease| {
        let spec = lease.as_mut().expect("a Lease").spec.as_mut().expect("a record");
        spec.holder_identity = Some("thief".into());
    });
    let ended = until(&[&first], 11, || !first.leads()).await;
    assert!(ended <= Duration::from_millis(2_020), "{ended:?}");
    assert_eq!(first.process.await.expect("it ended"), Led::Lost);
    assert_eq!((server.refused(), server.holder().as_str()), (2, "thief"));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_makes_no_second_leader() {
    let server = Server::default();
    let first = Replica::start(&server, "first");
    until(&[&first], 1, || first.leads()).await;
    let second = Replica::start(&server, "second");
    watch_for(&[&first, &second], 7).await;
    for _ in 0..20 {
        server.edit(|lease| *lease = None);
        watch_for(&[&first, &second], 3).await;
        assert!(first.leads());
    }
}

#[tokio::test(start_paused = true)]
async fn clocks_that_disagree_do_not_matter() {
    for ahead in [-86_400, 86_400] {
        let server = Server::default();
        let first = Replica::with_clock(&server, "first", ahead);
        until(&[&first], 1, || first.leads()).await;
        let second = Replica::start(&server, "second");
        watch_for(&[&first, &second], 60).await;
        assert!(first.leads(), "a clock of another machine takes nothing away");
        first.crash();
        let took = until(&[&second], 20, || second.leads()).await;
        assert!(took >= Duration::from_secs(12), "{took:?}");
    }
}
