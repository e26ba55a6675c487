//! Have the tests of a build passed, and what follows for its image?
//!
//! A gated build pushes under `gw-untested-...`, a tag that nobody looks at but this module. When its tests have passed, `gw-...` is
//! pointed at the same digest, and from there on the image is as any other. That they passed is what their Job says; once that is forgotten,
//! what the image's provenance says.

use super::{Building, Release, stop};
use crate::read::proof::{self, Proof};
use gowindows_crds::conditions::Reason;
use gowindows_model::facts::Build;
use gowindows_model::inputs::Inputs;
use gowindows_model::plan::{Aspect, Write};
use gowindows_model::question::Need;
use gowindows_model::request::Request;
use gowindows_model::wire::stopped::Stopped;
use std::time::Duration;

/// A tag that was moved is asked for after this time.
const CONFIRM: Duration = Duration::from_secs(1);

/// Whether a build of these inputs has to wait for tests. Those that passed already did so for each image of this program.
pub(super) fn is_needed(release: &Release<'_>) -> Result<bool, Need> {
    let Release { world, request, inputs, .. } = release;
    let Some(wanted) = inputs.passed_tests() else { return Ok(false) };
    let passed = |build: &Build| build.has_passed() && build.inputs.as_ref().and_then(Inputs::passed_tests) == Some(wanted);
    if world.builds.iter().any(passed) {
        return Ok(false);
    }
    // The status says where to look, and no more.
    let Some(image) = world.status().image.as_ref().filter(|image| image.tests.as_ref() == Some(wanted)) else { return Ok(true) };
    let proof = proof::of(world, &request.run, &image.digest, |told| told.tests.as_ref() == Some(&wanted.inputs))?;
    Ok(!matches!(proof, Proof::Given(_)))
}

/// Once one of the two Jobs has failed, the other is of no use.
pub(super) fn end_the_other(part: &mut Building, build: &Build, reason: Reason) {
    let [own, tests] = build.to_stop();
    let idle = |job: &str| build.idle.iter().chain(build.test_run().iter().flat_map(|run| &run.idle)).any(|idle| idle == job);
    for (jobs, why) in [(own, Stopped::TestsFailed(reason)), (tests, Stopped::BuildFailed)] {
        for job in jobs {
            stop(part, job, if idle(job) { Stopped::PartFailed(reason) } else { why.clone() });
        }
    }
}

/// Points the tag of tested images at what the build has pushed.
pub(super) fn promote(part: &mut Building, request: &Request, inputs: &Inputs, digest: &str) {
    let repository = request.run.repository.clone();
    part.write(Aspect::Publish, Write::Promote { repository, digest: digest.to_owned(), tag: inputs.tag() });
    part.requeue_after(CONFIRM);
}
