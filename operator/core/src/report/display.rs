//! How are sizes, times and columns written for people?

use gowindows_crds::v1alpha1::{Display, ImageStatus, RolloutPhase, RolloutStatus};
use gowindows_model::plan::Conclusion;

/// `512 B`, `2.4 MB`, `1.9 GB`: decimal units, as registries and downloads count.
fn bytes(count: i64) -> String {
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
pub(super) fn short_revision(revision: &str) -> String {
    match revision.split_once("@sha1:") {
        Some((name, commit)) if name == commit => short(commit, 7),
        Some((name, commit)) => format!("{name}@{}", short(commit, 7)),
        None => revision.to_owned(),
    }
}

/// The first 12 hex digits of a digest.
pub(super) fn short_digest(digest: &str) -> String {
    short(digest.strip_prefix("sha256:").unwrap_or(digest), 12)
}

fn short(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

pub(super) fn columns(conclusion: &Conclusion, image: Option<&ImageStatus>, rollout: Option<&RolloutStatus>) -> Display {
    let newest = conclusion.inputs.as_ref().map(|inputs| inputs.revision.clone());
    let revision = image.and_then(|image| image.revision.clone()).or(newest);
    Display {
        revision: revision.as_deref().map(short_revision),
        digest: image.map(|image| short_digest(&image.digest)),
        app: image.and_then(|image| image.platforms.first()).map(|platform| bytes(platform.app_bytes)),
        rollout: rollout.map(rollout_column),
        releases: image.map(|image| {
            let names = image.platforms.iter().map(|platform| platform.release.clone().unwrap_or_else(|| platform.os_version.clone()));
            names.collect::<Vec<_>>().join(", ")
        }),
    }
}

fn rollout_column(rollout: &RolloutStatus) -> String {
    let updated = rollout.targets.iter().filter_map(|target| target.updated.as_deref()?.split_once('/'));
    let counted = updated.filter_map(|(done, wanted)| Some((done.parse::<i64>().ok()?, wanted.parse::<i64>().ok()?)));
    let (done, wanted) = counted.fold((0, 0), |(done, wanted), (d, w)| (done + d, wanted + w));
    let phase = match rollout.phase {
        RolloutPhase::Waiting => return "Waiting".into(),
        RolloutPhase::Progressing => "Progressing",
        RolloutPhase::Complete => "Complete",
        RolloutPhase::Failed => "Failed",
    };
    format!("{phase} {done}/{wanted}")
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
