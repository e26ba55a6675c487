//! Is a failed build tried again, and when?
//!
//! | class | reasons | tried again |
//! |---|---|---|
//! | the input's fault | compile error, failed test, invalid source, Dockerfile or base | never: a new commit or specification is a new build |
//! | memory | a limit that was reached, an eviction because of memory | once, with more ([`memory`](super::memory)); and when somebody gives it more |
//! | passing | lost pod or Job | `build.retries` times, after 10 s, 20 s, ... ([`pace`](crate::pace)) |
//! | the surroundings' | unreachable source, module host, registry or builder, one that answers wrongly, credentials, Secret, refused Job, a pod that was gone before it told what it made | until it works, after 10 s, 20 s, ... up to 10 min |
//! | an order | cancelled | never: the next cause or `rebuild` order |

use super::{Building, Release, recorded_attempt};
use crate::pace::{LONGEST_BACKOFF, backoff, later};
use gowindows_crds::conditions::Reason;
use gowindows_model::facts::Build;
use gowindows_model::plan::BuildProgress;
use gowindows_model::question::Need;
use std::time::Duration;

enum Class {
    Input,
    Passing,
    Surroundings,
}

fn class(reason: Reason) -> Class {
    match reason {
        Reason::Lost | Reason::Superseded | Reason::OutOfMemory => Class::Passing,
        // An outage of a minute outlasts any small number of tries, and nobody would be told that one more is needed.
        Reason::SourceUnreachable
        // What mends it may be an edit that is no input: go.modules.
        | Reason::ModuleDownloadFailed
        | Reason::RegistryUnreachable
        | Reason::BaseUnavailable
        | Reason::RegistryInvalid
        | Reason::VerificationFailed
        | Reason::RegistryAuthFailed
        | Reason::SourceAuthFailed
        | Reason::SecretUnavailable
        | Reason::SecretInvalid
        | Reason::SecretUnbound
        | Reason::IdentityUnavailable
        | Reason::IdentityRefused
        | Reason::IdentityUnreachable
        | Reason::BuilderUnreachable
        | Reason::BuilderAuthFailed
        | Reason::BuilderFailed
        | Reason::JobRefused
        // Another build is another chance to see it.
        | Reason::NotWitnessed
        // The next attempt compiles.
        | Reason::ProgramUnavailable => Class::Surroundings,
        _ => Class::Input,
    }
}

/// A recorded reason, as it stands in status. An unknown one, from another version, counts as the input's fault.
pub(super) fn reason(recorded: &str) -> Reason {
    recorded.parse().unwrap_or(Reason::AssembleFailed)
}

/// Whether a failure with this recorded reason may be tried again without a new input.
pub(super) fn recovers(recorded: &str) -> bool {
    !matches!(class(reason(recorded)), Class::Input)
}

impl Release<'_> {
    /// Plans the next attempt, or says why there is none.
    pub(super) fn retry(&self, part: &mut Building, build: &Build, reason: Reason, message: &str) -> Result<(), Need> {
        let Self { world, request, .. } = self;
        // Newer Jobs may have been deleted, and their names are not used twice.
        let attempt = build.attempt.max(recorded_attempt(world, &build.fingerprint));
        let tries = u32::try_from(attempt).unwrap_or(1);
        let outlook = if reason == Reason::OutOfMemory { self.memory_outlook() } else { None };
        let allowed = match class(reason) {
            Class::Input => false,
            Class::Passing if outlook.is_some() => outlook.as_ref().is_some_and(|outlook| outlook.hope),
            Class::Passing => attempt <= request.build.retries,
            Class::Surroundings => true,
        } && attempt < i32::MAX;
        // A build that an input made pointless and that is wanted again was no failed attempt, nor was a short cut that led nowhere.
        let no_fault = matches!(reason, Reason::Superseded | Reason::ProgramUnavailable);
        let wait = if no_fault { Duration::ZERO } else { backoff(tries, LONGEST_BACKOFF, world.spread()) };
        let retry_at = later(build.finished.unwrap_or(build.created), wait);
        if allowed && retry_at <= world.now && !build.is_unfinished() {
            return self.start(part, attempt.saturating_add(1), None);
        }
        let message = match (class(reason), outlook) {
            (_, Some(outlook)) => format!("{message} {}", outlook.words),
            (Class::Passing, None) if !allowed => format!("{message} It was tried {attempt} times; build.retries allows no more."),
            _ => message.to_owned(),
        };
        // Where its other Job is being ended, its end is an event.
        if allowed && !build.is_unfinished() {
            part.requeue_at(world.now, retry_at);
        }
        let retry_at = allowed.then_some(retry_at);
        part.verdict.progress = BuildProgress::Failed { build: Some(build.clone()), reason, message, retry_at };
        Ok(())
    }
}
