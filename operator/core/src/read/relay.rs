//! How far are several Jobs in a row together? Only the last is a build, or its tests; what it says is the sum:
//!
//! | the first Job that has not succeeded | together |
//! |---|---|
//! | failed | failed, as it says |
//! | is gone, and its results were not taken over | failed: what it left may be gone too |
//! | else | as it says; the current Job is queued |
//!
//! A Job that is resumed takes over what those before it have left, and from then on they do not matter.

use gowindows_crds::conditions::Reason;
use gowindows_crds::names;
use gowindows_model::facts::{Build, BuildState, Failure, PartJob, Run, SourceFacts};
use gowindows_model::wire::stopped::Stopped;
use k8s_openapi::api::batch::v1::Job;
use kube_core::ResourceExt;
use std::collections::BTreeMap;

/// The Jobs before a Job, of which nothing is known yet.
pub(super) fn parts(job: &Job) -> Vec<PartJob> {
    let names = job.annotations().get(names::ANNOTATION_AFTER).into_iter().flat_map(|names| names.split(','));
    names.map(|name| PartJob { job: name.to_owned(), run: None }).collect()
}

/// Takes what is known of Jobs out of `runs`.
pub(super) fn fill(parts: &mut [PartJob], runs: &mut BTreeMap<String, Run>) {
    for part in parts {
        part.run = runs.remove(&part.job);
    }
}

/// How the last Job gets on together with those before it.
pub(super) fn joined(before: &[PartJob], mut last: Run) -> Run {
    let stages = before.iter().filter_map(|part| part.run.as_ref()).flat_map(|run| run.stages.clone());
    last.stages = stages.chain(last.stages).collect();
    let told = before.iter().filter_map(|part| part.run.as_ref()).map(|run| &run.facts).find(|facts| **facts != SourceFacts::default());
    if let Some(facts) = told {
        last.facts.clone_from(facts);
    }
    let waits = last.current.as_ref().is_some_and(|current| current.since.is_none());
    let waited_in_vain = matches!(last.stopped, Some(Stopped::PartFailed(_)));
    if !waits && !waited_in_vain {
        return last;
    }
    let succeeded = |part: &&PartJob| part.run.as_ref().is_some_and(|run| matches!(run.state, BuildState::Succeeded(_)));
    let Some(part) = before.iter().find(|part| !succeeded(part)) else { return last };
    match &part.run {
        None if waited_in_vain => Run { idle: idle(before, &last), ..last },
        None => {
            let message = format!("Job {} was deleted before its results were taken over.", part.job);
            let failure = Failure { reason: Reason::Lost, stage: None, exit_code: None, message, log_tail: None };
            Run { state: BuildState::Failed(failure), current: None, idle: idle(before, &last), ..last }
        }
        Some(run) => {
            let idle = if matches!(run.state, BuildState::Failed(_)) { idle(before, &last) } else { Vec::new() };
            let (finished, state) = (run.finished, run.state.clone());
            Run { finished, state, stopped: run.stopped.clone(), current: run.current.clone(), idle, ..last }
        }
    }
}

/// The Jobs that wait, and were not told to end.
fn idle(before: &[PartJob], last: &Run) -> Vec<String> {
    let jobs = before.iter().filter_map(|part| part.run.as_ref()).chain([last]).filter_map(|run| run.current.as_ref());
    jobs.filter(|current| current.since.is_none()).map(|current| current.job.clone()).collect()
}

