//! How far are a build and its tests together?
//!
//! | build Job | test Job | together |
//! |---|---|---|
//! | failed by itself | any | failed, as the build Job says |
//! | any | failed | failed, as the test Job says; but where the tests do not compile, the compiler has its say first |
//! | succeeded | unfinished | running |
//! | succeeded | passed, or gone | succeeded: what a missing test Job means is for the decision |
//! | else | else | as the build Job says |

use super::{Build, BuildState, Run, Turn};
use crate::render::SOURCE;
use gowindows_crds::conditions::Reason;
use gowindows_crds::v1alpha1::StageStatus;

impl Build {
    /// Joined with what the Job of its tests says; `None`: it is gone.
    pub fn tested(mut self, run: Option<Run>) -> Self {
        let Some(tests) = &mut self.tests else { return self };
        tests.run = run;
        let Some(run) = &tests.run else { return self };
        let by_tests = self.stopped.as_ref().is_some_and(|why| why.starts_with("Tests/"));
        match (&self.state, &run.state) {
            (BuildState::Failed(_), _) if !by_tests => {}
            (_, BuildState::Failed(failure)) if !(self.running && failure.reason == Reason::CompileError) => {
                (self.finished, self.state) = (run.finished, BuildState::Failed(failure.clone()));
            }
            (BuildState::Succeeded(_), BuildState::Queued(_) | BuildState::Running) => {
                (self.finished, self.state) = (None, BuildState::Running);
            }
            (BuildState::Succeeded(_), BuildState::Succeeded(_)) => self.finished = self.finished.max(run.finished),
            _ => {}
        }
        self
    }

    /// Its Jobs that have neither ended nor been told to, and wait for none that could still succeed: its own, and those of its tests.
    pub fn to_stop(&self) -> [Vec<&str>; 2] {
        let tests = self.test_run().map(|run| to_stop(run.turn.as_ref(), &run.idle));
        [to_stop(self.turn.as_ref(), &self.idle), tests.unwrap_or_default()]
    }

    /// Its Job, and that of its tests, whose turn it is.
    pub fn turns(&self) -> impl Iterator<Item = &Turn> {
        self.turn.iter().chain(self.test_run().and_then(|run| run.turn.as_ref()))
    }

    /// Whether one of its Jobs has not ended.
    pub fn is_unfinished(&self) -> bool {
        self.running || self.uncounted || self.test_run().is_some_and(|run| run.state.is_active() || run.uncounted)
    }

    /// How its tests get on, where they have a Job that is there.
    pub fn test_run(&self) -> Option<&Run> {
        self.tests.as_ref()?.run.as_ref()
    }

    /// Its own stages, then those of its tests, which fetch the source as well.
    pub fn all_stages(&self) -> Vec<StageStatus> {
        let tests = self.test_run().into_iter().flat_map(|run| &run.stages).filter(|stage| stage.name != SOURCE);
        self.stages.iter().chain(tests).cloned().collect()
    }

    /// Whether its tests ran to a good end.
    pub fn has_passed(&self) -> bool {
        self.test_run().is_some_and(|run| matches!(run.state, BuildState::Succeeded(_)))
    }
}

fn to_stop<'a>(turn: Option<&'a Turn>, idle: &'a [String]) -> Vec<&'a str> {
    turn.map(|turn| turn.job.as_str()).into_iter().chain(idle.iter().map(String::as_str)).collect()
}
