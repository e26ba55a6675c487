//! What does the operator tell about itself? Structured logs and metrics with bounded labels.

use crate::act::Leadership;
use crate::observe::{Guarded, Stores};
use futures::FutureExt;
use gowindows_core::status::{CacheFound, Notice};
use gowindows_crds::conditions::{ConditionType, find};
use gowindows_model::plan::{Done, Outcome, Plan};
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    engine: String,
    hit: &'static str,
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
    caches: Caches,
    leader: Gauge,
    role: Mutex<Role>,
    watched: Mutex<Vec<Stores>>,
}

/// What builds with a cache volume found in it.
struct Caches {
    builds: Family<CacheLabels, Counter>,
    bytes: Histogram,
    age: Histogram,
}

impl Caches {
    fn register(registry: &mut Registry) -> Self {
        let mega = |count: i32| f64::from(count) * 1e6;
        let bytes = Histogram::new([10, 100, 300, 1_000, 3_000, 10_000, 30_000].map(mega));
        let days = |count: f64| count * 86_400.0;
        let age = Histogram::new([0.04, 1.0, 7.0, 30.0, 90.0, 365.0].map(days));
        let builds = Family::default();
        registry.register(
            "build_caches",
            "Builds with a cache volume, by engine and whether earlier builds had left compiled packages",
            builds.clone(),
        );
        registry.register("build_cache_bytes", "What builds with a cache volume found in it", bytes.clone());
        registry.register("build_cache_age_seconds", "Age of the oldest file that builds with a cache volume found in it", age.clone());
        Self { builds, bytes, age }
    }
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
        let caches = Caches::register(&mut registry);
        let leader = Gauge::default();
        registry.register("leader", "1 while this replica works, 0 while it stands by", leader.clone());
        let role = Mutex::new(Role::Starts);
        Self { registry, passes, seconds, effects, notices, objects, caches, leader, role, watched: Mutex::default() }
    }
}

impl Metrics {
    /// Counts the objects of a controller at each scrape.
    pub(super) fn watch(&self, stores: Stores) {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).push(stores);
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
        let filled = watched.iter().all(|stores| stores.ready().now_or_never().is_some());
        filled && !watched.is_empty()
    }

    pub(super) fn pass(&self, result: &'static str, took: Duration) {
        self.passes.get_or_create(&ResultLabel { result }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(super) fn effects(&self, plan: &Plan, outcome: &Outcome) {
        for (step, done) in plan.steps.iter().zip(&outcome.steps) {
            let result = match done {
                Done::Performed => "done",
                Done::Failed(_) => "failed",
                Done::Skipped => continue,
            };
            self.effects.get_or_create(&EffectLabels { effect: step.write.name(), result }).inc();
        }
    }

    /// A Job was given its slot, or could not be.
    pub(super) fn slot(&self, given: bool) {
        let result = if given { "done" } else { "failed" };
        self.effects.get_or_create(&EffectLabels { effect: "StartJob", result }).inc();
    }

    pub(super) fn notices(&self, notices: &[Notice]) {
        for notice in notices {
            self.notices.get_or_create(&ReasonLabel { reason: notice.reason.clone() }).inc();
        }
    }

    pub(super) fn cache(&self, found: &CacheFound) {
        let CacheFound { engine, cache, age } = found;
        let hit = if cache.hit { "true" } else { "false" };
        self.caches.builds.get_or_create(&CacheLabels { engine: engine.as_str().to_owned(), hit }).inc();
        self.caches.bytes.observe(cache.bytes as f64);
        if let Some(age) = age {
            self.caches.age.observe(age.as_secs_f64());
        }
    }

    /// Everything as OpenMetrics text.
    pub fn text(&self) -> String {
        self.leader.set(i64::from(matches!(self.role(), Role::Leads(leadership) if leadership.holds())));
        for (status, result) in [("True", "ready"), ("False", "failed"), ("Unknown", "progressing")] {
            let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            let count = watched.iter().flat_map(|stores| stores.images.store().state()).filter(|image| ready(image) == status).count();
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

#[cfg(test)]
mod tests {
    use super::*;
    use gowindows_crds::conditions::Reason;
    use gowindows_crds::v1alpha1::{BuildEngine, CacheStatus, GoWindowsImageStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

    #[test]
    fn builds_are_counted_by_what_they_found() {
        let metrics = Metrics::default();
        let found = |engine, hit, age: Option<u64>| CacheFound {
            engine,
            cache: CacheStatus { hit, bytes: 20_000_000, since: None, at_least: false },
            age: age.map(Duration::from_secs),
        };
        metrics.cache(&found(BuildEngine::Go, true, Some(2 * 86_400)));
        metrics.cache(&found(BuildEngine::Go, true, Some(86_400)));
        metrics.cache(&found(BuildEngine::Kaniko, false, None));
        let text = metrics.text();
        for line in [
            r#"gowindows_build_caches_total{engine="Go",hit="true"} 2"#,
            r#"gowindows_build_caches_total{engine="Kaniko",hit="false"} 1"#,
            r#"gowindows_build_cache_bytes_bucket{le="10000000.0"} 0"#,
            r#"gowindows_build_cache_bytes_bucket{le="100000000.0"} 3"#,
            r#"gowindows_build_cache_age_seconds_bucket{le="86400.0"} 1"#,
            "gowindows_build_cache_age_seconds_count 2",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}: {text}");
        }
        let document = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
        let document = std::fs::read_to_string(document).expect("a document");
        for metric in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
            assert!(document.contains(&format!("`{metric}")), "{metric} is not documented");
        }
    }

    /// What stands in a label stays in the memory of every Prometheus: none holds a text that a user, a server or a repository has written.
    #[test]
    fn labels_hold_words_of_ours_alone() {
        let metrics = Metrics::default();
        let url = "https://user:hunter2@git.example.com/a.git";
        let (before, mut after) = (GoWindowsImageStatus::default(), GoWindowsImageStatus::default());
        let kinds = [ConditionType::SourceResolved, ConditionType::Built, ConditionType::Published, ConditionType::Stalled];
        after.conditions = kinds.map(|kind| refused(kind, Reason::InvalidSpec, url)).into();
        let notices = gowindows_core::status::notices(&before, &after);
        assert!(notices.len() > 2 && notices.iter().all(|notice| notice.message.contains(url)), "{notices:?}");
        metrics.notices(&notices);
        metrics.slot(false);
        metrics.pass("unreadable", Duration::ZERO);
        let text = metrics.text();
        let labels = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('{')?.1.split_once('}'));
        for label in labels.flat_map(|(labels, _)| labels.split(',')) {
            let (_, value) = label.split_once('=').expect("a name and a value");
            assert!(value.trim_matches('"').chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)), "{label} in {text}");
        }
        assert!(!text.contains("hunter2") && !text.contains("git.example.com"), "{text}");
    }

    fn refused(kind: ConditionType, reason: Reason, message: &str) -> Condition {
        let status = if kind == ConditionType::Stalled { "True" } else { "False" };
        let condition = serde_json::json!({
            "type": kind.to_string(), "status": status, "reason": reason.to_string(), "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        serde_json::from_value(condition).expect("a condition")
    }
}
