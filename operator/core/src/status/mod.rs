//! What does the user see? The whole status: the sections of the aspects, then what summarises them; and the events that tell
//! the difference from the status before.

mod caches;
mod conditions;
mod display;
mod notices;

pub use caches::{CacheFound, cache_found};
pub use notices::{Notice, notices};

use crate::build::BuildSection;
use crate::wording::whole_second;
use crate::{build, publish, rollout};
use gowindows_crds::conditions::merge;
use gowindows_crds::v1alpha1::{GoWindowsImageStatus, Handled};
use gowindows_model::facts::World;
use gowindows_model::plan::{Outcome, Plan};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// The status after a pass.
pub(crate) fn status(world: &World, plan: &Plan, outcome: &Outcome) -> GoWindowsImageStatus {
    let before = world.status();
    let generation = world.object.metadata.generation.unwrap_or_default();
    let image = publish::image(plan, outcome, before.image.as_ref());
    let BuildSection { inputs, build, history, learned } = build::report(world, plan, outcome, image.as_ref());
    let rollout = rollout::report(world, plan, outcome, image.as_ref());
    let verdicts = conditions::verdicts(world, plan, outcome, image.as_ref());
    let now = Time(whole_second(world.now));
    let newest = plan.verdicts.build.inputs.as_ref().map(|inputs| inputs.revision.as_str());
    GoWindowsImageStatus {
        observed_generation: generation,
        conditions: merge(&before.conditions, &verdicts, generation, &now),
        phase: Some(conditions::phase(plan, outcome)),
        inputs: inputs.or_else(|| before.inputs.clone()),
        previous: publish::previous(before.image.as_ref(), image.as_ref()).or_else(|| before.previous.clone()),
        build: build.or_else(|| before.build.clone()),
        learned,
        history,
        handled: handled(plan, outcome, before.handled.clone()),
        display: Some(display::columns(newest, image.as_ref(), rollout.as_ref())),
        image,
        rollout,
    }
}

/// An order is acknowledged once it is carried out.
fn handled(plan: &Plan, outcome: &Outcome, before: Option<Handled>) -> Option<Handled> {
    let mut handled = before.unwrap_or_default();
    for order in outcome.acknowledged(plan) {
        order.acknowledge(&mut handled);
    }
    Some(handled).filter(|handled| *handled != Handled::default())
}

#[cfg(test)]
mod tests;
