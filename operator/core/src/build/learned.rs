//! What have the builds of an object shown? The memory that they need, and how long their stages take.

use gowindows_crds::durations::{go_duration, seconds};
use gowindows_crds::v1alpha1::{HistoryEntry, LearnedStatus, StageStatus, StageTimes};
use gowindows_model::facts::Build;
use gowindows_model::plan::{SpecVerdict, Verdicts};
use gowindows_model::wire::stages::STAGES;
use k8s_openapi::jiff::SignedDuration;
use std::collections::BTreeMap;

/// What is known now. A pass that came to no builds changes nothing of it.
pub(super) fn learned(verdicts: &Verdicts, history: &[HistoryEntry], before: Option<LearnedStatus>) -> Option<LearnedStatus> {
    if !matches!(verdicts.spec, SpecVerdict::Accepted(_)) {
        return before;
    }
    let stages = STAGES.iter().filter_map(|stage| times(stage, history)).collect();
    Some(LearnedStatus { memory: verdicts.build.learned.clone(), stages }).filter(|learned| *learned != LearnedStatus::default())
}

/// How long the stages of a build took that have ended.
pub(super) fn taken(build: &Build) -> BTreeMap<String, String> {
    let ended = |stage: &StageStatus| {
        let (from, to) = (stage.started_at.as_ref()?.0, stage.finished_at.as_ref()?.0);
        Some((stage.name.clone(), go_duration(to.duration_since(from))))
    };
    build.all_stages().iter().filter_map(ended).collect()
}

fn times(stage: &str, history: &[HistoryEntry]) -> Option<StageTimes> {
    let good = history.iter().filter(|entry| entry.result == "Succeeded");
    let mut taken: Vec<i64> = good.filter_map(|entry| seconds(entry.stages.get(stage)?)).collect();
    taken.sort_unstable();
    let builds = i32::try_from(taken.len()).ok()?;
    // The smallest that so many of a hundred do not exceed.
    let percentile = |percent: usize| {
        let rank = (taken.len() * percent).div_ceil(100).max(1);
        taken.get(rank - 1).map(|seconds| go_duration(SignedDuration::from_secs(*seconds)))
    };
    Some(StageTimes { name: stage.to_owned(), builds, median: percentile(50)?, p90: percentile(90)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_times_are_those_of_good_builds() {
        let entry = |result: &str, compile: &str| HistoryEntry {
            result: result.into(),
            stages: [("compile".to_owned(), compile.to_owned())].into(),
            ..HistoryEntry::default()
        };
        let mut history: Vec<_> = ["16s", "1m5s", "2s", "20s"].map(|compile| entry("Succeeded", compile)).into();
        history.push(entry("Timeout", "30m0s"));
        let told = times("compile", &history).expect("times");
        assert_eq!((told.builds, told.median.as_str(), told.p90.as_str()), (4, "16s", "1m5s"));
        assert_eq!(times("test", &history), None);
    }
}
