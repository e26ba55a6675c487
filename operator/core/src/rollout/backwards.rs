//! Would a roll take a workload back? While the newest inputs have no image, what is rolled is what the status names, and others can edit a status:
//! an older image of ours has a tag and a signature as good as any (security.md, H9).

use crate::read::proof;
use crate::read::witness::object_name;
use gowindows_crds::conditions::Reason;
use gowindows_crds::v1alpha1::ImageStatus;
use gowindows_model::facts::{Trouble, World};
use gowindows_model::plan::Roll;
use gowindows_model::question::{Need, Question};
use gowindows_model::request::RunRequest;

/// Nothing that is waited for here passes by itself: a commit, an edit or an order wakes the object anyway.
const RARELY: u32 = 7;

/// Asks at once for all that [`trouble`] looks at: a roll each would be a round each.
pub(super) fn ask<'a>(world: &World, run: &RunRequest, image: &ImageStatus, rolls: impl Iterator<Item = &'a Roll>) -> Result<(), Need> {
    let mut questions: Vec<Question> = Vec::new();
    for runs in rolls.filter_map(|roll| running(world, run, roll)) {
        let question = run.provenance(runs);
        if !questions.contains(&question) {
            questions.push(question);
        }
    }
    if questions.is_empty() {
        return Ok(());
    }
    questions.push(run.provenance(&image.digest));
    world.ask(questions)
}

/// Why what runs is left alone: by their provenance the image is no newer than it. What is no image of this repository may be replaced.
pub(super) fn trouble(world: &World, run: &RunRequest, image: &ImageStatus, roll: &Roll) -> Result<Option<Trouble>, Need> {
    let Some(runs) = running(world, run, roll) else { return Ok(None) };
    let object = object_name(world);
    let ours = proof::built_at(world, run, &image.digest, |told| told.may_be_of(&run.repository.name, &object))?;
    let (ours, theirs) = match (ours, proof::built_at(world, run, runs, |_| true)?) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(trouble), _) | (_, Err(trouble)) => return Ok(Some(trouble)),
    };
    if ours.zip(theirs).is_some_and(|(ours, theirs)| ours > theirs) {
        return Ok(None);
    }
    let message = format!(
        "{} {} runs {runs}, and no provenance says that {} was built later; it is left alone until there is an image of the newest source and specification.",
        roll.kind.as_str(),
        roll.name,
        image.digest
    );
    Ok(Some(Trouble { reason: Reason::VerificationFailed, message, at: world.now, times: RARELY }))
}

/// The digest that is to be replaced, where it is an image of this repository.
fn running<'a>(world: &'a World, run: &RunRequest, roll: &Roll) -> Option<&'a str> {
    let mut containers = world.workloads.get(roll.index)?.as_ref()?.containers.iter();
    containers.find(|container| container.name == roll.container)?.image.strip_prefix(&run.reference(""))
}
