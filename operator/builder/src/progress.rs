//! What does somebody who waits for a build see of it?

use gowindows_clients::oci::Progress;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Somebody waits: no silence is longer than this.
const SHOW_EVERY: Duration = Duration::from_secs(2);

/// Takes lines for people.
pub type Say<'a> = &'a (dyn Fn(String) + Send + Sync);

/// Waits for a transfer and says every two seconds how far it is.
pub(super) async fn shown<T, E>(
    label: &str,
    total: u64,
    progress: &Progress,
    say: Say<'_>,
    transfer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::pin!(transfer);
    loop {
        match tokio::time::timeout(SHOW_EVERY, &mut transfer).await {
            Ok(result) => {
                if result.is_ok() {
                    say(format!("{label}: {}", megabytes(total)));
                }
                return result;
            }
            Err(_) => say(format!("{label}: {} of {}", megabytes(progress.load(Ordering::Relaxed)), megabytes(total))),
        }
    }
}

/// `2.4 MB`: decimal, as registries and networks count.
pub fn megabytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
