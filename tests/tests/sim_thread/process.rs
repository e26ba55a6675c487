//! What runs the operator? The product's controller as it is, in processes that are killed by the wire and started again.

use crate::outside::Reached;
use crate::stage::{NAMESPACE, Stage, kind_lane};
use crate::wire::ProcessWire;
use gowindows::controller::{Controller, LeaderElection, Leadership, Timings};
use gowindows::observe::Logins;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// Keeps one replica running until this is dropped. `elects`: there are others, and a Lease says which of them works.
pub async fn replica(stage: Arc<Stage>, number: u64, elects: bool) {
    for incarnation in 0.. {
        let killed = Arc::new(Notify::new());
        let wire = Arc::new(ProcessWire::new(stage.clone(), number, incarnation, killed.clone()));
        let process = AbortOnDropHandle::new(tokio::spawn(process(stage.clone(), number, incarnation, elects, wire)));
        tokio::select! {
            biased;
            () = killed.notified() => {}
            // Whoever loses the Lease ends and is started again; nothing else may end a process.
            ended = process => if !elects { stage.invariants().breaks(format!("the controller ended by itself: {ended:?}")) },
        }
        let down = 500 + stage.dice.below("down", incarnation, 20_000);
        stage.wait(kind_lane(number, 0), Duration::from_millis(down)).await;
    }
}

/// An operator of one replica, until this is dropped.
pub fn start(stage: &Arc<Stage>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(replica(stage.clone(), 0, false)))
}

async fn process(stage: Arc<Stage>, number: u64, incarnation: u64, elects: bool, wire: Arc<ProcessWire>) {
    let client = stage.server.client(&format!("operator-{number}"), wire);
    let reached = Arc::new(Reached(stage.clone()));
    let metrics = stage.metrics(number);
    let controller = |leadership: Leadership| Controller {
        client: client.clone(),
        namespace: stage.settings().watch_namespaces.first().cloned(),
        settings: stage.settings(),
        git: reached.clone(),
        registry: reached.clone(),
        logins: Arc::new(Logins::new(reached.clone())),
        outside: Arc::default(),
        clock: stage.clock(),
        metrics: metrics.clone(),
        leadership,
    };
    if !elects {
        return controller(Leadership::always()).run(std::future::pending()).await;
    }
    let election = LeaderElection {
        client: client.clone(),
        namespace: NAMESPACE.into(),
        name: "gowindows".into(),
        identity: format!("operator-{number}_{incarnation}"),
        timings: Timings::default(),
        clock: stage.clock(),
        metrics: metrics.clone(),
    };
    election.lead(|leadership| controller(leadership).run(std::future::pending()), std::future::pending()).await;
}
