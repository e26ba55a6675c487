//! Is what can be said of the image attached to it, and does it have to be before anything else happens?
//!
//! ```text
//! signing set:   Attest -> MoveTags, Roll       no tag and no workload gets what is not signed, however status was edited
//! not set:       MoveTags, Roll -> Attest       provenance is wanted, and nothing waits for it
//! ```
//!
//! The effect looks at what is attached already, so repeating it writes nothing. Without the Job that built an image nobody can
//! say how it was built: what is attached is taken, and nothing new is written.

use gowindows_crds::conditions::{ConditionType, Reason, find};
use gowindows_crds::v1alpha1::ImageStatus;
use gowindows_model::attest::{Provenance, Witness};
use gowindows_model::facts::{Build, BuildState, World};
use gowindows_model::inputs::Inputs;
use gowindows_model::plan::{Attestation, Effect, Plan};
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use std::time::Duration;

/// So long after a Job's end the words of its pod may still come: a watch that has stalled is noticed after some 320 s.
const PATIENCE: Duration = Duration::from_secs(400);
/// They come with an event; this is for events that are lost.
const LOOK: Duration = Duration::from_secs(10);

pub(super) fn decide(world: &World, request: &Request, settings: &Settings, plan: &mut Plan) {
    let here = |image: &ImageStatus| image.reference == format!("{}@{}", request.repository, image.digest);
    let Some(image) = plan.conclusion.image.clone().filter(here) else { return };
    let signed = is_signed(request, &image);
    let said = image.provenance.is_some() || given_up(world, &image);
    let guarded = |effect: &Effect| matches!(effect, Effect::MoveTags { .. } | Effect::Roll(_));
    if !(signed && said) && is_awaited(world, &image) {
        if request.signing.is_some() {
            plan.effects.retain(|effect| !guarded(effect));
            // Until then the status names no new image, for which the rollout would look again at once.
            plan.next = None;
        }
        plan.look_again(LOOK);
        return;
    }
    let at = match plan.effects.iter().position(guarded) {
        Some(first) if request.signing.is_some() => first,
        _ if !said || !signed => plan.effects.len(),
        _ => return,
    };
    let witness = witness(world, &image);
    let digests = image.platforms.iter().map(|platform| platform.digest.clone()).filter(|digest| *digest != image.digest);
    let attestation = Attestation {
        digests: [image.digest.clone()].into_iter().chain(digests).collect(),
        sbom: witness.and_then(|build| result(build)?.sbom.clone()),
        provenance: witness.and_then(|build| Some(provenance(settings, build, build.inputs.as_ref()?))),
        sign: request.signing.is_some(),
    };
    plan.effects.insert(at, Effect::Attest(Box::new(attestation)));
}

fn is_signed(request: &Request, image: &ImageStatus) -> bool {
    request.signing.is_none() || (image.signature.is_some() && image.signed_by == request.signing)
}

/// A Job has built it a moment ago, and what its pod says has not been seen yet.
fn is_awaited(world: &World, image: &ImageStatus) -> bool {
    let fresh = |build: &Build| build.finished.is_some_and(|finished| world.since(finished) < PATIENCE);
    let fingerprint = image.fingerprint.clone().unwrap_or_default();
    let silent = |build: &&Build| matches!(build.state, BuildState::Succeeded(None)) && fingerprint.starts_with(&build.fingerprint);
    witness(world, image).is_none() && world.builds.iter().filter(silent).any(fresh)
}

/// It was looked for, and there is no Job from which it could be written.
fn given_up(world: &World, image: &ImageStatus) -> bool {
    let same = world.status().image.as_ref().is_some_and(|known| known.digest == image.digest);
    let attested = find(&world.status().conditions, ConditionType::Attested);
    same && witness(world, image).is_none() && attested.is_some_and(|condition| condition.reason == Reason::NotWitnessed.to_string())
}

/// With a key, an image that nobody saw being built is never signed, so it has to be built once more.
pub(super) fn must_be_built_again(world: &World, request: &Request, image: &ImageStatus) -> bool {
    let refused = find(&world.status().conditions, ConditionType::Attested)
        .is_some_and(|attested| attested.reason == Reason::NotWitnessed.to_string());
    !is_signed(request, image) && refused && witness(world, image).is_none() && !is_awaited(world, image)
}

/// The newest Job whose pod says that it pushed this image. What status or a tag says is not enough: others can edit them.
fn witness<'a>(world: &'a World, image: &ImageStatus) -> Option<&'a Build> {
    let fingerprint = image.fingerprint.as_ref()?;
    let built = |build: &&Build| {
        let reported = result(build).is_some_and(|result| result.digest == image.digest);
        reported && fingerprint.starts_with(&build.fingerprint) && build.inputs.is_some()
    };
    world.builds.iter().rev().find(built)
}

fn result(build: &Build) -> Option<&gowindows_model::facts::BuildResult> {
    match &build.state {
        BuildState::Succeeded(result) => result.as_ref(),
        _ => None,
    }
}

/// From what was ordered then: the specification may name another repository by now.
fn provenance(settings: &Settings, build: &Build, inputs: &Inputs) -> Provenance {
    let name = inputs.revision.split_once("@sha1:").map_or(inputs.revision.as_str(), |(name, _)| name);
    Provenance {
        repository: inputs.repository().to_owned(),
        reference: name.to_owned(),
        commit: inputs.commit.clone(),
        parameters: serde_json::to_value(inputs).unwrap_or_default(),
        fingerprint: inputs.fingerprint(),
        bases: inputs.pins().bases,
        // Which image a Dockerfile compiles in is said in it alone, by digest.
        toolchain: inputs.dockerfile.is_none().then(|| inputs.toolchain.clone()),
        program_of: build.program_of.clone(),
        step_image: settings.step_image.clone(),
        engine: build.program_of.is_none().then(|| format!("{:?}", build.engine)),
        witness: Witness {
            job: build.job.clone(),
            uid: build.uid.clone(),
            attempt: build.attempt,
            started: build.created,
            finished: build.finished,
        },
    }
}
