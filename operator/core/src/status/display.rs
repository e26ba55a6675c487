//! Which strings do the printed columns show?

use crate::wording::{bytes, short_digest, short_revision};
use gowindows_crds::v1alpha1::{Display, ImageStatus, RolloutPhase, RolloutStatus};

pub(super) fn columns(newest: Option<&str>, image: Option<&ImageStatus>, rollout: Option<&RolloutStatus>) -> Display {
    let newest = newest.map(str::to_owned);
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
