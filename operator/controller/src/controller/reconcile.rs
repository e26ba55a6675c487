//! What happens in one pass? observe -> decide -> act -> report.

use super::Context;
use crate::act::{self, NotLeading, StatusError, Written};
use crate::observe::{Freshness, Guarded, ObserveError, Seat};
use futures::FutureExt;
use gowindows_core::pass::{ROUNDS, decide, report};
use gowindows_core::status::{self, Notice};
use gowindows_crds::GoWindowsImage;
use gowindows_model::facts::World;
use gowindows_model::plan::{Decision, Done, Outcome, Plan, Step, Write};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A pass that could not be finished; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReconcileError {
    /// The cluster could not be read.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// The status could not be written.
    #[error(transparent)]
    Report(#[from] StatusError),
    /// It lost the right to write.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// A decision asked in more rounds than any should. Nothing is done and nothing is told.
    #[error("the decision keeps asking: {0}")]
    Asks(String),
    /// A defect of ours.
    #[error("a pass panicked; this is a defect of the operator, and its log says where")]
    Panicked,
}

impl ReconcileError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Observe(_) => "observe",
            Self::NotLeading(_) | Self::Report(StatusError::NotLeading(_)) => "not-leading",
            Self::Report(_) => "report",
            Self::Asks(_) => "asks",
            Self::Panicked => "panicked",
        }
    }
}

/// One pass over an object, and when to look again at the latest.
pub(super) async fn reconcile(object: ObjectRef<Guarded>, seat: Seat, context: &Context) -> Option<Duration> {
    let object = context.cluster.stores.images.stored(object.namespace.as_deref().unwrap_or_default(), &object.name)?;
    let image = match &object.0 {
        Ok(image) => image.clone(),
        Err(invalid) => {
            let name = invalid.metadata.name.clone().unwrap_or_default();
            tracing::warn!(name, namespace = object.namespace(), error = invalid.error, "an object cannot be read; the others go on");
            context.metrics.pass("unreadable", Duration::ZERO);
            return None;
        }
    };
    let start = Instant::now();
    // A defect that one object brings to light must not end the passes over all others, again after each start.
    let result = AssertUnwindSafe(pass(image, &seat, context)).catch_unwind().await.unwrap_or(Err(ReconcileError::Panicked));
    context.metrics.pass(result.as_ref().map_or_else(ReconcileError::reason, |_| "done"), start.elapsed());
    let again = result.unwrap_or_else(|error| failed(&object, &error, context));
    forget_if_gone(&object, context);
    again
}

/// A pass can outlive its object: what it has left in memory goes with it.
fn forget_if_gone(object: &Guarded, context: &Context) {
    let stored = context.cluster.stores.images.stored(&object.namespace().unwrap_or_default(), &object.name_any());
    if stored.is_none_or(|stored| stored.uid() != object.uid()) {
        let uid = object.uid().unwrap_or_default();
        context.cluster.memory.forget(&uid);
        context.pacing.succeeded(&uid);
    }
}

fn failed(object: &Guarded, error: &ReconcileError, context: &Context) -> Option<Duration> {
    if error.reason() == "not-leading" {
        return None;
    }
    tracing::warn!(
        name = object.name_any(),
        namespace = object.namespace(),
        error = error as &dyn std::error::Error,
        "a pass failed; it is repeated"
    );
    Some(context.pacing.failed(object))
}

async fn pass(image: Arc<GoWindowsImage>, seat: &Seat, context: &Context) -> Result<Option<Duration>, ReconcileError> {
    if context.cluster.memory.is_gone(&image.uid().unwrap_or_default()) {
        return Ok(None);
    }
    let mut world = context.cluster.world(image, (context.clock)()).await?;
    let plan = plan(&mut world, seat, context).await?;
    if world.object.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    if plan.steps.iter().any(|step| step.write.needs_the_present()) && context.cluster.freshness(&world).await? != Freshness::Current {
        return behind(&world, context).await;
    }
    let refused_soon =
        |message: &String| Notice { warning: true, reason: "WouldBeRefused".into(), action: "Validate", message: message.clone() };
    tell(&world, &plan.would_refuse.iter().map(refused_soon).collect::<Vec<_>>(), context).await;
    for step in &plan.steps {
        tracing::info!(name = world.object.name_any(), namespace = world.object.namespace(), effect = step.write.name(), "acts");
    }
    let outcome = act::act(&context.cluster, seat, &context.leadership, &context.settings, &world, &plan).await?;
    context.metrics.effects(&plan, &outcome);
    if only_began(&plan, &outcome).is_some_and(|job| context.cluster.sees_build(&world, job)) {
        return Ok(Some(Duration::ZERO));
    }
    let status = report(&world, &plan, &outcome);
    let written = act::write_status(&context.cluster, &context.leadership, &world, &status).await?;
    match written {
        Written::Equal => {}
        Written::Applied => {
            if let Some(found) = status::cache_found(&world, &status) {
                context.metrics.cache(&found);
            }
            tell(&world, &status::notices(world.status(), &status), context).await;
        }
        Written::Refused => return behind(&world, context).await,
    }
    if outcome.has_failed() {
        // What the plan expected to look at next does not exist.
        return Ok(Some(context.pacing.failed(world.object.as_ref())));
    }
    context.pacing.succeeded(&world.object.uid().unwrap_or_default());
    let expiry = context.cluster.writes_expire(&world);
    Ok(plan.next.into_iter().chain(expiry).min())
}

/// The Job of a build that was begun, where nothing else was done: the next pass tells it, with its Job as it is. So a status is written once and
/// not twice, and in a burst all Jobs are there before the first of these passes. If the process dies meanwhile, the next one finds the Job, or
/// meets it by its name. A Job that lost its labels on its way is no build to the next pass: that attempt has to be recorded now.
fn only_began<'a>(plan: &'a Plan, outcome: &Outcome) -> Option<&'a str> {
    let [Step { write: Write::StartBuild(order), acknowledges: None, .. }] = &plan.steps[..] else { return None };
    (plan.acknowledged.is_empty() && outcome.steps == [Done::Performed]).then_some(order.job.as_str())
}

/// The pass was about a past: there is nothing to do for an object that is gone, and its watch will show a newer one.
async fn behind(world: &World, context: &Context) -> Result<Option<Duration>, ReconcileError> {
    if context.cluster.freshness(world).await? == Freshness::Gone {
        context.cluster.memory.bury(&world.object.uid().unwrap_or_default());
        return Ok(None);
    }
    Ok(Some(context.pacing.failed(world.object.as_ref())))
}

/// Logs, counts and publishes what changed.
async fn tell(world: &World, notices: &[Notice], context: &Context) {
    if notices.is_empty() {
        return;
    }
    for notice in notices {
        tracing::info!(name = world.object.name_any(), namespace = world.object.namespace(), reason = notice.reason, "{}", notice.message);
    }
    context.metrics.notices(notices);
    act::write_events(&context.cluster.client, &context.leadership, &context.reporter, &world.object, notices).await;
}

/// Decides, and answers what the decision asks for until it can be taken.
async fn plan(world: &mut World, seat: &Seat, context: &Context) -> Result<Plan, ReconcileError> {
    for _ in 0..ROUNDS {
        match decide(world, &context.settings) {
            Decision::Do(plan) => return Ok(*plan),
            Decision::Ask(questions) => seat.outside(context.cluster.answer(world, questions)).await,
        }
    }
    Err(ReconcileError::Asks(format!("{:?}", world.answers.asked)))
}
