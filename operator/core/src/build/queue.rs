//! Which Jobs begin when, where the operator's settings limit how many run at a time?
//!
//! Each Job takes a slot of the system of its nodes while it may have a pod. A Job for which there may be none is created suspended, and whoever
//! keeps the queue resumes those at its head, one place for the Jobs of all objects: so an object that cannot be looked at holds up nobody. A
//! Job needs no other one to end, so none waits for ever.
//!
//! The next slot is for the namespace of which the fewest run, among these for the Job that was created first.

use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_model::facts::{Build, BuildState, CurrentJob, Place, Queue, QueuedJob, World};
use gowindows_model::plan::{BuildProgress, BuildVerdict};
use gowindows_model::settings::SlotSettings;
use std::collections::BTreeMap;

/// The systems of which there are slots.
const SYSTEMS: [NodeSystem; 2] = [NodeSystem::Linux, NodeSystem::Windows];

/// Tells a build that waits for a slot where it stands.
pub(super) fn explain(world: &World, verdict: &mut BuildVerdict) {
    let BuildProgress::Active(build) = &mut verdict.progress else { return };
    let waiting: Vec<CurrentJob> = build.current_jobs().filter(|job| job.queued && job.since.is_none()).cloned().collect();
    let places: Vec<_> = waiting.iter().filter_map(|job| Some((job, *world.places.get(&job.job)?))).collect();
    for (job, place) in &places {
        tell(build, job, *place);
    }
    verdict.queue_position = places.iter().map(|(_, place)| place.position).min();
}

fn tell(build: &mut Build, current: &CurrentJob, place: Place) {
    let Place { position, waiting, running, system } = place;
    let nodes = match system {
        NodeSystem::Linux => "Linux",
        NodeSystem::Windows => "Windows",
    };
    let why = format!(
        "it is number {position} of {waiting} in the queue for a slot on {nodes} nodes, where {running} run (slots in the operator's settings)"
    );
    let tests = build.tests.as_mut().and_then(|tests| tests.run.as_mut()).map(|run| (&mut run.state, run.current.clone()));
    for (state, own) in [(&mut build.state, build.current.clone())].into_iter().chain(tests) {
        if own.is_some_and(|own| own.job == current.job) && matches!(state, BuildState::Queued(_)) {
            *state = BuildState::Queued(Some(why.clone()));
        }
    }
}

/// The Jobs that may begin now, in their order.
pub fn admitted(queue: &Queue, slots: SlotSettings) -> Vec<&QueuedJob> {
    let of_system = |system| {
        let free = slots.of(system).map_or(usize::MAX, |slots| slots.saturating_sub(running(queue, system)));
        ordered(queue, system).into_iter().take(free)
    };
    SYSTEMS.into_iter().flat_map(of_system).collect()
}

/// The Jobs that wait, by namespace and name, each with its place.
pub fn places(queue: &Queue) -> BTreeMap<(String, String), Place> {
    let of_system = |system| {
        let (ordered, running) = (ordered(queue, system), running(queue, system));
        let waiting = ordered.len();
        let place = move |at| Place { position: at + 1, waiting, running, system };
        ordered.into_iter().enumerate().map(move |(at, job)| ((job.namespace.clone(), job.job.clone()), place(at)))
    };
    SYSTEMS.into_iter().flat_map(of_system).collect()
}

fn running(queue: &Queue, system: NodeSystem) -> usize {
    queue.jobs.iter().filter(|job| job.system == system && job.runs).count()
}

/// Those that wait, in the order in which they get slots.
fn ordered(queue: &Queue, system: NodeSystem) -> Vec<&QueuedJob> {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    let mut waiting: Vec<&QueuedJob> = Vec::new();
    for job in queue.jobs.iter().filter(|job| job.system == system) {
        if job.runs { *taken.entry(&job.namespace).or_default() += 1 } else { waiting.push(job) }
    }
    waiting.sort_by(|a, b| (a.created, &a.namespace, &a.job).cmp(&(b.created, &b.namespace, &b.job)));
    let mut ranked: Vec<(usize, &QueuedJob)> = Vec::new();
    for job in waiting {
        let before = taken.entry(&job.namespace).or_default();
        ranked.push((*before, job));
        *before += 1;
    }
    // The sort is stable: among equals the first stays the first.
    ranked.sort_by_key(|(before, _)| *before);
    ranked.into_iter().map(|(_, job)| job).collect()
}
