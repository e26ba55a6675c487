//! Which commit is to be built, and is it time to poll?

mod report;

pub(crate) use report::condition;

use crate::pace::backoff;
use gowindows_model::facts::{Revision, Seen, World};
use gowindows_model::plan::{Part, SourceVerdict};
use gowindows_model::question::{Need, Question};
use gowindows_model::request::Request;
use gowindows_model::wire::source::Reference;
use std::time::Duration;

/// An unreachable source is tried again at least this often.
const LONGEST_POLL: Duration = Duration::from_secs(300);

pub(crate) fn decide(world: &World, request: &Request) -> Result<Part<SourceVerdict>, Need> {
    let order = world.refresh_order();
    let mut part = Part::new(SourceVerdict::default());
    // Once at the beginning: whose Secret cannot be used, or not much longer, is to hear of it before the next build.
    let mut questions = Vec::from_iter(request.git_login().filter(|_| world.answers.git_login == Seen::NotAsked));
    if let Reference::Commit(commit) = &request.reference {
        world.ask(questions)?;
        part.verdict.revision = Some(Revision { name: commit.clone(), commit: commit.clone() });
    } else {
        let seen = &world.answers.source;
        if order.is_some() || wait(world, request, seen).is_some_and(|wait| wait.is_zero()) {
            questions.push(question(request));
        }
        world.ask(questions)?;
        let revision = seen.value().cloned().or_else(|| recorded(world));
        part.verdict = SourceVerdict { revision, trouble: seen.trouble().cloned() };
        if let Some(wait) = wait(world, request, seen) {
            part.requeue_after(wait);
        }
    }
    part.acknowledged.extend(order);
    Ok(part)
}

fn question(request: &Request) -> Question {
    Question::Source { url: request.url.clone(), reference: request.reference.clone(), secret: request.git_secret.clone() }
}

/// How long until the next poll; none: only on events.
fn wait(world: &World, request: &Request, source: &Seen<Revision>) -> Option<Duration> {
    let Some(looked_at) = source.looked_at() else { return Some(Duration::ZERO) };
    let spread = world.spread();
    let interval = request.interval.map(|interval| interval.mul_f64(0.9 + spread / 5.0));
    let due = match source.trouble() {
        Some(trouble) => {
            let ceiling = request.interval.unwrap_or(LONGEST_POLL).min(LONGEST_POLL);
            backoff(trouble.times, ceiling, spread)
        }
        None => interval?,
    };
    Some(due.saturating_sub(world.since(looked_at)))
}

/// The revision of the newest build: what is known of the source while it cannot be polled.
fn recorded(world: &World) -> Option<Revision> {
    let inputs = world.status().inputs.as_ref()?;
    let (name, commit) = inputs.revision.split_once("@sha1:")?;
    Some(Revision { name: name.to_owned(), commit: commit.to_owned() })
}
