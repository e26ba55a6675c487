//! How is work on a blocking thread ended from outside?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

/// Ends blocking work: waits on the network end at once, and loops look at the flag. Clones end together.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    token: CancellationToken,
    flag: Arc<AtomicBool>,
}

impl Stop {
    /// Ends the work.
    pub fn now(&self) {
        self.flag.store(true, Ordering::Relaxed);
        self.token.cancel();
    }

    /// Whether the work shall end.
    pub fn is_stopped(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// The flag, for loops of others.
    pub fn flag(&self) -> &AtomicBool {
        &self.flag
    }

    /// Waits until the work shall end.
    pub(super) async fn stopped(&self) {
        self.token.cancelled().await;
    }

    /// Ends the work when the guard goes, as it does when nobody waits for the work any more.
    pub fn on_drop(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }
}

/// See [`Stop::on_drop`].
#[derive(Debug)]
pub struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.now();
    }
}
