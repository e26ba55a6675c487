//! Which Jobs begin when, where the operator's settings limit how many run at a time?
//!
//! Each Job takes a slot of the system of its nodes while it may have a pod. A Job for which there may be none is created suspended, and any pass, of
//! whichever object, resumes those at the head of the line: so an object that cannot be looked at holds up nobody. A Job needs no other one to
//! end, so none waits for ever.
//!
//! The next slot is for the namespace of which the fewest run, among these for the Job that was created first.

use gowindows_crds::names;
use gowindows_crds::v1alpha1::NodeSystem;
use gowindows_model::facts::{Build, BuildState, InLine, Line, Turn, World};
use gowindows_model::plan::{BuildVerdict, Effect, Plan};
use gowindows_model::settings::{Settings, SlotSettings};
use k8s_openapi::api::batch::v1::Job;
use kube_core::ResourceExt;
use std::collections::BTreeMap;

/// The systems of which there are slots.
const SYSTEMS: [NodeSystem; 2] = [NodeSystem::Linux, NodeSystem::Windows];
/// Where a Job stands in the line for its system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// From 1.
    position: usize,
    waiting: usize,
    running: usize,
    system: NodeSystem,
}

/// Has a Job wait for a slot, where they are limited.
pub(super) fn enqueue(job: &mut Job, settings: &Settings) {
    let (system, name) = if crate::read::is_on_windows(job) { (NodeSystem::Windows, "windows") } else { (NodeSystem::Linux, "linux") };
    if settings.slots.of(system).is_some() {
        job.annotations_mut().insert(names::ANNOTATION_QUEUED.to_owned(), name.to_owned());
        job.spec.get_or_insert_default().suspend = Some(true);
    }
}

/// Lets those begin for which there are slots.
pub(super) fn decide(world: &World, settings: &Settings, plan: &mut Plan) {
    for system in SYSTEMS {
        let admitted = admitted(&world.line, settings.slots, system).into_iter();
        plan.effects.extend(admitted.map(|job| Effect::StartJob {
            namespace: job.namespace.clone(),
            job: job.job.clone(),
            slots: settings.slots,
        }));
    }
    let BuildVerdict::Active(build) = &mut plan.conclusion.build else { return };
    let turns: Vec<Turn> = build.turns().filter(|turn| turn.queued && turn.since.is_none()).cloned().collect();
    let namespace = world.object.namespace().unwrap_or_default();
    let places = turns.iter().filter_map(|turn| Some((turn, place(&world.line, &namespace, &turn.job)?)));
    let places: Vec<_> = places.collect();
    for (turn, place) in &places {
        explain(build, turn, *place);
    }
    plan.conclusion.queue_position = places.iter().map(|(_, place)| place.position).min();
}

fn explain(build: &mut Build, turn: &Turn, place: Place) {
    let Place { position, waiting, running, system } = place;
    let nodes = match system {
        NodeSystem::Linux => "Linux",
        NodeSystem::Windows => "Windows",
    };
    let why = format!(
        "it is number {position} of {waiting} in the queue for a slot on {nodes} nodes, where {running} run (slots in the operator's settings)"
    );
    let tests = build.tests.as_mut().and_then(|tests| tests.run.as_mut()).map(|run| (&mut run.state, run.turn.clone()));
    for (state, own) in [(&mut build.state, build.turn.clone())].into_iter().chain(tests) {
        if own.is_some_and(|own| own.job == turn.job) && matches!(state, BuildState::Queued(_)) {
            *state = BuildState::Queued(Some(why.clone()));
        }
    }
}

/// The Jobs that may begin now, in their order.
pub fn admitted(line: &Line, slots: SlotSettings, system: NodeSystem) -> Vec<&InLine> {
    let running = line.jobs.iter().filter(|job| job.system == system && job.runs).count();
    let free = slots.of(system).map_or(usize::MAX, |slots| slots.saturating_sub(running));
    ordered(line, system).into_iter().take(free).collect()
}

/// The Jobs that queue for a system, in the order in which they get slots.
fn ordered(line: &Line, system: NodeSystem) -> Vec<&InLine> {
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    let mut waiting: Vec<&InLine> = Vec::new();
    for job in line.jobs.iter().filter(|job| job.system == system) {
        if job.runs { *taken.entry(&job.namespace).or_default() += 1 } else { waiting.push(job) }
    }
    waiting.sort_by(|a, b| (a.created, &a.namespace, &a.job).cmp(&(b.created, &b.namespace, &b.job)));
    let mut ranked: Vec<(usize, &InLine)> = Vec::new();
    for job in waiting {
        let before = taken.entry(&job.namespace).or_default();
        ranked.push((*before, job));
        *before += 1;
    }
    // The sort is stable: among equals the first stays the first.
    ranked.sort_by_key(|(before, _)| *before);
    ranked.into_iter().map(|(_, job)| job).collect()
}

fn place(line: &Line, namespace: &str, job: &str) -> Option<Place> {
    let system = line.jobs.iter().find(|other| other.namespace == namespace && other.job == job)?.system;
    let ordered = ordered(line, system);
    let position = 1 + ordered.iter().position(|other| other.namespace == namespace && other.job == job)?;
    let running = line.jobs.iter().filter(|job| job.system == system && job.runs).count();
    Some(Place { position, waiting: ordered.len(), running, system })
}
