//! Did an input change, and is that a cause to build?
//!
//! The recorded pins (from status, or from a Job where the status was lost) are applied to today's specification and commit:
//! where the fingerprint is the recorded one, nothing changed. Only a cause resolves bases and toolchain afresh.

use super::base;
use crate::pace::{LONGEST_BACKOFF, backoff};
use gowindows_crds::conditions::Reason;
use gowindows_model::facts::{Revision, Seen, Trouble, World};
use gowindows_model::inputs::{Inputs, Pins, SourceId, Uncanonical};
use gowindows_model::plan::Wish;
use gowindows_model::plan::{Cause, Part, Pinned, Purpose, SourceVerdict, WantedBuild};
use gowindows_model::question::{Need, Question};
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;

/// What an earlier pass decided on.
struct Record {
    fingerprint: String,
    revision: String,
    pins: Pins,
    inputs: Option<Inputs>,
}

/// The images that should be there: the release of the source's commit, once that is known.
pub(crate) fn inputs(
    world: &World,
    request: &Request,
    settings: &Settings,
    source: &SourceVerdict,
    _: Wish,
) -> Result<Part<Vec<WantedBuild>>, Need> {
    let Some(revision) = &source.revision else { return Ok(Part::new(Vec::new())) };
    let pinned = release(world, request, settings, revision)?;
    let wait = pinned.as_ref().err().map(|trouble| backoff(trouble.times, LONGEST_BACKOFF, world.spread()));
    let mut part = Part::new(vec![WantedBuild { purpose: Purpose::Release, pinned }]);
    if let Some(wait) = wait {
        part.requeue_after(wait);
    }
    Ok(part)
}

fn release(world: &World, request: &Request, settings: &Settings, revision: &Revision) -> Result<Result<Pinned, Trouble>, Need> {
    let token = world.rebuild_token();
    let records = records(world);
    let pinned_to = |pins: Pins| Inputs::new(request, &revision.name, SourceId::Commit(revision.commit.clone()), pins);
    if token.is_none() {
        for record in records.iter().filter(|record| record.pins.answer(request)) {
            match pinned_to(record.pins.clone()) {
                Ok(inputs) if inputs.fingerprint().starts_with(&record.fingerprint) => return Ok(Ok(Pinned { inputs, cause: None })),
                Ok(_) => {}
                Err(error) => return Ok(Err(uncanonical(world, &error))),
            }
        }
    }
    let pins = match resolve(world, request, settings)? {
        Ok(pins) => pins,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let inputs = match pinned_to(pins) {
        Ok(inputs) => inputs,
        Err(error) => return Ok(Err(uncanonical(world, &error))),
    };
    let cause = match token {
        Some(token) => Cause::Manual(token),
        None => cause(records.first(), &inputs, revision.clone()),
    };
    Ok(Ok(Pinned { inputs, cause: Some(cause) }))
}

/// What has no identity is not built: it could be taken for anything.
fn uncanonical(world: &World, error: &Uncanonical) -> Trouble {
    let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let message = format!("Cannot identify the inputs of the build: {error} ({why}). Report this as a defect of the operator.");
    Trouble { reason: Reason::AssembleFailed, message, at: world.now, times: 3 }
}

/// Newest first: the status, then the Jobs.
fn records(world: &World) -> Vec<Record> {
    let status = world.status().inputs.clone().and_then(|inputs| {
        let pins = Pins {
            bases: inputs.bases,
            toolchain: inputs.toolchain?,
            test_toolchain: inputs.test_toolchain,
            base_choice: inputs.base_choice,
        };
        Some(Record { fingerprint: inputs.fingerprint, revision: inputs.revision, pins, inputs: None })
    });
    let jobs = world.builds.iter().rev().filter_map(|build| {
        let inputs = build.inputs.clone()?;
        Some(Record {
            fingerprint: build.fingerprint.clone(),
            revision: inputs.revision.clone(),
            pins: inputs.pins(),
            inputs: Some(inputs),
        })
    });
    let mut records: Vec<_> = status.into_iter().chain(jobs).collect();
    // The status knows the newest fingerprint, a Job with the same one knows every input.
    if let Some((first, rest)) = records.split_first_mut()
        && first.inputs.is_none()
    {
        let same = rest.iter().find(|record| first.fingerprint.starts_with(&record.fingerprint));
        first.inputs = same.and_then(|record| record.inputs.clone());
    }
    records
}

/// The digests of bases and toolchain, or why one cannot be had now.
fn resolve(world: &World, request: &Request, settings: &Settings) -> Result<Result<Pins, Trouble>, Need> {
    let toolchains = [Some(&request.toolchain), request.test.toolchain.as_ref()].into_iter().flatten();
    let question = |image: &String| Question::Digest { reference: image.clone(), access: request.read_access(image) };
    world.ask(toolchains.filter(|image| !is_pinned(image)).map(question).collect())?;
    let chosen = base::choose(world, request, settings)?;
    Ok(chosen.and_then(|chosen| {
        let toolchain = pin_toolchain(world, &request.toolchain)?;
        let test_toolchain = request.test.toolchain.as_ref().map(|image| pin_toolchain(world, image)).transpose()?;
        Ok(Pins { bases: chosen.bases, toolchain, test_toolchain, base_choice: chosen.why })
    }))
}

pub(super) fn is_pinned(reference: &str) -> bool {
    reference.contains("@sha256:")
}

pub(super) fn unresolved(world: &World, reference: &str) -> Trouble {
    let message = format!("{reference} has not been resolved yet");
    Trouble { reason: Reason::BaseUnavailable, message, at: world.now, times: 1 }
}

fn pin_toolchain(world: &World, reference: &str) -> Result<String, Trouble> {
    if is_pinned(reference) {
        return Ok(reference.to_owned());
    }
    let trouble = match world.answers.digests.get(reference) {
        Some(Seen::Fresh(digest, _) | Seen::Stale(digest, _)) => return Ok(format!("{reference}@{digest}")),
        Some(Seen::Unknown(trouble)) => trouble.clone(),
        Some(Seen::NotAsked) | None => unresolved(world, reference),
    };
    let reason = if trouble.reason == Reason::BaseUnavailable { Reason::ToolchainUnavailable } else { trouble.reason };
    Err(Trouble { reason, ..trouble })
}

fn cause(record: Option<&Record>, inputs: &Inputs, revision: Revision) -> Cause {
    let Some(record) = record else { return Cause::First(revision) };
    let from = record.revision.rsplit(':').next().unwrap_or_default().to_owned();
    if from != revision.commit {
        return Cause::SourceMoved { from, to: revision };
    }
    let fields = record.inputs.as_ref().map(|before| before.differing_fields(inputs)).filter(|fields| !fields.is_empty());
    Cause::SpecChanged(fields.unwrap_or_else(|| vec!["go", "image"]))
}
