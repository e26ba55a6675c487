//! Does the registry serve the image of these inputs, and may it be used?
//!
//! What a status says is a hint; the registry confirms it, once per image. And what a tag of the registry leads to is taken for the image of these
//! inputs where a Job of ours says that it made it, or provenance does ([`proof`]): whoever may push can point that tag at another one.

use super::{Building, Release, fail, gate, is_of, next_attempt, recorded_attempt, retry};
use crate::pace::{LONGEST_BACKOFF, backoff};
use crate::read::proof::{self, Proof};
use crate::read::witness;
use crate::wording::time;
use gowindows_crds::conditions::Reason;
use gowindows_crds::durations::go_duration;
use gowindows_crds::v1alpha1::{BuildPhase, ImageStatus};
use gowindows_model::facts::{Build, BuildState, Published, Seen, Trouble, World};
use gowindows_model::inputs::Inputs;
use gowindows_model::plan::BuildProgress;
use gowindows_model::question::Need;
use gowindows_model::request::{Request, growth_percent};

impl Release<'_> {
    /// A Job succeeded: the registry must say so too.
    pub(super) fn confirm(&self, part: &mut Building, build: &Build) -> Result<(), Need> {
        let Self { world, request, inputs, .. } = self;
        let BuildState::Succeeded(result) = &build.state else { return Ok(()) };
        let digest = result.as_ref().map(|result| result.digest.as_str());
        if let Some(image) = self.known().filter(|image| digest.is_none_or(|digest| digest == image.digest)) {
            return self.use_image(part, image, Some(build));
        }
        if !self.has_told(build) && witness::may_still_tell(world, build) {
            // What it says comes with an event; this is for one that is lost.
            part.requeue_after(witness::LOOK);
            part.verdict.progress = BuildProgress::Unconfirmed(build.clone());
            return Ok(());
        }
        let tag = inputs.tag();
        world.ask(vec![request.published(tag.clone())])?;
        match world.answers.published.get(&tag) {
            Some(Seen::Fresh(Some(published), _)) if violation(published, digest).is_none() => self.confirm_served(part, build, published),
            Some(Seen::Fresh(..)) if build.tests.is_some() => self.promote(part, build),
            Some(Seen::Fresh(Some(published), _)) => {
                let violation = violation(published, digest).unwrap_or_default();
                fail(part, Some(build), Reason::VerificationFailed, format!("The image is not used: {violation}."));
                Ok(())
            }
            Some(Seen::Fresh(None, _)) => {
                let message = format!("The build succeeded but {}:{tag} is not at the registry any more.", request.repository());
                self.retry(part, build, Reason::Lost, &message)
            }
            other => {
                unconfirmed(world, part, build, other.and_then(Seen::trouble));
                Ok(())
            }
        }
    }

    /// There is no Job for these inputs: they may be published already, be lost, or be new.
    pub(super) fn without_job(&self, part: &mut Building) -> Result<(), Need> {
        let Self { world, request, inputs, .. } = self;
        if let Some(image) = self.known() {
            return self.use_image(part, image, None);
        }
        if let Some((reason, message)) = self.ended_for_good() {
            fail(part, None, reason, message);
            return Ok(());
        }
        let tag = inputs.tag();
        world.ask(vec![request.published(tag.clone())])?;
        match world.answers.published.get(&tag) {
            Some(Seen::Fresh(Some(published), _)) if published.violations.is_empty() => {
                let image = image_of(published, world, Some(inputs), None);
                if self.was_too_large() && request.budget.fails && request.budget.excess(&image).is_some() {
                    // It was seen being built, and nothing more was said of it.
                    return self.accept(part, image, None);
                }
                match proof::of_inputs(world, &request.run, inputs, &published.image)? {
                    Proof::Given(_) => self.accept(part, image, None),
                    Proof::Missing => self.start_next(part),
                    Proof::Unknown(trouble) => {
                        blocked(world, part, &trouble);
                        Ok(())
                    }
                }
            }
            Some(Seen::Unknown(trouble) | Seen::Stale(_, trouble)) if blocks_build(trouble, request) => {
                blocked(world, part, trouble);
                Ok(())
            }
            // Not there, broken, or not readable with credentials that may still push (Docker Hub refuses to read what does not exist).
            _ => self.start_next(part),
        }
    }

    /// The image of these inputs was refused for its size.
    fn was_too_large(&self) -> bool {
        let Self { world, inputs, .. } = self;
        let recorded = world.status().build.as_ref().filter(|build| build.fingerprint == inputs.fingerprint());
        let failure = recorded.and_then(|build| build.failure.as_ref());
        failure.is_some_and(|failure| retry::reason(&failure.reason) == Reason::SizeBudgetExceeded)
    }

    fn start_next(&self, part: &mut Building) -> Result<(), Need> {
        self.start(part, recorded_attempt(self.world, self.inputs.fingerprint()).saturating_add(1), None)
    }

    /// The registry serves what the build may have made.
    fn confirm_served(&self, part: &mut Building, build: &Build, published: &Published) -> Result<(), Need> {
        let Self { world, request, inputs, .. } = self;
        let accept = |part: &mut Building| self.accept(part, image_of(published, world, Some(inputs), Some(build)), Some(build));
        if self.has_told(build) && build.tests.as_ref().is_none_or(|_| build.has_passed()) {
            return accept(part);
        }
        match proof::of_inputs(world, &request.run, inputs, &published.image)? {
            Proof::Given(_) => accept(part),
            Proof::Missing if build.tests.is_some() => self.promote(part, build),
            Proof::Missing => self.retry(part, build, Reason::NotWitnessed, &unseen(&published.image.digest)),
            Proof::Unknown(trouble) => {
                unconfirmed(world, part, build, Some(&trouble));
                Ok(())
            }
        }
    }

    /// Its pod has said what it made. Without a key it is enough that it ended well: whoever may push can substitute an image anyway.
    fn has_told(&self, build: &Build) -> bool {
        self.request.run.signing.is_none() || witness::result(build).is_some()
    }

    /// Why no other attempt is made at inputs whose Job is gone, as it was recorded.
    fn ended_for_good(&self) -> Option<(Reason, String)> {
        let Self { world, request, inputs, .. } = self;
        let recorded = world.status().build.as_ref().filter(|build| build.fingerprint == inputs.fingerprint())?;
        match (recorded.phase, recorded.failure.clone()) {
            // The image is there; whether it is too large is asked again, for the budget may have been raised.
            (BuildPhase::Failed, Some(failure)) if retry::reason(&failure.reason) == Reason::SizeBudgetExceeded => None,
            (BuildPhase::Failed, Some(failure)) if !retry::recovers(&failure.reason) || self.memory_is_hopeless() => {
                Some((retry::reason(&failure.reason), failure.message))
            }
            (BuildPhase::Queued | BuildPhase::Running, _) if recorded.attempt > request.build.retries => {
                let message =
                    format!("Job {} was deleted before it ended, and build.retries ({}) are used up.", recorded.job, request.build.retries);
                Some((Reason::Lost, message))
            }
            (BuildPhase::Queued | BuildPhase::Running | BuildPhase::Succeeded | BuildPhase::Failed, _) => None,
        }
    }

    /// Where the status was lost while something else is built, the last good image is that of the newest build before, if the registry
    /// has it and the targets run it. Nothing else: a guess would be rolled out.
    pub(super) fn recover(&self, part: &mut Building) -> Result<(), Need> {
        let Self { world, request, inputs, .. } = self;
        if part.verdict.image.is_some() || world.status().image.is_some() {
            return Ok(());
        }
        let before = |build: &&Build| !is_of(build, inputs) && !matches!(build.state, BuildState::Failed(_));
        let newest = world.builds.iter().rev().find(before).filter(|build| matches!(build.state, BuildState::Succeeded(_)));
        let Some((build, inputs)) = newest.and_then(|build| Some((build, build.inputs.as_ref()?))) else { return Ok(()) };
        let tag = inputs.tag();
        if !world.answers.published.contains_key(&tag) {
            world.ask(vec![request.published(tag.clone())])?;
        }
        let mut containers = world.workloads.iter().flatten().flat_map(|workload| &workload.containers);
        let mut runs = |image: &ImageStatus| containers.any(|container| container.image == image.reference);
        let served = world.answers.published.get(&tag).and_then(Seen::value).and_then(Option::as_ref);
        let good = served.filter(|served| served.violations.is_empty() && (request.run.targets.is_empty() || runs(&served.image)));
        part.verdict.image = good.map(|good| image_of(good, world, Some(inputs), Some(build)));
        Ok(())
    }

    /// The last good image, if it is of these inputs and in this repository.
    fn known(&self) -> Option<ImageStatus> {
        let Self { world, request, inputs, .. } = self;
        let image = world.status().image.clone()?;
        let here = image.reference == request.run.reference(&image.digest);
        // Others can edit a status: where the registry says otherwise, it is believed.
        let served = world.answers.published.get(&inputs.tag()).and_then(Seen::value);
        let contradicted = served.and_then(Option::as_ref).is_some_and(|served| served.image.digest != image.digest);
        (here && !contradicted && image.fingerprint.as_deref() == Some(inputs.fingerprint())).then_some(image)
    }

    /// An image that is seen for the first time may be larger than its owner wants; one that is in use stays.
    fn accept(&self, part: &mut Building, mut image: ImageStatus, build: Option<&Build>) -> Result<(), Need> {
        let Self { world, request, .. } = self;
        image.delta_percent = match &world.status().image {
            Some(before) if before.digest == image.digest => before.delta_percent,
            before => before.as_ref().and_then(|before| growth_percent(&image, before)),
        };
        match request.budget.excess(&image).filter(|_| request.budget.fails) {
            Some(excess) => {
                let message = format!("The image is not used: {excess}. Make the program smaller, or raise the budget.");
                fail(part, build, Reason::SizeBudgetExceeded, message);
                Ok(())
            }
            None => self.use_image(part, image, build),
        }
    }

    /// It is what the inputs are to become, unless it must be signed and nobody saw how it came about.
    fn use_image(&self, part: &mut Building, image: ImageStatus, build: Option<&Build>) -> Result<(), Need> {
        let Self { world, request, inputs, .. } = self;
        if witness::must_be_built_again(world, request.run.signing.as_ref(), &image) {
            return self.start(part, next_attempt(world, inputs), None);
        }
        part.verdict.image = Some(image);
        part.verdict.progress = BuildProgress::Published(build.cloned());
        Ok(())
    }

    /// The build succeeded, and its image is not published yet: it is, now that its tests have passed.
    fn promote(&self, part: &mut Building, build: &Build) -> Result<(), Need> {
        let Self { world, request, inputs, .. } = self;
        let BuildState::Succeeded(result) = &build.state else { return Ok(()) };
        if !build.has_passed() {
            let message = "The Job of the build's tests was deleted before the image was published.";
            return self.retry(part, build, Reason::Lost, message);
        }
        let waiting = inputs.untested_tag();
        world.ask(vec![request.published(waiting.clone())])?;
        match world.answers.published.get(&waiting) {
            Some(Seen::Fresh(Some(pushed), _)) if !self.has_told(build) => {
                return self.retry(part, build, Reason::NotWitnessed, &unseen(&pushed.image.digest));
            }
            Some(Seen::Fresh(Some(pushed), _)) => match violation(pushed, result.as_ref().map(|result| result.digest.as_str())) {
                Some(violation) => fail(part, Some(build), Reason::VerificationFailed, format!("The image is not used: {violation}.")),
                None => {
                    gate::promote(part, request, inputs, &pushed.image.digest);
                    part.verdict.progress = BuildProgress::Unconfirmed(build.clone());
                }
            },
            Some(Seen::Fresh(None, _)) => {
                let message = format!("The build succeeded but {}:{waiting} is not at the registry any more.", request.repository());
                return self.retry(part, build, Reason::Lost, &message);
            }
            other => unconfirmed(world, part, build, other.and_then(Seen::trouble)),
        }
        Ok(())
    }
}

