//! What must be there before there is a Job? A pod waits in silence for a Secret that is absent or lacks the mounted key, for an identity, for a
//! claim and for a node.

use super::{Release, windows};
use crate::pace::{LONGEST_BACKOFF, backoff};
use gowindows_crds::conditions::Reason;
use gowindows_model::facts::{Trouble, World};
use gowindows_model::plan::BuildOrder;
use gowindows_model::question::{Need, Question};
use gowindows_model::request::{BuildKit, CacheClaim, Engine, Reach};
use std::time::Duration;

/// How long until it is looked for again.
pub(super) fn wait(world: &World, trouble: &Trouble) -> Duration {
    backoff(trouble.times, LONGEST_BACKOFF, world.spread())
}

/// What the Jobs of an order would wait for; none where all is there.
pub(super) fn trouble(release: &Release<'_>, order: &BuildOrder) -> Result<Option<Trouble>, Need> {
    let Release { world, request, source, inputs, .. } = release;
    let of_secrets = |trouble: Option<&Trouble>| trouble.filter(|trouble| is_secrets(trouble)).cloned();
    let mut trouble = of_secrets(source.trouble.as_ref());
    // It is mounted whatever the reference is, and a pinned commit has asked nobody.
    if let Some(question) = request.git_login() {
        world.ask(vec![question])?;
        // Whatever keeps it from being looked at: unseen it is mounted by nobody.
        trouble = trouble.or_else(|| world.answers.git_login.trouble().cloned());
    }
    if request.push_secret().is_some() || request.identity().is_some() {
        world.ask(vec![request.published(inputs.tag())])?;
        trouble = trouble.or_else(|| of_secrets(world.answers.published.get(&inputs.tag())?.trouble()));
    }
    if let Some(base) = inputs.assembly.bases.first().filter(|_| request.pull_secret.is_some()) {
        world.ask(vec![request.base(base)])?;
        trouble = trouble.or_else(|| of_secrets(world.answers.bases.get(base)?.trouble()));
    }
    let compiles = order.reused_program.is_none();
    if let Some(secret) = certificates(&request.build.engine).filter(|_| compiles) {
        world.ask(vec![Question::Builder { secret: secret.clone() }])?;
        trouble = trouble.or_else(|| world.answers.builder.trouble().cloned());
    }
    if let Some(secret) = request.modules.secret.as_ref().filter(|_| compiles || order.gated) {
        world.ask(vec![Question::Modules { secret: secret.clone() }])?;
        trouble = trouble.or_else(|| world.answers.modules.trouble().cloned());
    }
    if let Some(CacheClaim::Shared(claim)) = request.build.cache.as_ref().filter(|_| compiles) {
        world.ask(vec![Question::CacheClaim { claim: claim.clone() }])?;
        trouble = trouble.or_else(|| world.answers.cache_claim.trouble().cloned());
    }
    let build = windows::of_build(request, inputs).filter(|_| compiles);
    let tests = windows::of_tests(request, inputs).filter(|_| order.gated);
    let demands: Vec<_> = build.into_iter().chain(tests).collect();
    Ok(trouble.or(windows::trouble(world, request, &demands)?))
}

/// The Secret with certificates for a buildkitd elsewhere.
fn certificates(engine: &Engine) -> Option<&String> {
    match engine {
        Engine::BuildKit(BuildKit { reach: Reach::Tcp { tls_secret, .. }, .. }) => Some(tls_secret),
        Engine::BuildKit(_) | Engine::Go | Engine::Kaniko { .. } => None,
    }
}

fn is_secrets(trouble: &Trouble) -> bool {
    matches!(
        trouble.reason,
        Reason::SecretUnavailable
            | Reason::SecretInvalid
            | Reason::SecretUnbound
            // The pod asks for the same exchange as the operator.
            | Reason::IdentityUnavailable
            | Reason::IdentityRefused
            | Reason::IdentityUnreachable
    )
}
