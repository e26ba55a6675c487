//! What is published, and is what can be said of it attached?
//!
//! ```text
//! signing set:   Attest -> MoveTags, Roll       no tag and no workload gets what is not signed, however status was edited
//! not set:       MoveTags, Roll -> Attest       provenance is wanted, and nothing waits for it
//! ```
//!
//! The write looks at what is attached already, so repeating it changes nothing. Without the Job that built an image nobody can
//! say how it was built: what is attached is taken, and nothing new is written.

mod report;

pub(crate) use report::{conditions, image, previous, warnings};

use crate::pace::{LONGEST_BACKOFF, backoff};
use crate::read::witness::{LOOK, given_up, is_awaited, is_signed, object_name, result, witness};
use crate::read::{proof, unused_releases};
use gowindows_crds::v1alpha1::ImageStatus;
use gowindows_model::attest::{Program, Provenance, Witness};
use gowindows_model::facts::{Build, World};
use gowindows_model::inputs::Inputs;
use gowindows_model::plan::{Aspect, Attestation, Attesting, BuildVerdict, Good, Guard, Part, PublishVerdict, Step, Write};
use gowindows_model::question::Need;
use gowindows_model::request::{Request, RunRequest};
use gowindows_model::settings::Settings;

/// What is published once this plan is performed.
///
/// # Errors
/// What must be known first.
pub(crate) fn decide(world: &World, request: &Request, settings: &Settings, build: &BuildVerdict) -> Result<Part<PublishVerdict>, Need> {
    let Some(newest) = build.image.clone().or_else(|| world.status().image.clone()) else {
        return Ok(Part::new(PublishVerdict::default()));
    };
    let tags = build.published().and_then(|inputs| tags(request, inputs, &newest));
    let mut part = go_on(world, &request.run, settings, newest.clone());
    let Some(tags) = tags else { return Ok(part) };
    match proof::unconfirmed(world, &request.run, &newest)? {
        None => part.steps.push(tags),
        Some(trouble) => {
            part.requeue_after(backoff(trouble.times, LONGEST_BACKOFF, world.spread()));
            part.verdict.unconfirmed = Some(trouble);
        }
    }
    Ok(part)
}

/// What is published, where nothing is done about it.
pub(crate) fn as_recorded(world: &World) -> PublishVerdict {
    PublishVerdict { good: recorded(world), newest: world.status().image.clone(), ..PublishVerdict::default() }
}

/// An image that is published stays so, whatever is decided about others; what can be said of it is attached.
pub(crate) fn go_on(world: &World, run: &RunRequest, settings: &Settings, newest: ImageStatus) -> Part<PublishVerdict> {
    let mut part = Part::new(PublishVerdict::default());
    if newest.reference == run.reference(&newest.digest) {
        attest(world, run, settings, &mut part, &newest);
    }
    part.verdict.note = note(world, settings, &newest);
    // Until it is signed the status names no new image, and targets keep the one before.
    let waits = part.verdict.attestation == Attesting::Awaited && !is_signed(run.signing.as_ref(), &newest);
    part.verdict.good = if waits { recorded(world) } else { good(world, newest.clone()) };
    part.verdict.newest = Some(newest);
    part
}

fn recorded(world: &World) -> Option<Good> {
    world.status().image.clone().and_then(|image| good(world, image))
}

fn good(world: &World, image: ImageStatus) -> Option<Good> {
    Some(Good { image, previous: world.status().previous.clone() })
}

/// The tags that lead elsewhere.
fn tags(request: &Request, inputs: &Inputs, image: &ImageStatus) -> Option<Step> {
    let tags = request.tags(inputs.commit());
    if image.tags == tags || tags.is_empty() {
        return None;
    }
    let write = Write::MoveTags { repository: request.run.repository.clone(), digest: image.digest.clone(), tags };
    Some(Step { aspect: Aspect::Publish, write, acknowledges: None, after: guard(&request.run) })
}

/// With a key nothing is pointed at an image before it is signed.
fn guard(run: &RunRequest) -> Option<Guard> {
    run.signing.as_ref().map(|_| Guard::Signed)
}

fn attest(world: &World, run: &RunRequest, settings: &Settings, part: &mut Part<PublishVerdict>, image: &ImageStatus) {
    let said = image.provenance.is_some() || given_up(world, image);
    if said && is_signed(run.signing.as_ref(), image) {
        // Others can edit a status: with a key, what waits for a signature waits for a look at the registry.
        if run.signing.is_none() {
            return;
        }
    } else if is_awaited(world, image) {
        part.verdict.attestation = Attesting::Awaited;
        part.requeue_after(LOOK);
        return;
    } else {
        part.verdict.attestation = Attesting::Planned;
    }
    let witness = witness(world, image);
    let digests = image.platforms.iter().map(|platform| platform.digest.clone()).filter(|digest| *digest != image.digest);
    let attestation = Attestation {
        digests: [image.digest.clone()].into_iter().chain(digests).collect(),
        sbom: witness.and_then(|build| result(build)?.sbom.clone()),
        fingerprint: image.fingerprint.clone().unwrap_or_default(),
        object: object_name(world),
        provenance: witness.and_then(|build| Some(provenance(world, run, settings, build, build.inputs.as_ref()?))),
    };
    let (repository, key) = (run.repository.clone(), run.signing.clone());
    part.write(Aspect::Attest, Write::Attest { repository, attestation: Box::new(attestation), key });
}

fn note(world: &World, settings: &Settings, image: &ImageStatus) -> Option<String> {
    let versions: Vec<&str> = image.platforms.iter().map(|platform| platform.os_version.as_str()).collect();
    unused_releases(&world.nodes, &versions, &settings.releases())
}

/// From what was ordered then: the specification may name another repository by now.
fn provenance(world: &World, run: &RunRequest, settings: &Settings, build: &Build, inputs: &Inputs) -> Provenance {
    // The Job has a name too, in an annotation that no label or name of it is a hash of.
    let revision = world.answers.source.value().filter(|revision| revision.commit == inputs.commit());
    let binary = result(build).and_then(|result| result.binary.as_ref());
    Provenance {
        repository: inputs.repository().to_owned(),
        reference: revision.map(|revision| revision.name.clone()),
        commit: inputs.commit().to_owned(),
        parameters: inputs.value().clone(),
        fingerprint: inputs.fingerprint().to_owned(),
        image: run.repository.name.clone(),
        object: object_name(world),
        program: binary.map(|binary| Program { inputs: inputs.program_fingerprint().to_owned(), sha256: binary.sha256.clone() }),
        tests: inputs.passed_tests().cloned(),
        bases: inputs.pins().bases,
        // Which image a Dockerfile compiles in is said in it alone, by digest.
        toolchain: inputs.dockerfile.is_none().then(|| inputs.toolchain.clone()),
        program_of: build.program_of.clone(),
        step_image: settings.step_image.clone(),
        engine: build.program_of.is_none().then(|| build.engine.as_str().to_owned()),
        witness: Witness {
            job: build.job.clone(),
            uid: build.uid.clone(),
            attempt: build.attempt,
            started: build.created,
            finished: build.finished,
        },
    }
}
