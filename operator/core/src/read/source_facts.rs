//! What does the `source` stage of a build tell beside its end?
//!
//! Facts for people: nothing is decided by them. Stages of older versions tell less, those of newer ones perhaps more.

use gowindows_crds::v1alpha1::CacheStatus;
use gowindows_model::facts::SourceFacts;
use gowindows_model::wire::source::CacheFacts;
use k8s_openapi::api::core::v1::ContainerStateTerminated;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    context_bytes: Option<u64>,
    cache: Option<CacheFacts>,
}

/// The facts in a termination message.
pub(super) fn facts(ended: &ContainerStateTerminated) -> SourceFacts {
    let said = ended.message.as_deref().filter(|_| ended.exit_code == 0);
    let Some(Told { context_bytes, cache }) = said.and_then(|said| serde_json::from_str(said.trim()).ok()) else {
        return SourceFacts::default();
    };
    SourceFacts { context_bytes: context_bytes.and_then(|bytes| i64::try_from(bytes).ok()), cache: cache.and_then(status) }
}

fn status(facts: CacheFacts) -> Option<CacheStatus> {
    let CacheFacts { hit, bytes, since, at_least } = facts;
    let since = since.and_then(|seconds| Timestamp::from_second(seconds).ok()).map(Time);
    Some(CacheStatus { hit, bytes: i64::try_from(bytes).ok()?, since, at_least })
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use super::*;
    use gowindows_model::facts::BuildState;
    use gowindows_model::wire::source::{SourceInfo, SourceReport};
    use gowindows_model::wire::stages::SOURCE;
    use k8s_openapi::api::batch::v1::Job;
    use k8s_openapi::api::core::v1::Pod;
    use std::sync::Arc;

    fn of(exit_code: i32, message: &str) -> SourceFacts {
        facts(&ContainerStateTerminated { exit_code, message: Some(message.into()), ..ContainerStateTerminated::default() })
    }

    #[test]
    fn what_the_stage_writes_is_read() {
        let cache = CacheFacts { hit: true, bytes: 150_000_000, since: Some(1_767_225_600), at_least: true };
        let info = SourceInfo { context_bytes: 40_000, cache: Some(cache), ..SourceInfo::default() };
        let text = serde_json::to_string(&SourceReport::Done(info.clone())).expect("JSON");
        let since = "2026-01-01T00:00:00Z".parse().map(Time).ok();
        let cache = CacheStatus { hit: true, bytes: 150_000_000, since, at_least: true };
        assert_eq!(of(0, &text), SourceFacts { context_bytes: Some(40_000), cache: Some(cache) });
        assert_eq!(of(1, &text), SourceFacts::default(), "it did not end well");
        let text = serde_json::to_string(&SourceReport::Done(SourceInfo { cache: None, ..info })).expect("JSON");
        assert_eq!(of(0, &text), SourceFacts { context_bytes: Some(40_000), cache: None });
    }

    #[test]
    fn it_is_told_while_the_others_still_run_and_not_without_the_pod() {
        let ended = serde_json::json!({"exitCode": 0, "message": r#"{"contextBytes":7}"#});
        let pod = serde_json::json!({"status": {"initContainerStatuses": [
            {"name": SOURCE, "state": {"terminated": ended}, "ready": false, "restartCount": 0, "image": "", "imageID": ""},
        ]}});
        let (job, pod) = (Job::default(), Arc::new(serde_json::from_value::<Pod>(pod).expect("a pod")));
        let known = run(&job, &[pod]);
        assert_eq!((known.state, known.facts.context_bytes), (BuildState::Running, Some(7)));
        assert_eq!(run(&job, &[]).facts, SourceFacts::default());
    }

    #[test]
    fn other_versions_say_less_or_more() {
        let older = r#"{"commit":"c","commitTime":1,"module":"m","goDirective":null,"treeHash":"t","bytes":5,"files":1}"#;
        assert_eq!(of(0, older), SourceFacts::default());
        let newer = r#"{"contextBytes":7,"cache":{"hit":false,"bytes":0,"evicted":3},"submodules":2}"#;
        let cache = CacheStatus { hit: false, bytes: 0, since: None, at_least: false };
        assert_eq!(of(0, newer), SourceFacts { context_bytes: Some(7), cache: Some(cache) });
    }

    #[test]
    fn what_cannot_be_is_not_believed() {
        for text in ["", "source: fetched", "[]", r#"{"contextBytes":-1}"#, r#"{"cache":{"hit":"yes"}}"#] {
            assert_eq!(of(0, text), SourceFacts::default(), "{text}");
        }
        let odd = r#"{"contextBytes":18446744073709551615,"cache":{"hit":true,"bytes":1,"since":9223372036854775807}}"#;
        let cache = CacheStatus { hit: true, bytes: 1, since: None, at_least: false };
        assert_eq!(of(0, odd), SourceFacts { context_bytes: None, cache: Some(cache) });
    }
}
