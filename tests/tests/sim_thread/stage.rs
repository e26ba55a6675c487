//! What does everything in a simulation share? Time, chance, the server, the outside world, and what was counted.
//!
//! Everything that happens has a millisecond of its own: time is cut into lanes, and whoever waits does so for a millisecond of its
//! lane. So nothing depends on the order in which an executor or a hash map picks one of several, and a seed can be replayed.

use crate::dice::Dice;
use crate::faults::Faults;
use crate::invariants::Invariants;
use crate::outside::Outside;
use gowindows::controller::Metrics;
use gowindows_model::binding::Enforcement;
use gowindows_model::settings::{IdentityProvider, IdentitySettings, RegistrySettings, Settings, SlotSettings};
use gowindows_tests::fake_apiserver::{Clock, FakeApiServer};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The namespace of everything.
pub const NAMESPACE: &str = "team";
/// Milliseconds in which each lane comes once.
const LANES: u64 = 40;
/// The lane of what plays the cluster.
pub const CLUSTER: u64 = 38;
/// The lane of what plays the user.
pub const USER: u64 = 39;
/// The lanes of questions to the outside world.
const OUTSIDE: std::ops::Range<u64> = 28..38;
/// The lanes of one replica of the operator: its objects, its watches, its lease.
const REPLICA: u64 = 14;

/// Shared by all of a simulation.
pub struct Stage {
    /// Chance.
    pub dice: Dice,
    /// The API server.
    pub server: FakeApiServer,
    /// Git and registries.
    pub outside: Outside,
    /// What goes wrong, and what has gone wrong.
    pub faults: Faults,
    settings: Mutex<Arc<Settings>>,
    /// No pod of the objects from the tenth on is let in.
    pub outage: AtomicBool,
    invariants: Arc<Mutex<Invariants>>,
    metrics: [Arc<Metrics>; 2],
    start: Instant,
}

/// The virtual day on which every simulation begins.
fn morning() -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap_or_default()
}

impl Stage {
    /// A stage whose time starts now, with so many slots on the nodes of each system. Must be called within a runtime whose clock is paused.
    pub fn new(dice: Dice, faults: Faults, slots: Option<u32>) -> Arc<Self> {
        Self::watching(dice, faults, slots, Vec::new())
    }

    /// The same with an operator that watches the first of these namespaces alone; all where there is none.
    pub fn watching(dice: Dice, faults: Faults, slots: Option<u32>, watch_namespaces: Vec<String>) -> Arc<Self> {
        let start = Instant::now();
        let server = FakeApiServer::new(clock(start));
        let outside = Outside::default();
        let invariants = Arc::new(Mutex::new(Invariants::new(outside.clone(), slots)));
        let settings = Arc::new(Settings { slots: SlotSettings { linux: slots, windows: slots }, watch_namespaces, ..settings() });
        let (observer, admission) = (invariants.clone(), settings.clone());
        let time = clock(start);
        server.within(|store| {
            store.observe(Box::new(move |change| {
                observer.lock().unwrap_or_else(PoisonError::into_inner).after(change, time());
            }));
            store.admit_by(Box::new(move |kind, object| crate::admission::admit(kind, object, &admission)));
        });
        Arc::new(Self {
            dice,
            server,
            outside,
            faults,
            settings: Mutex::new(settings),
            outage: AtomicBool::new(false),
            invariants,
            metrics: Default::default(),
            start,
        })
    }

    /// The settings of an operator that starts now.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An operator that starts from now on refuses, or tells, what an older version allowed.
    pub fn set_enforcement(&self, enforcement: Enforcement) {
        let settings = Settings { enforcement, ..(*self.settings()).clone() };
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// The virtual clock, for the operator.
    pub fn clock(&self) -> Clock {
        clock(self.start)
    }

    /// Virtual milliseconds since the start.
    pub fn milliseconds(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits for the first millisecond of a lane after this time.
    pub async fn wait(&self, lane: u64, after: Duration) {
        let earliest = self.milliseconds() + u64::try_from(after.as_millis()).unwrap_or_default() + 1;
        let at = earliest + (lane + LANES - earliest % LANES) % LANES;
        sleep_until(self.start + Duration::from_millis(at)).await;
    }

    /// What a replica counts, over all its processes.
    pub fn metrics(&self, replica: u64) -> Arc<Metrics> {
        self.metrics[usize::from(replica > 0)].clone()
    }

    /// Passes of all replicas that ended well.
    pub fn passes(&self) -> u64 {
        let done = |metrics: &Arc<Metrics>| {
            let text = metrics.text();
            let line = text.lines().find(|line| line.starts_with("gowindows_reconciles_total{result=\"done\"}"));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or_default()
        };
        self.metrics.iter().map(done).sum()
    }

    /// Waits until a moment.
    pub async fn until(&self, milliseconds: u64) {
        sleep_until(self.start + Duration::from_millis(milliseconds)).await;
    }

    /// The next millisecond of the cluster's lane after this time.
    pub fn cluster_time(&self, after: Duration) -> u64 {
        let earliest = self.milliseconds() + u64::try_from(after.as_millis()).unwrap_or_default() + 1;
        earliest + (CLUSTER + LANES - earliest % LANES) % LANES
    }

    /// The invariants.
    pub fn invariants(&self) -> MutexGuard<'_, Invariants> {
        self.invariants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lane of a replica's requests about an object (by the position of the object) or a kind.
pub fn object_lane(replica: u64, object: u64) -> u64 {
    replica * REPLICA + object % 5
}

/// The lane of a replica's lists and watches of a kind, and of its lease.
pub fn kind_lane(replica: u64, kind: u64) -> u64 {
    replica * REPLICA + 5 + kind % 9
}

/// The lane of a question to the outside world.
pub fn outside_lane(question: u64) -> u64 {
    OUTSIDE.start + question % (OUTSIDE.end - OUTSIDE.start)
}

fn clock(start: Instant) -> Clock {
    Arc::new(move || morning().checked_add(SignedDuration::try_from(start.elapsed()).unwrap_or_default()).unwrap_or(Timestamp::MAX))
}

fn settings() -> Settings {
    let identity =
        IdentitySettings { provider: IdentityProvider::AWS, region: Some("sim".into()), token_server: None, password_server: None };
    Settings {
        toolchains: [("1.26".into(), "registry.sim/golang:1.26".into())].into(),
        windows_toolchains: [("1.26".into(), "registry.sim/windows-golang:1.26".into())].into(),
        step_image: "registry.sim/gowindows:1".into(),
        buildctl_image: Some("registry.sim/buildctl:1".into()),
        kaniko_image: Some("registry.sim/kaniko:1".into()),
        bases: [("NanoServer".into(), "registry.sim/nanoserver".into())].into(),
        registries: vec![RegistrySettings { host: "registry.sim".into(), identity: Some(identity), ..RegistrySettings::default() }],
        ..Settings::default()
    }
}
