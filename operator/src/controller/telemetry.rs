//! What does the operator tell about itself? Structured logs and metrics with bounded labels.

use crate::act::Leadership;
use crate::decide::{Outcome, Plan};
use crate::observe::{Guarded, Stores};
use crate::report::Notice;
use futures::FutureExt;
use gowindows_crds::conditions::{ConditionType, find};
use kube::runtime::reflector::Store;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// How logs are written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// Sets up logging to standard error.
///
/// # Errors
/// A filter that cannot be parsed.
pub fn init_logs(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
        LogFormat::Text => logs.with_target(false).init(),
    }
    Ok(())
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EffectLabels {
    effect: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

/// What this replica does.
#[derive(Clone, Debug)]
enum Role {
    /// Nothing yet.
    Starts,
    /// It knows the Lease and can take over.
    StandsBy,
    /// It works, for as long as this holds.
    Leads(Leadership),
}

/// What is counted.
pub struct Metrics {
    registry: Registry,
    passes: Family<ResultLabel, Counter>,
    seconds: Histogram,
    effects: Family<EffectLabels, Counter>,
    notices: Family<ReasonLabel, Counter>,
    objects: Family<ResultLabel, Gauge>,
    leader: Gauge,
    role: Mutex<Role>,
    watched: Mutex<Vec<(Store<Guarded>, Stores)>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("gowindows");
        let (passes, effects, notices, objects) = (Family::default(), Family::default(), Family::default(), Family::default());
        // A pass that only reads memory takes microseconds, one that asks a slow registry most of a minute.
        let seconds = Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0]);
        registry.register("reconciles", "Passes over an object", passes.clone());
        registry.register("reconcile_seconds", "Time of a pass", seconds.clone());
        registry.register("effects", "Writes to the cluster and to registries", effects.clone());
        registry.register("notices", "Events published on objects, by reason", notices.clone());
        registry.register("objects", "GoWindowsImages by the status of their Ready condition", objects.clone());
        let leader = Gauge::default();
        registry.register("leader", "1 while this replica works, 0 while it stands by", leader.clone());
        Self { registry, passes, seconds, effects, notices, objects, leader, role: Mutex::new(Role::Starts), watched: Mutex::default() }
    }
}

impl Metrics {
    /// Counts the objects of a controller at each scrape.
    pub(super) fn watch(&self, images: Store<Guarded>, stores: Stores) {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).push((images, stores));
    }

    /// From now on this replica could take over at any time.
    pub(super) fn stands_by(&self) {
        let mut role = self.role.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*role, Role::Starts) {
            *role = Role::StandsBy;
        }
    }

    /// From now on this replica works.
    pub(super) fn leads(&self, leadership: Leadership) {
        *self.role.lock().unwrap_or_else(PoisonError::into_inner) = Role::Leads(leadership);
    }

    fn role(&self) -> Role {
        self.role.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A standby is ready without stores, or a rolling update of the Deployment would never end.
    pub(super) async fn is_ready(&self) -> bool {
        match self.role() {
            Role::Starts => return false,
            Role::StandsBy => return true,
            Role::Leads(_) => {}
        }
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let filled = watched.iter().all(|(images, stores)| {
            images.wait_until_ready().now_or_never().is_some_and(|filled| filled.is_ok())
                && stores.ready().now_or_never().is_some_and(|filled| filled.is_ok())
        });
        filled && !watched.is_empty()
    }

    pub(super) fn pass(&self, result: &'static str, took: Duration) {
        self.passes.get_or_create(&ResultLabel { result }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(super) fn effects(&self, plan: &Plan, outcome: &Outcome) {
        for (index, effect) in plan.effects.iter().enumerate().take(outcome.performed + usize::from(outcome.failure.is_some())) {
            let result = if index < outcome.performed { "done" } else { "failed" };
            self.effects.get_or_create(&EffectLabels { effect: effect.name(), result }).inc();
        }
    }

    pub(super) fn notices(&self, notices: &[Notice]) {
        for notice in notices {
            self.notices.get_or_create(&ReasonLabel { reason: notice.reason.clone() }).inc();
        }
    }

    /// Everything as OpenMetrics text.
    pub fn text(&self) -> String {
        self.leader.set(i64::from(matches!(self.role(), Role::Leads(leadership) if leadership.holds())));
        for (status, result) in [("True", "ready"), ("False", "failed"), ("Unknown", "progressing")] {
            let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            let count = watched.iter().flat_map(|(images, _)| images.state()).filter(|image| ready(image) == status).count();
            self.objects.get_or_create(&ResultLabel { result }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn ready(image: &Guarded) -> String {
    let conditions =
        image.0.as_ref().ok().and_then(|image| image.status.as_ref()).map(|status| status.conditions.as_slice()).unwrap_or_default();
    find(conditions, ConditionType::Ready).map_or_else(|| "Unknown".into(), |condition| condition.status.clone())
}
