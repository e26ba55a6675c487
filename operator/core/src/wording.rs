//! How are sizes, times and revisions written for people?

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// `512 B`, `2.4 MB`, `1.9 GB`: decimal units, as registries and downloads count.
pub(crate) fn bytes(count: i64) -> String {
    let (mut value, mut unit) = (count as f64, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") }
}

/// `main@4f1c2e7` of `main@sha1:4f1c2e7...`; a pinned commit stands alone.
pub(crate) fn short_revision(revision: &str) -> String {
    match revision.split_once("@sha1:") {
        Some((name, commit)) if name == commit => short(commit, 7),
        Some((name, commit)) => format!("{name}@{}", short(commit, 7)),
        None => revision.to_owned(),
    }
}

/// The first 12 hex digits of a digest.
pub(crate) fn short_digest(digest: &str) -> String {
    short(digest.strip_prefix("sha256:").unwrap_or(digest), 12)
}

fn short(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

/// Kubernetes times have whole seconds; a fraction would differ after each round trip.
pub(crate) fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// The same as the API's time.
pub(crate) fn time(at: Timestamp) -> Time {
    Time(whole_second(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(
            [bytes(0), bytes(999), bytes(1_000), bytes(2_437_000), bytes(1_950_000_000)],
            ["0 B", "999 B", "1.0 kB", "2.4 MB", "1.9 GB"].map(String::from)
        );
    }

    #[test]
    fn revisions_are_shortened() {
        let commit = "4f1c2e7aa8b0c9d1e2f3a4b5c6d7e8f901234567";
        assert_eq!(short_revision(&format!("main@sha1:{commit}")), "main@4f1c2e7");
        assert_eq!(short_revision(&format!("{commit}@sha1:{commit}")), "4f1c2e7");
    }
}