fn blocked(world: &World, part: &mut Building, trouble: &Trouble) {
    part.requeue_after(backoff(trouble.times, LONGEST_BACKOFF, world.spread()));
    part.verdict.registry = Some(trouble.clone());
    part.verdict.progress = BuildProgress::Blocked(trouble.clone());
}

fn unseen(digest: &str) -> String {
    format!("The Job succeeded, and neither its pod nor provenance says that it made {digest}, which the registry serves.")
}

fn unconfirmed(world: &World, part: &mut Building, build: &Build, trouble: Option<&Trouble>) {
    part.requeue_after(backoff(trouble.map_or(1, |trouble| trouble.times), LONGEST_BACKOFF, world.spread()));
    part.verdict.registry = trouble.cloned();
    part.verdict.progress = BuildProgress::Unconfirmed(build.clone());
}

/// Why what the registry serves is not used: it is not what the build reported, or it breaks a rule.
fn violation(published: &Published, reported: Option<&str>) -> Option<String> {
    let served = &published.image.digest;
    let another = reported.filter(|digest| digest != served);
    let another = another.map(|digest| format!("the build reported {digest} and the registry serves {served}"));
    another.or_else(|| published.violations.first().cloned())
}

fn blocks_build(trouble: &Trouble, request: &Request) -> bool {
    trouble.reason != Reason::RegistryAuthFailed || (request.push_secret().is_none() && request.identity().is_none())
}

