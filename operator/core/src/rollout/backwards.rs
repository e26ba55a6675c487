//! Would a roll take a workload back? While the newest inputs have no image, what is rolled is what the status names, and others can edit a status:
//! an older image of ours has a tag and a signature as good as any (security.md, H9).

use crate::read::proof;
use gowindows_crds::conditions::Reason;
use gowindows_crds::v1alpha1::ImageStatus;
use gowindows_model::facts::{Trouble, World};
use gowindows_model::plan::Roll;
use gowindows_model::question::Need;
use gowindows_model::request::RunRequest;

/// Why what runs is left alone: by their provenance the image is no newer than it. What is no image of this repository may be replaced.
pub(super) fn trouble(world: &World, run: &RunRequest, image: &ImageStatus, roll: &Roll) -> Result<Option<Trouble>, Need> {
    let containers = world.workloads.get(roll.index).into_iter().flatten().flat_map(|workload| &workload.containers);
    let runs = containers.filter(|container| container.name == roll.container).map(|container| container.image.as_str()).next();
    let Some(runs) = runs.and_then(|runs| runs.strip_prefix(&run.reference(""))) else { return Ok(None) };
    let (ours, theirs) = match (proof::built_at(world, run, &image.digest)?, proof::built_at(world, run, runs)?) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(trouble), _) | (_, Err(trouble)) => return Ok(Some(trouble)),
    };
    if ours.zip(theirs).is_some_and(|(ours, theirs)| ours > theirs) {
        return Ok(None);
    }
    let message = format!(
        "{} {} runs {runs}, and no provenance says that {} was built later; it is left alone until the newest source is built.",
        roll.kind.as_str(),
        roll.name,
        image.digest
    );
    Ok(Some(Trouble { reason: Reason::VerificationFailed, message, at: world.now, times: 1 }))
}
