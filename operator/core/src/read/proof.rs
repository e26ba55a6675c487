//! Which image is this? What its provenance at the registry says of it. A status, a label and a tag are what others can write.
//!
//! With a key, provenance counts that was signed with it and names this repository and this object: a signed image of another one, or of an
//! older commit, stays that whatever tag leads to it. Without one, whoever may push can have written it.

use super::witness::object_name;
use gowindows_crds::conditions::Reason;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::ImageStatus;
use gowindows_model::attest::Testimony;
use gowindows_model::facts::{Seen, Trouble, World};
use gowindows_model::inputs::Inputs;
use gowindows_model::question::Need;
use gowindows_model::request::RunRequest;
use k8s_openapi::jiff::Timestamp;

/// What is said of an image.
pub(crate) enum Proof {
    /// This.
    Given(Box<Testimony>),
    /// Nothing that counts.
    Missing,
    /// It could not be looked at.
    Unknown(Trouble),
}

/// Whether this image at the registry is of these inputs, and has passed their tests.
pub(crate) fn of_inputs(world: &World, run: &RunRequest, inputs: &Inputs, image: &ImageStatus) -> Result<Proof, Need> {
    of(world, run, &image.digest, |told| {
        // Which program an image holds is noted in it, but for one that a Dockerfile makes.
        let same_program =
            image.binary.as_ref().is_none_or(|noted| told.program.as_ref().is_some_and(|program| program.sha256 == noted.sha256));
        told.fingerprint == inputs.fingerprint() && told.tests.as_ref() == inputs.passed_tests().map(|tests| &tests.inputs) && same_program
    })
}

/// What provenance of this digest says, if some counts and is as is wanted.
pub(crate) fn of(world: &World, run: &RunRequest, digest: &str, is_wanted: impl Fn(&Testimony) -> bool) -> Result<Proof, Need> {
    world.ask(vec![run.provenance(digest)])?;
    let names_it = |told: &&Testimony| {
        let (image, object) = (told.image.as_ref(), told.object.as_ref());
        run.signing.is_none() || (image == Some(&run.repository.name) && object == Some(&object_name(world)))
    };
    Ok(match seen(world, digest) {
        Ok(told) => {
            told.iter().filter(names_it).find(|told| is_wanted(told)).map_or(Proof::Missing, |told| Proof::Given(Box::new(told.clone())))
        }
        Err(trouble) if is_final(&trouble) => Proof::Missing,
        Err(trouble) => Proof::Unknown(trouble),
    })
}

/// Why an image of the status is neither tagged nor rolled: others can edit a status, so the registry must serve the digest as the image of these
/// inputs.
pub(crate) fn unconfirmed(world: &World, run: &RunRequest, image: &ImageStatus) -> Result<Option<Trouble>, Need> {
    let trouble = |message| Some(Trouble { reason: Reason::VerificationFailed, message, at: world.now, times: 1 });
    let refused = |what: &str| trouble(format!("{what}; nothing is tagged or rolled. The gowindows.dev/rebuild order publishes it again."));
    let digest = &image.digest;
    let Some(fingerprint) = &image.fingerprint else {
        return Ok(refused(&format!("the status does not say of which inputs {digest} is")));
    };
    let tag = names::fingerprint_tag(fingerprint);
    world.ask(vec![run.published(tag.clone())])?;
    Ok(match world.answers.published.get(&tag) {
        Some(Seen::Fresh(Some(published), _) | Seen::Stale(Some(published), _)) => match published.violations.first() {
            None if published.image.digest == *digest => None,
            None => refused(&format!("the tag {tag} leads to {} and not to {digest}", published.image.digest)),
            Some(violation) => refused(&format!("{digest} breaks a rule ({violation})")),
        },
        Some(Seen::Fresh(None, _) | Seen::Stale(None, _)) => {
            refused(&format!("the registry has no tag {tag}, which should lead to {digest}"))
        }
        Some(Seen::Unknown(trouble)) => Some(trouble.clone()),
        Some(Seen::NotAsked) | None => trouble(format!("the registry has not been asked for {tag} yet")),
    })
}

/// When the build of a digest began, as far as is known; the newest where there were several. Of those that `counts` says.
pub(crate) fn built_at(
    world: &World,
    run: &RunRequest,
    digest: &str,
    counts: impl Fn(&Testimony) -> bool,
) -> Result<Result<Option<Timestamp>, Trouble>, Need> {
    world.ask(vec![run.provenance(digest)])?;
    Ok(seen(world, digest).map(|told| told.iter().filter(|told| counts(told)).filter_map(|told| told.started).max()))
}

/// What a registry says for good about provenance that it has, or cannot have, is that there is none; the rest is waited for.
fn is_final(trouble: &Trouble) -> bool {
    matches!(trouble.reason, Reason::RegistryInvalid | Reason::RegistryAuthFailed | Reason::AssembleFailed)
}

fn seen<'a>(world: &'a World, digest: &str) -> Result<&'a [Testimony], Trouble> {
    match world.answers.provenance.get(digest) {
        Some(Seen::Fresh(told, _)) => Ok(told),
        Some(Seen::Stale(_, trouble) | Seen::Unknown(trouble)) => Err(trouble.clone()),
        Some(Seen::NotAsked) | None => {
            let message = format!("the registry has not been asked for the provenance of {digest} yet");
            Err(Trouble { reason: Reason::VerificationFailed, message, at: world.now, times: 1 })
        }
    }
}
