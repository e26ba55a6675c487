//! Which Jobs begin when, where the operator's settings limit how many run at a time?
//!
//! Each Job takes a slot of the system of its nodes while it may have a pod. A Job for which there may be none is created suspended, and any pass, of
//! whichever object, resumes those at the head of the queue: so an object that cannot be looked at holds up nobody. A Job needs no other one to
//! end, so none waits for ever.
//!
//! The next slot is for the namespace of which the fewest run, among these for the Job that was created first.

use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_model::facts::{Build, BuildState, CurrentJob, Queue, QueuedJob, World};
use gowindows_model::plan::{Aspect, BuildProgress, BuildVerdict, Part, Write};
use gowindows_model::settings::{Settings, SlotSettings};
use kube_core::ResourceExt;
use std::collections::BTreeMap;

/// The systems of which there are slots.
const SYSTEMS: [NodeSystem; 2] = [NodeSystem::Linux, NodeSystem::Windows];

/// Where a Job stands in the queue for its system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// From 1.
    position: usize,
    waiting: usize,
    running: usize,
    system: NodeSystem,
}

/// Lets those begin for which there are slots.
pub(crate) fn decide(world: &World, settings: &Settings) -> Part<()> {
    let mut part = Part::new(());
    for job in SYSTEMS.into_iter().flat_map(|system| admitted(&world.queue, settings.slots, system)) {
        let (namespace, job) = (job.namespace.clone(), job.job.clone());
        part.write(Aspect::Queue, Write::Admit { namespace, job, slots: settings.slots });
    }
    part
}

/// Tells a build that waits for a slot where it stands.
pub(super) fn explain(world: &World, verdict: &mut BuildVerdict) {
    let BuildProgress::Active(build) = &mut verdict.progress else { return };
    let waiting: Vec<CurrentJob> = build.current_jobs().filter(|job| job.queued && job.since.is_none()).cloned().collect();
    let namespace = world.object.namespace().unwrap_or_default();
    let places = waiting.iter().filter_map(|job| Some((job, place(&world.queue, &namespace, &job.job)?)));
    let places: Vec<_> = places.collect();
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
pub fn admitted(queue: &Queue, slots: SlotSettings, system: NodeSystem) -> Vec<&QueuedJob> {
    let running = queue.jobs.iter().filter(|job| job.system == system && job.runs).count();
    let free = slots.of(system).map_or(usize::MAX, |slots| slots.saturating_sub(running));
    ordered(queue, system).into_iter().take(free).collect()
}

/// The Jobs that queue for a system, in the order in which they get slots.
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

fn place(queue: &Queue, namespace: &str, job: &str) -> Option<Place> {
    let system = queue.jobs.iter().find(|other| other.namespace == namespace && other.job == job)?.system;
    let ordered = ordered(queue, system);
    let position = 1 + ordered.iter().position(|other| other.namespace == namespace && other.job == job)?;
    let running = queue.jobs.iter().filter(|job| job.system == system && job.runs).count();
    Some(Place { position, waiting: ordered.len(), running, system })
}
