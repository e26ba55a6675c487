//! When is something looked at or tried again?

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A moment later by a duration; the far future where that cannot be represented.
pub(crate) fn later(moment: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| moment.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// Exponential back-off: 10 s, 20 s, 40 s ... up to the ceiling, spread by up to a fifth per object.
pub(crate) fn backoff(times: u32, ceiling: Duration, spread: f64) -> Duration {
    let steps = times.saturating_sub(1).min(16);
    let plain = Duration::from_secs(10).saturating_mul(1 << steps).min(ceiling);
    plain.mul_f64(1.0 + spread / 5.0)
}

/// Nothing waits longer for another try.
pub(crate) const LONGEST_BACKOFF: Duration = Duration::from_secs(600);
