//! Did an input change, and is that a cause to build?
//!
//! The recorded pins (from status, or from a Job where the status was lost) are applied to today's specification and commit:
//! where the fingerprint is the recorded one, nothing changed. Only a cause resolves bases and toolchain afresh.

use super::Need;
use super::base;
use gowindows_crds::conditions::Reason;
use gowindows_crds::names;
use gowindows_model::facts::{Revision, Seen, Trouble, World};
use gowindows_model::inputs::{Inputs, Pins};
use gowindows_model::plan::{BuildVerdict, Cause, Plan, Question};
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;

/// What an earlier pass decided on.
struct Record {
    fingerprint: String,
    revision: String,
    pins: Pins,
    inputs: Option<Inputs>,
}

pub(super) fn decide(world: &World, request: &Request, settings: &Settings, plan: &mut Plan) -> Result<(), Need> {
    let Some(revision) = plan.conclusion.revision.clone() else { return Ok(()) };
    let token = world.order(names::ORDER_REBUILD, plan.conclusion.handled.rebuild.as_ref());
    let records = records(world);
    if token.is_none() {
        let unchanged = records.iter().filter(|record| record.pins.answer(request)).find_map(|record| {
            let inputs = Inputs::new(request, &revision.name, &revision.commit, record.pins.clone());
            (inputs.fingerprint().starts_with(&record.fingerprint)).then_some(inputs)
        });
        if let Some(inputs) = unchanged {
            plan.conclusion.inputs = Some(inputs);
            return Ok(());
        }
    }
    let Some(pins) = resolve(world, request, settings, plan)? else { return Ok(()) };
    let inputs = Inputs::new(request, &revision.name, &revision.commit, pins);
    plan.conclusion.cause = Some(match token {
        Some(token) => Cause::Manual(token),
        None => cause(records.first(), &inputs, revision),
    });
    plan.conclusion.inputs = Some(inputs);
    Ok(())
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

/// The digests of bases and toolchain, or `None` with the verdict set where one cannot be had now.
fn resolve(world: &World, request: &Request, settings: &Settings, plan: &mut Plan) -> Result<Option<Pins>, Need> {
    let toolchains = [Some(&request.toolchain), request.test.toolchain.as_ref()].into_iter().flatten();
    world.ask(toolchains.filter(|image| !is_pinned(image)).map(|image| Question::Digest(image.clone())).collect())?;
    let chosen = base::choose(world, request, settings)?;
    let pins = chosen.and_then(|chosen| {
        let toolchain = pin_toolchain(world, &request.toolchain)?;
        let test_toolchain = request.test.toolchain.as_ref().map(|image| pin_toolchain(world, image)).transpose()?;
        Ok(Pins { bases: chosen.bases, toolchain, test_toolchain, base_choice: chosen.why })
    });
    Ok(match pins {
        Ok(pins) => Some(pins),
        Err(trouble) => {
            plan.look_again(super::backoff(trouble.times, super::build::LONGEST_BACKOFF, world.spread()));
            plan.conclusion.build = BuildVerdict::Blocked(trouble);
            None
        }
    })
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
