//! Which commit is to be built, and is it time to look?

use super::{Need, backoff};
use gowindows_model::facts::{Revision, Seen, World};
use gowindows_model::plan::{Plan, Question};
use gowindows_model::request::Request;
use gowindows_model::wire::source::Reference;
use std::time::Duration;

/// An unreachable source is tried again at least this often.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

pub(super) fn decide(world: &World, request: &Request, plan: &mut Plan) -> Result<(), Need> {
    let token = world.look_now(&plan.conclusion.handled);
    if let Reference::Commit(commit) = &request.reference {
        plan.conclusion.revision = Some(Revision { name: commit.clone(), commit: commit.clone() });
    } else {
        let source = &world.answers.source;
        if token.is_some() || wait(world, request, source).is_some_and(|wait| wait.is_zero()) {
            world.ask(vec![Question::Source])?;
        }
        plan.conclusion.revision = source.value().cloned().or_else(|| recorded(world));
        plan.conclusion.source_trouble = source.trouble().cloned();
        if let Some(wait) = wait(world, request, source) {
            plan.look_again(wait);
        }
    }
    if token.is_some() {
        plan.conclusion.handled.requested_at = token;
    }
    Ok(())
}

/// How long until the next look; `None`: only on events.
fn wait(world: &World, request: &Request, source: &Seen<Revision>) -> Option<Duration> {
    let Some(looked_at) = source.looked_at() else { return Some(Duration::ZERO) };
    let spread = world.spread();
    let interval = request.interval.map(|interval| interval.mul_f64(0.9 + spread / 5.0));
    let due = match source.trouble() {
        Some(trouble) => {
            let ceiling = request.interval.unwrap_or(LONGEST_BACKOFF).min(LONGEST_BACKOFF);
            backoff(trouble.times, ceiling, spread)
        }
        None => interval?,
    };
    Some(due.saturating_sub(world.since(looked_at)))
}

/// The revision of the newest build: what is known of the source while it cannot be looked at.
fn recorded(world: &World) -> Option<Revision> {
    let inputs = world.status().inputs.as_ref()?;
    let (name, commit) = inputs.revision.split_once("@sha1:")?;
    Some(Revision { name: name.to_owned(), commit: commit.to_owned() })
}
