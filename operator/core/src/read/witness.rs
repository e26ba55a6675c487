//! Who saw an image being built? The newest Job whose pod says that it pushed this image. What a status or a tag says is not enough: others
//! can edit them.

use gowindows_crds::conditions::{ConditionType, Reason, find};
use gowindows_crds::v1alpha1::ImageStatus;
use gowindows_model::facts::{Build, BuildResult, BuildState, World};
use kube_core::ResourceExt;
use std::time::Duration;

/// So long after a Job's end the words of its pod may still come: a watch that has stalled is noticed after some 320 s.
const PATIENCE: Duration = Duration::from_secs(400);

/// What a pod says comes with an event; this is for events that are lost.
pub(crate) const LOOK: Duration = Duration::from_secs(10);

/// The newest Job whose pod says that it pushed this image, and whose tests have passed where it has some.
pub(crate) fn witness<'a>(world: &'a World, image: &ImageStatus) -> Option<&'a Build> {
    let fingerprint = image.fingerprint.as_ref()?;
    let built = |build: &&Build| {
        let reported = result(build).is_some_and(|result| result.digest == image.digest);
        let passed = build.tests.is_none() || build.has_passed();
        reported && passed && fingerprint.starts_with(&build.fingerprint) && build.inputs.is_some()
    };
    world.builds.iter().rev().find(built)
}

/// The object as it stands in provenance: `namespace/name`.
pub(crate) fn object_name(world: &World) -> String {
    format!("{}/{}", world.object.namespace().unwrap_or_default(), world.object.name_any())
}

/// What the pod of a build has reported.
pub(crate) fn result(build: &Build) -> Option<&BuildResult> {
    match &build.state {
        BuildState::Succeeded(result) => result.as_ref(),
        BuildState::Queued(_) | BuildState::Running | BuildState::Failed(_) => None,
    }
}

/// A Job has built it a moment ago, and what its pod says has not been seen yet.
pub(crate) fn is_awaited(world: &World, image: &ImageStatus) -> bool {
    let fingerprint = image.fingerprint.clone().unwrap_or_default();
    let of_it = |build: &&Build| fingerprint.starts_with(&build.fingerprint);
    witness(world, image).is_none() && world.builds.iter().filter(of_it).any(|build| may_still_tell(world, build))
}

/// The build ended well a moment ago, and what its pod says has not been seen yet.
pub(crate) fn may_still_tell(world: &World, build: &Build) -> bool {
    let fresh = build.finished.is_some_and(|finished| world.since(finished) < PATIENCE);
    fresh && matches!(build.state, BuildState::Succeeded(None))
}

/// It was looked for, and there is no Job from which provenance could be written.
pub(crate) fn given_up(world: &World, image: &ImageStatus) -> bool {
    let same = world.status().image.as_ref().is_some_and(|known| known.digest == image.digest);
    same && witness(world, image).is_none() && was_not_witnessed(world)
}

/// Whether an image needs no signature, or has one with the key of this Secret.
pub(crate) fn is_signed(key: Option<&String>, image: &ImageStatus) -> bool {
    key.is_none() || (image.signature.is_some() && image.signed_by.as_ref() == key)
}

/// With a key, an image that nobody saw being built is never signed, so it has to be built once more.
pub(crate) fn must_be_built_again(world: &World, key: Option<&String>, image: &ImageStatus) -> bool {
    !is_signed(key, image) && was_not_witnessed(world) && witness(world, image).is_none() && !is_awaited(world, image)
}

fn was_not_witnessed(world: &World) -> bool {
    let attested = find(&world.status().conditions, ConditionType::Attested);
    attested.is_some_and(|condition| condition.reason == Reason::NotWitnessed.to_string())
}
