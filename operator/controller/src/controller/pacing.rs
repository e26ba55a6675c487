//! How long until something that failed is tried again?
//!
//! Doubling waits with a ceiling, spread by a hash and not by chance: what runs in a simulation can be replayed.

use kube::ResourceExt;
use kube::runtime::utils::Backoff;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The first wait of a pass, and the longest one.
const PASS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// The first wait of a watch, and the longest one.
const WATCH: (Duration, Duration) = (Duration::from_millis(800), Duration::from_secs(30));

/// How often passes failed in a row, by object.
#[derive(Default)]
pub struct Pacing {
    failures: Mutex<HashMap<String, u32>>,
}

impl Pacing {
    /// A pass over an object failed: when to try again.
    pub(super) fn failed(&self, object: &impl ResourceExt) -> Duration {
        let uid = object.uid().unwrap_or_default();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let times = failures.entry(uid.clone()).or_default();
        *times = times.saturating_add(1);
        wait(PASS, *times, spread(&uid))
    }

    /// A pass over an object ended well, or the object is gone.
    pub(super) fn succeeded(&self, uid: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// A watch that went well for so long starts with short waits again. Not sooner: each list that is refused a watch afterwards went well.
const WELL: Duration = Duration::from_secs(120);

/// The waits of one watch.
pub(super) struct WatchBackoff {
    spread: f64,
    times: u32,
    last: Option<Instant>,
}

impl WatchBackoff {
    /// For the watch of a kind.
    pub(super) fn new(kind: &str) -> Self {
        Self { spread: spread(kind), times: 0, last: None }
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.last.is_some_and(|last| last.elapsed() > WELL) {
            self.times = 0;
        }
        self.times = self.times.saturating_add(1);
        let wait = wait(WATCH, self.times, self.spread);
        self.last = Some(Instant::now() + wait);
        Some(wait)
    }
}

impl Backoff for WatchBackoff {
    /// Called after each event, which says little.
    fn reset(&mut self) {}
}

fn wait((first, longest): (Duration, Duration), times: u32, spread: f64) -> Duration {
    let doubled = first.saturating_mul(1 << times.saturating_sub(1).min(16));
    doubled.min(longest).mul_f64(1.0 + spread / 5.0)
}

/// A fraction in 0..1 of a name's own (FNV-1a).
fn spread(name: &str) -> f64 {
    let hash = name.bytes().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
    f64::from(hash) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_a_ceiling_and_start_anew() {
        let mut watch = WatchBackoff::new("Job");
        let waits: Vec<Duration> = watch.by_ref().take(9).collect();
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
        assert!(waits[0] >= WATCH.0 && waits[8] <= WATCH.1.mul_f64(1.2) && waits[8] >= WATCH.1, "{waits:?}");
        watch.reset();
        assert_eq!(watch.next(), Some(waits[8]), "one good event does not make a good watch");
        tokio::time::advance(waits[8] + WELL + Duration::from_secs(1)).await;
        assert_eq!(watch.next(), Some(waits[0]));
    }

    #[test]
    fn each_object_has_its_own_pace() {
        let object = |uid: &str| {
            let mut object = k8s_openapi::api::core::v1::ConfigMap::default();
            object.metadata.uid = Some(uid.into());
            object
        };
        let pacing = Pacing::default();
        let first = pacing.failed(&object("a"));
        assert!(pacing.failed(&object("a")) > first);
        assert!(pacing.failed(&object("b")) < first.mul_f64(1.3));
        pacing.succeeded("a");
        assert_eq!(pacing.failed(&object("a")), first);
    }
}
