//! What runs the operator? The product's controller as it is, in a process that is killed by the wire and started again.

use crate::outside::Reached;
use crate::stage::{Stage, kind_lane};
use crate::wire::ProcessWire;
use gowindows_operator::controller::{Controller, Leadership, Metrics};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// Keeps one replica running until this is dropped.
pub async fn replica(stage: Arc<Stage>, number: u64) {
    for incarnation in 0.. {
        let killed = Arc::new(Notify::new());
        let wire = Arc::new(ProcessWire::new(stage.clone(), number, incarnation, killed.clone()));
        let reached = Arc::new(Reached(stage.clone()));
        let controller = Controller {
            client: stage.server.client(&format!("operator-{number}"), wire),
            namespace: None,
            settings: stage.settings.clone(),
            git: reached.clone(),
            registry: reached,
            clock: stage.clock(),
            metrics: Arc::new(Metrics::default()),
            leadership: Leadership::always(),
        };
        let process = AbortOnDropHandle::new(tokio::spawn(controller.run(std::future::pending())));
        tokio::select! {
            biased;
            () = killed.notified() => {}
            ended = process => stage.invariants().breaks(format!("the controller ended by itself: {ended:?}")),
        }
        let down = 500 + stage.dice.below("down", incarnation, 20_000);
        stage.wait(kind_lane(number, 0), Duration::from_millis(down)).await;
    }
}
