//! What did a build find in its cache? For the metrics, which count each build once.

use gowindows_crds::v1alpha1::{BuildEngine, BuildStatus, CacheStatus, GoWindowsImageStatus};
use gowindows_model::facts::World;
use std::time::Duration;

/// A cache as a build found it.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheFound {
    /// What compiles.
    pub engine: BuildEngine,
    /// What was there.
    pub cache: CacheStatus,
    /// How old the oldest of it was when the build began.
    pub age: Option<Duration>,
}

/// What the newest build found, where this status is the first that says so.
pub fn cache_found(world: &World, status: &GoWindowsImageStatus) -> Option<CacheFound> {
    let BuildStatus { job, cache, started_at, .. } = status.build.as_ref()?;
    let cache = cache.clone()?;
    let known = world.status().build.as_ref().is_some_and(|before| before.job == *job && before.cache.is_some());
    let engine = world.builds.iter().find(|build| build.job == *job)?.engine;
    let age = started_at.as_ref().zip(cache.since.as_ref()).map(|(start, since)| start.0.duration_since(since.0));
    // The clocks of two machines differ.
    let age = age.map(|age| Duration::try_from(age).unwrap_or_default());
    (!known).then_some(CacheFound { engine, cache, age })
}
