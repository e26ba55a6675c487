//! What is said of what is published?

use crate::wording::short_revision;
use gowindows_crds::conditions::{ConditionType, Reason, Truth, Verdict, find};
use gowindows_crds::v1alpha1::{ImageStatus, PreviousImage};
use gowindows_model::call_error::CallError;
use gowindows_model::facts::{Attested, World};
use gowindows_model::plan::{Aspect, BuildProgress, Outcome, Plan, Verdicts};
use windows_image::warnings;

/// The last good image. With a key it is a signed one: others take the digest from here.
pub(crate) fn image(plan: &Plan, outcome: &Outcome, before: Option<&ImageStatus>) -> Option<ImageStatus> {
    let mut image = plan.verdicts.publish.newest.clone()?;
    let signing = plan.verdicts.spec.run().and_then(|run| run.signing.clone());
    if let Some(Attested { sbom, provenance, signature }) = &outcome.attested {
        (image.sbom, image.provenance) = (sbom.clone(), provenance.clone());
        if signing.is_some() {
            (image.signature, image.signed_by) = (signature.clone(), signing.clone());
        }
    }
    if let Some(CallError { reason: Reason::NotWitnessed, .. }) = outcome.of(plan, Aspect::Attest) {
        // Whatever the status said of a signature.
        (image.provenance, image.signature, image.signed_by) = (None, None, None);
    }
    let new = before.is_none_or(|before| before.digest != image.digest);
    if new && signing.is_some() && image.signature.is_none() {
        return before.cloned();
    }
    if let Some(tags) = &outcome.tagged {
        image.tags.clone_from(tags);
    }
    Some(image)
}

pub(crate) fn previous(before: Option<&ImageStatus>, now: Option<&ImageStatus>) -> Option<PreviousImage> {
    let before = before.filter(|before| now.is_some_and(|now| now.digest != before.digest))?;
    Some(PreviousImage { reference: before.reference.clone(), digest: before.digest.clone(), revision: before.revision.clone() })
}

/// `Published`, and `Attested` and `ImageWarnings` where there is something to say.
pub(crate) fn conditions(world: &World, plan: &Plan, outcome: &Outcome, image: Option<&ImageStatus>) -> Vec<Verdict> {
    let always = published(plan, outcome, image);
    [always].into_iter().chain(attested(world, plan, outcome, image)).chain(warnings(plan, image)).collect()
}

fn published(plan: &Plan, outcome: &Outcome, image: Option<&ImageStatus>) -> Verdict {
    let Verdicts { build, publish, rollout, .. } = &plan.verdicts;
    let verdict = |truth, reason, message: String| Verdict::new(ConditionType::Published, truth, reason, message);
    if let Some(error) = outcome.of(plan, Aspect::Publish) {
        return verdict(Truth::Unknown, error.reason, format!("The tags could not be moved: {}", error.message));
    }
    match (image, publish.unconfirmed.as_ref().or(rollout.unconfirmed.as_ref()).or(build.registry.as_ref())) {
        (_, Some(trouble)) => verdict(Truth::Unknown, trouble.reason, trouble.message.clone()),
        (Some(image), None) => {
            let revision = image.revision.as_deref().map(short_revision).unwrap_or_default();
            let note = publish.note.as_ref().map(|note| format!(" {note}")).unwrap_or_default();
            verdict(Truth::True, Reason::Succeeded, format!("{} serves {revision}.{note}", image.reference))
        }
        (None, None) => match &build.progress {
            BuildProgress::Failed { reason: reason @ (Reason::VerificationFailed | Reason::RegistryAuthFailed), message, .. } => {
                verdict(Truth::False, *reason, message.clone())
            }
            _ => verdict(Truth::Unknown, Reason::Progressing, "No image is published yet.".into()),
        },
    }
}

/// What is attached to the newest image; no verdict while there is none.
fn attested(world: &World, plan: &Plan, outcome: &Outcome, image: Option<&ImageStatus>) -> Option<Verdict> {
    let newest = plan.verdicts.publish.newest.as_ref()?;
    let verdict = |truth, reason, message: String| Some(Verdict::new(ConditionType::Attested, truth, reason, message));
    let signing = plan.verdicts.spec.run().is_some_and(|run| run.signing.is_some());
    if let Some(error) = outcome.of(plan, Aspect::Attest) {
        // That a registry is away says nothing about the image.
        let truth = if error.reason == Reason::RegistryUnreachable { Truth::Unknown } else { Truth::False };
        let held = if signing { " No tag is moved and nothing is rolled before it is signed." } else { "" };
        return verdict(truth, error.reason, format!("{}{held}", error.message));
    }
    let image = image.filter(|image| image.digest == newest.digest).unwrap_or(newest);
    match (&image.provenance, &image.signature) {
        (Some(_), None) if !signing => verdict(Truth::True, Reason::Succeeded, format!("{} has provenance.", image.digest)),
        (Some(_), Some(_)) => verdict(Truth::True, Reason::Succeeded, format!("{} has provenance and is signed.", image.digest)),
        _ if outcome.attested.is_some() => verdict(
            Truth::False,
            Reason::NotWitnessed,
            format!("{} has no provenance: the Job that built it is gone. The gowindows.dev/rebuild order builds it again.", image.digest),
        ),
        _ => {
            let known = world.status().image.as_ref().is_some_and(|known| known.digest == image.digest);
            let before = find(&world.status().conditions, ConditionType::Attested).filter(|before| known && before.status == "False");
            match before {
                Some(before) => verdict(Truth::False, before.reason.parse().unwrap_or(Reason::Progressing), before.message.clone()),
                None => verdict(Truth::Unknown, Reason::Progressing, format!("Nothing is attached to {} yet.", image.digest)),
            }
        }
    }
}

/// What may not work in the last good image. Never in the way of Ready: it may work all the same.
pub(crate) fn warnings(plan: &Plan, image: Option<&ImageStatus>) -> Option<Verdict> {
    let mut texts = warnings::texts(&image?.warnings);
    let excess = plan.verdicts.spec.request().and_then(|request| request.budget.excess(image?));
    texts.extend(excess.map(|excess| format!("The image is larger than it should be: {excess}.")));
    (!texts.is_empty()).then(|| Verdict::new(ConditionType::ImageWarnings, Truth::True, Reason::WarningsFound, texts.join(" ")))
}
