//! Who gets the slots that are free? One keeps the queue for the Jobs of all objects: no pass counts the Jobs of others.
//!
//! It looks when a Job or an object has changed, gives slots to those at the head, and wakes the objects that are to be told a new place. Of
//! a long queue not everybody is told each step: those near the head are, and others when a quarter of those before them have gone.

use super::Context;
use crate::act;
use crate::observe::Guarded;
use gowindows_core::build::{admitted, places};
use gowindows_crds::names;
use gowindows_model::facts::{Place, Queue};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Changes come in swarms.
const PAUSE: Duration = Duration::from_millis(100);
/// A slot that could not be given is tried again after this time.
const AGAIN: Duration = Duration::from_secs(5);
/// The queue is looked at so often where nothing is known to have changed.
const LOOK: Duration = Duration::from_secs(60);
/// Near the head every step is told.
const NEAR: usize = 10;

/// Where Jobs stood when their objects were told.
type Told = BTreeMap<(String, String), usize>;

/// Keeps the queue until it is dropped. `changed` says that there may be something to do; `wake` looks at an object.
pub(super) async fn keep(context: Arc<Context>, changed: Arc<Notify>, wake: impl Fn(ObjectRef<Guarded>)) {
    context.cluster.stores.ready().await;
    let mut told = Told::new();
    loop {
        // Who waits is looked at once a minute as well: what this process wrote and no watch has shown does not hold for ever.
        let _ = tokio::time::timeout(if has_queue(&context) { LOOK } else { Duration::MAX }, changed.notified()).await;
        let now = (context.clock)();
        let queue = if has_queue(&context) { context.cluster.queue(now) } else { Queue::default() };
        let places = places(&queue);
        let news = news(&mut told, &places);
        context.cluster.places.tell(places);
        news.iter().filter_map(|job| object_of(&context, job)).for_each(&wake);
        let free = admitted(&queue, context.settings.slots);
        let pause = if free.is_empty() || give(&context).await { PAUSE } else { AGAIN };
        if pause == AGAIN {
            changed.notify_one();
        }
        tokio::time::sleep(pause).await;
    }
}

/// Whether anybody queues at all: where slots are not limited, nobody pays for those of all others.
fn has_queue(context: &Context) -> bool {
    !context.cluster.stores.jobs.of(crate::observe::QUEUED, (context.clock)()).is_empty()
}

/// Lets those begin for which there are slots, by what the API server has: stores may be behind, and would give a slot away twice. Whether all
/// went well.
async fn give(context: &Context) -> bool {
    let Context { cluster, leadership, settings, clock, .. } = context;
    let now = clock();
    let queue = match cluster.present_queue().await {
        Ok(queue) => queue,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "slots could not be counted");
            return false;
        }
    };
    let first = admitted(&queue, settings.slots);
    let mut well = !first.is_empty();
    for job in first {
        if !leadership.holds() {
            return false;
        }
        let begun = act::begin(cluster, now, &job.namespace, &job.job).await;
        context.metrics.slot(begun.is_ok());
        match begun {
            Ok(()) => tracing::info!(job = job.job, namespace = job.namespace, "a Job was given its slot"),
            Err(error) => {
                tracing::warn!(message = error.message, job = job.job, "a Job could not be given its slot");
                well = false;
            }
        }
    }
    well
}

/// The Jobs whose objects are to be told where they stand.
fn news(told: &mut Told, places: &BTreeMap<(String, String), Place>) -> Vec<(String, String)> {
    told.retain(|job, _| places.contains_key(job));
    let is_news = |told: Option<&usize>, position: usize| match told {
        None => true,
        Some(known) => *known != position && (position <= NEAR || position < *known - *known / 4 || position > *known),
    };
    let mut news = Vec::new();
    for (job, place) in places.iter().filter(|(job, place)| is_news(told.get(*job), place.position)).collect::<Vec<_>>() {
        told.insert(job.clone(), place.position);
        news.push(job.clone());
    }
    news
}

fn object_of(context: &Context, (namespace, job): &(String, String)) -> Option<ObjectRef<Guarded>> {
    let job = context.cluster.stores.jobs.get(namespace, job, (context.clock)())?;
    Some(ObjectRef::new(job.annotations().get(names::ANNOTATION_IMAGE)?).within(namespace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use gowindows_crds::v1alpha1::NodeSystem;

    #[test]
    fn a_long_queue_does_not_wake_everybody_at_each_step() {
        let queue = |first: usize| -> BTreeMap<(String, String), Place> {
            let place = |position| Place { position, waiting: 1000, running: 4, system: NodeSystem::Linux };
            (first..1000).map(|job| (("team".into(), format!("{job:04}")), place(job - first + 1))).collect()
        };
        let mut told = Told::new();
        assert_eq!(news(&mut told, &queue(0)).len(), 1000, "everybody is told once");
        let mut woken = 0;
        for step in 1..=1000 {
            let news = news(&mut told, &queue(step));
            let head: Vec<String> = (step..1000.min(step + NEAR)).map(|job| format!("{job:04}")).collect();
            assert!(head.iter().all(|job| news.iter().any(|(_, told)| told == job)), "step {step}: {news:?}");
            woken += news.len();
        }
        assert!(woken < 1000 * 30, "{woken} times in place of 500 000");
        assert!(told.is_empty());
    }
}
