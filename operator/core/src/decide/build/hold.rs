//! What must be there before there is a Job? A pod waits in silence for a Secret that is absent or lacks the mounted key, for an identity, for a
//! claim and for a node.

use super::super::{Need, backoff, windows};
use super::retry::LONGEST_BACKOFF;
use gowindows_crds::conditions::Reason;
use gowindows_crds::names;
use gowindows_model::facts::{Trouble, World};
use gowindows_model::plan::{BuildVerdict, Effect, Plan, Question};
use gowindows_model::request::{CacheClaim, Request};
use k8s_openapi::api::batch::v1::Job;
use kube_core::ResourceExt;

/// Takes back what would create Jobs, and says what they would wait for.
pub(super) fn back(world: &World, request: &Request, plan: &mut Plan) -> Result<(), Need> {
    let creates = |effect: &Effect| matches!(effect, Effect::CreateJob(_) | Effect::EnsureClaim(_));
    let Some(inputs) = plan.conclusion.inputs.clone().filter(|_| plan.effects.iter().any(creates)) else { return Ok(()) };
    let of_secrets = |trouble: Option<&Trouble>| trouble.filter(|trouble| is_secrets(trouble)).cloned();
    let mut trouble = of_secrets(plan.conclusion.source_trouble.as_ref());
    if request.push_secret.is_some() || request.identity.is_some() {
        world.ask(vec![Question::Published(inputs.tag())])?;
        trouble = trouble.or_else(|| of_secrets(world.answers.published.get(&inputs.tag())?.trouble()));
    }
    if let Some(base) = inputs.assembly.bases.first().filter(|_| request.pull_secret.is_some()) {
        world.ask(vec![Question::Base(base.clone())])?;
        trouble = trouble.or_else(|| of_secrets(world.answers.bases.get(base)?.trouble()));
    }
    let jobs = plan.effects.iter().filter_map(|effect| if let Effect::CreateJob(job) = effect { Some(job.as_ref()) } else { None });
    let jobs: Vec<&Job> = jobs.filter(|job| !job.annotations().contains_key(names::ANNOTATION_PROGRAM_OF)).collect();
    let tests = |job: &Job| job.labels().get(names::LABEL_ROLE).is_some_and(|role| role == names::ROLE_TEST);
    let compiles = jobs.iter().any(|job| !tests(job));
    if request.build.engine.is_elsewhere() && compiles {
        world.ask(vec![Question::Builder])?;
        trouble = trouble.or_else(|| of_secrets(world.answers.builder.trouble()));
    }
    if request.modules.secret.is_some() && !jobs.is_empty() {
        world.ask(vec![Question::Modules])?;
        trouble = trouble.or_else(|| of_secrets(world.answers.modules.trouble()));
    }
    if matches!(request.build.cache, Some(CacheClaim::Shared(_))) && compiles {
        world.ask(vec![Question::CacheClaim])?;
        trouble = trouble.or_else(|| world.answers.cache_claim.trouble().cloned());
    }
    let on_windows = |of_tests: bool| jobs.iter().any(|job| crate::read::is_on_windows(job) && tests(job) == of_tests);
    let build = windows::of_build(request, &inputs).filter(|_| on_windows(false));
    let demands: Vec<_> = build.into_iter().chain(windows::of_tests(request, &inputs).filter(|_| on_windows(true))).collect();
    trouble = trouble.or(windows::trouble(world, request, &demands)?);
    if let Some(trouble) = trouble {
        plan.effects.retain(|effect| !creates(effect));
        // The order is not carried out yet.
        plan.conclusion.handled.rebuild = world.status().handled.as_ref().and_then(|handled| handled.rebuild.clone());
        plan.look_again(backoff(trouble.times, LONGEST_BACKOFF, world.spread()));
        plan.conclusion.build = BuildVerdict::Blocked(trouble);
    }
    Ok(())
}

fn is_secrets(trouble: &Trouble) -> bool {
    matches!(
        trouble.reason,
        Reason::SecretUnavailable
            | Reason::SecretInvalid
            // The pod asks for the same exchange as the operator.
            | Reason::IdentityUnavailable
            | Reason::IdentityRefused
            | Reason::IdentityUnreachable
    )
}
