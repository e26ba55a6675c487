//! What lies between one process of the operator and the API server? Time, the seed's faults, and the end of the process.

use crate::faults::Fate;
use crate::stage::{Stage, kind_lane, object_lane};
use futures::future::BoxFuture;
use gowindows_tests::fake_apiserver::kinds::by_name;
use gowindows_tests::fake_apiserver::{Call, Delivery, Replied, Sent, Verb, Wire};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The wire of one process.
pub struct ProcessWire {
    stage: Arc<Stage>,
    replica: u64,
    /// Told when the process is killed.
    killed: Arc<Notify>,
    /// A past version that is shown until a moment (in milliseconds).
    view: Option<(u64, u64)>,
}

impl ProcessWire {
    /// For a process that starts now.
    pub fn new(stage: Arc<Stage>, replica: u64, incarnation: u64, killed: Arc<Notify>) -> Self {
        let stale = if incarnation > 0 { stage.faults.stale_view(incarnation) } else { None };
        let view = stale.map(|(back, long)| {
            // No list has version 0: a watch from there begins with whatever there is.
            let version = stage.server.within(|store| store.version()).saturating_sub(back).max(1);
            (version, stage.milliseconds() + u64::try_from(long.as_millis()).unwrap_or_default())
        });
        Self { stage, replica, killed, view }
    }

    fn lane(&self, call: &Call) -> u64 {
        match object_of(call) {
            // Who keeps the queue gives slots to the Jobs of any object: no pass shall meet that in its lane.
            None if call.verb == Verb::List && !call.is_paged() => object_lane(self.replica, 4),
            Some(_) if call.verb == Verb::Merge && call.kind == by_name("Job") => object_lane(self.replica, 3),
            Some(object) => object_lane(self.replica, object),
            None => kind_lane(self.replica, u64::try_from(call.kind).unwrap_or_default()),
        }
    }

    async fn die<T>(&self) -> T {
        self.killed.notify_one();
        std::future::pending().await
    }
}

/// The position of the object that a request is about: `shop-2`, `shop-2-5b1f...`, `app=shop-2`.
pub fn object_of(call: &Call) -> Option<u64> {
    number_of(call.name.as_deref().or(call.label_selector())?)
}

/// The position of the object in whose name something is called.
pub fn number_of(name: &str) -> Option<u64> {
    let rest = name.split("shop-").nth(1)?;
    rest.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

impl Wire for ProcessWire {
    fn send<'a>(&'a self, call: &'a Call, body: &'a [u8]) -> BoxFuture<'a, Sent> {
        Box::pin(async move {
            let latency = self.stage.dice.below("send", self.stage.milliseconds(), 15);
            self.stage.wait(self.lane(call), Duration::from_millis(latency)).await;
            self.stage.invariants().request(self.replica, call, body, self.stage.milliseconds());
            match self.stage.faults.send(call) {
                Fate::Passes => Sent::Arrives,
                Fate::Refused(refusal) => Sent::Refused(refusal),
                Fate::Breaks => Sent::Broken,
                Fate::Kills => self.die().await,
            }
        })
    }

    fn reply<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Replied> {
        Box::pin(async move {
            let fate = self.stage.faults.reply(call);
            if let Fate::Kills = fate {
                return self.die().await;
            }
            let latency = self.stage.dice.below("reply", self.stage.milliseconds(), 15);
            self.stage.wait(self.lane(call), Duration::from_millis(latency)).await;
            if matches!(fate, Fate::Breaks) { Replied::Broken } else { Replied::Arrives }
        })
    }

    fn deliver<'a>(&'a self, watch: &'a Call, version: u64) -> BoxFuture<'a, Delivery> {
        Box::pin(async move {
            if let Some((past, until)) = self.view
                && version > past
                && self.stage.milliseconds() < until
            {
                self.stage.until(until).await;
            }
            let number = version + (self.stage.milliseconds() << 20) + (self.lane(watch) << 56);
            let (delivery, late) = self.stage.faults.deliver(number);
            self.stage.wait(self.lane(watch), late).await;
            delivery.unwrap_or_else(|| {
                self.stage.server.within(|store| store.compact());
                Delivery::Cut
            })
        })
    }

    /// A list without pages is none of a watch: whoever asks so asks for what is there now.
    fn stale(&self, list: &Call) -> Option<u64> {
        self.view.filter(|_| list.is_paged()).filter(|(_, until)| self.stage.milliseconds() < *until).map(|(past, _)| past)
    }
}