/// What the registry serves, with what is known of its build.
fn image_of(published: &Published, world: &World, inputs: Option<&Inputs>, build: Option<&Build>) -> ImageStatus {
    let mut image = published.image.clone();
    image.revision = inputs.map(|inputs| inputs.revision.clone());
    image.fingerprint = inputs.map(|inputs| inputs.fingerprint().to_owned());
    image.tests = inputs.and_then(Inputs::passed_tests).cloned();
    let known = world.status().image.clone().filter(|known| known.digest == image.digest);
    if let Some(known) = known {
        (image.binary, image.tags) = (image.binary.or(known.binary), known.tags);
        if image.warnings.is_empty() {
            image.warnings = known.warnings;
        }
        (image.sbom, image.provenance) = (known.sbom, known.provenance);
        (image.signature, image.signed_by) = (known.signature, known.signed_by);
        image.engine = known.engine;
    }
    match build {
        Some(build) => add_build(&mut image, world, build),
        None => {
            image.built_at = Some(time(world.now));
            image.cause = Some("Adopted: the registry already had the image of these inputs".into());
        }
    }
    if let Some(binary) = &mut image.binary {
        binary.inputs = inputs.map(|inputs| inputs.program_fingerprint().to_owned());
    }
    image
}

fn add_build(image: &mut ImageStatus, world: &World, build: &Build) {
    if let BuildState::Succeeded(Some(result)) = &build.state {
        image.binary = image.binary.take().or_else(|| result.binary.clone());
        if image.warnings.is_empty() {
            image.warnings.clone_from(&result.warnings);
        }
    }
    image.built_at = build.finished.map(time);
    image.duration = build.finished.map(|end| go_duration(end.duration_since(build.created)));
    image.cause = Some(build.cause.clone());
    // A program that was taken over was compiled by what compiled it then.
    let before = world.status().image.as_ref().and_then(|image| image.engine);
    image.engine = if build.program_of.is_some() { before } else { Some(build.engine) };
}
