//! How far are a build and its tests together?
//!
//! | build Job | test Job | together |
//! |---|---|---|
//! | failed by itself | any | failed, as the build Job says |
//! | any | failed | failed, as the test Job says; but where the tests do not compile, the compiler has its say first |
//! | succeeded | unfinished | running |
//! | succeeded | passed, or gone | succeeded: what a missing test Job means is for the decision |
//! | else | else | as the build Job says |

use gowindows_crds::conditions::Reason;
use gowindows_model::facts::{Build, BuildState, Run};
use gowindows_model::wire::stopped::Stopped;

/// Joined with what the Job of its tests says; `None`: it is gone.
pub fn tested(mut build: Build, run: Option<Run>) -> Build {
    let Some(tests) = &mut build.tests else { return build };
    tests.run = run;
    let Some(run) = &tests.run else { return build };
    let by_tests = matches!(build.stopped, Some(Stopped::TestsFailed(_)));
    match (&build.state, &run.state) {
        (BuildState::Failed(_), _) if !by_tests => {}
        (_, BuildState::Failed(failure)) if !(build.running && failure.reason == Reason::CompileError) => {
            (build.finished, build.state) = (run.finished, BuildState::Failed(failure.clone()));
        }
        (BuildState::Succeeded(_), BuildState::Queued(_) | BuildState::Running) => {
            (build.finished, build.state) = (None, BuildState::Running);
        }
        (BuildState::Succeeded(_), BuildState::Succeeded(_)) => build.finished = build.finished.max(run.finished),
        _ => {}
    }
    build
}