/// Joined with the Jobs before its own.
pub fn relayed(build: Build) -> Build {
    let Build { uid, created, finished, stages, facts, state, uncounted, stopped, current, idle, .. } = build.clone();
    let Run { finished, stages, facts, state, stopped, current, idle, .. } =
        joined(&build.before, Run { uid, created, finished, stages, facts, state, uncounted, stopped, current, idle });
    Build { finished, stages, facts, running: state.is_active(), state, stopped, current, idle, ..build }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gowindows_model::facts::CurrentJob;
    use k8s_openapi::jiff::Timestamp;

    fn run(job: &str, state: BuildState, since: Option<Timestamp>) -> Run {
        let current = state.is_active().then(|| CurrentJob {
            job: job.into(),
            uid: String::new(),
            since,
            has_pod: false,
            evicted: false,
            queued: false,
        });
        let (created, stages, facts) = (Timestamp::UNIX_EPOCH, Vec::new(), SourceFacts::default());
        Run {
            uid: String::new(),
            created,
            finished: None,
            stages,
            facts,
            state,
            uncounted: false,
            stopped: None,
            current,
            idle: Vec::new(),
        }
    }

    /// The state together, and the current Job with whether it is suspended.
    fn together(parts: [Option<Run>; 2], last: Run) -> (BuildState, Option<(String, bool)>) {
        let [source, compile] = parts;
        let before = [PartJob { job: "source".into(), run: source }, PartJob { job: "compile".into(), run: compile }];
        let Run { state, current, .. } = joined(&before, last);
        (state, current.map(|current| (current.job, current.since.is_none())))
    }

    #[test]
    fn the_first_that_has_not_succeeded_speaks() {
        let (now, done) = (Some(Timestamp::UNIX_EPOCH), || BuildState::Succeeded(None));
        let waits = |job: &str| run(job, BuildState::Queued(None), None);
        let failure = Failure { reason: Reason::CompileError, stage: None, exit_code: None, message: String::new(), log_tail: None };
        let table = [
            ([Some(run("source", BuildState::Running, now)), Some(waits("compile"))], BuildState::Running, Some(("source", false))),
            ([Some(run("source", done(), now)), Some(waits("compile"))], BuildState::Queued(None), Some(("compile", true))),
            (
                [Some(run("source", done(), now)), Some(run("compile", BuildState::Queued(Some("no node".into())), now))],
                BuildState::Queued(Some("no node".into())),
                Some(("compile", false)),
            ),
            ([Some(run("source", done(), now)), Some(run("compile", done(), now))], BuildState::Queued(None), Some(("last", true))),
            (
                [Some(run("source", done(), now)), Some(run("compile", BuildState::Failed(failure.clone()), now))],
                BuildState::Failed(failure),
                None,
            ),
        ];
        for (parts, state, current) in table {
            let expected = (state, current.map(|(job, suspended)| (job.to_owned(), suspended)));
            assert_eq!(together(parts.clone(), waits("last")), expected, "{parts:?}");
        }
    }

    #[test]
    fn what_the_first_has_told_is_told_of_all() {
        let facts = SourceFacts { context_bytes: Some(7), cache: None };
        let source = Run { facts: facts.clone(), ..run("source", BuildState::Succeeded(None), None) };
        let part = |job: &str, run| PartJob { job: job.into(), run };
        let before = [part("source", Some(source)), part("compile", Some(run("compile", BuildState::Running, None)))];
        assert_eq!(joined(&before, run("last", BuildState::Queued(None), None)).facts, facts);
        let gone = before.map(|part| PartJob { run: None, ..part });
        assert_eq!(joined(&gone, run("last", BuildState::Running, Some(Timestamp::UNIX_EPOCH))).facts, SourceFacts::default());
    }

    #[test]
    fn what_waits_for_one_that_failed_is_idle_and_ends_with_its_words() {
        let failure = Failure { reason: Reason::Timeout, stage: None, exit_code: None, message: "slow".into(), log_tail: None };
        let part = |job: &str, state, since| PartJob { job: job.into(), run: Some(run(job, state, since)) };
        let failed = part("source", BuildState::Failed(failure.clone()), None);
        let waits = run("last", BuildState::Queued(None), None);
        let idle = joined(&[failed.clone(), part("compile", BuildState::Queued(None), None)], waits).idle;
        assert_eq!(idle, ["compile", "last"]);
        let own = BuildState::Failed(Failure { message: "it was stopped".into(), ..failure.clone() });
        let ended = Run { stopped: Some(Stopped::PartFailed(Reason::Timeout)), ..run("last", own, None) };
        let together = joined(&[failed], ended);
        assert_eq!((together.state, together.idle.len()), (BuildState::Failed(failure), 0));
    }

    #[test]
    fn a_part_that_is_gone_matters_until_its_results_are_taken_over() {
        let (now, done) = (Some(Timestamp::UNIX_EPOCH), run("source", BuildState::Succeeded(None), None));
        let (state, current) = together([Some(done.clone()), None], run("last", BuildState::Queued(None), None));
        let BuildState::Failed(failure) = state else { panic!("{state:?}") };
        assert_eq!((failure.reason, current), (Reason::Lost, None));
        assert!(failure.message.starts_with("Job compile was deleted"), "{}", failure.message);
        for state in [BuildState::Running, BuildState::Succeeded(None)] {
            assert_eq!(together([Some(done.clone()), None], run("last", state.clone(), now)).0, state);
        }
    }
}
