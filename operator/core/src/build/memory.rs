//! How much memory does what compiles and tests get, and when more?
//!
//! | what is known | set aside | limit |
//! |---|---|---|
//! | nothing | the default | the default, or what the object says |
//! | a good build of this object had more | as that | as that |
//! | the attempt before ran out of its limit | that limit | twice as much, up to `build.resources.maxMemory`; once |
//! | the attempt before was evicted, its node being short of memory | its limit | the same |
//!
//! What the object says (`build.resources.limits.memory`, `requests.memory`) is not raised. Nothing measures what a build uses: that it ran out,
//! and what sufficed, is all that is learned. Both stand in annotations of the Jobs, so nothing has to be remembered.

use super::{Building, Release, is_of, recorded_attempt, stop};
use gowindows_crds::conditions::Reason;
use gowindows_crds::sizes;
use gowindows_crds::v1alpha1::{LearnedMemory, MemorySource, MemoryStatus};
use gowindows_model::facts::{Build, BuildState, World};
use gowindows_model::inputs::Inputs;
use gowindows_model::request::{MemoryRequest, Request};
use gowindows_model::wire::stages::{COMPILE, MODULES, TEST};
use gowindows_model::wire::stopped::Stopped;
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::sync::Arc;

/// What the containers get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    request: u64,
    limit: u64,
    source: MemorySource,
    because: Option<String>,
}

/// An attempt, and what it had.
struct Attempt {
    job: String,
    memory: Memory,
    lacked: Option<Lack>,
}

/// What an attempt had too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    Limit,
    Node,
}

impl Memory {
    fn heard(told: &MemoryStatus) -> Option<Self> {
        let MemoryStatus { request, limit, source, because } = told;
        let (request, limit) = (sizes::quantity(request)?, sizes::quantity(limit)?);
        Some(Self { request, limit, source: *source, because: because.clone() })
    }

    /// For the status, and for the Job.
    pub(super) fn told(&self) -> MemoryStatus {
        let Self { request, limit, source, because } = self.clone();
        MemoryStatus { request: sizes::text(request), limit: sizes::text(limit), source, because }
    }

    /// A request whose containers get it.
    pub(super) fn given_to(&self, request: &Request) -> Arc<Request> {
        let mut request = request.clone();
        let ResourceRequirements { claims: _, limits, requests } = &mut request.build.resources;
        for (list, bytes) in [(requests, self.request), (limits, self.limit)] {
            list.get_or_insert_default().insert("memory".into(), Quantity(sizes::text(bytes)));
        }
        Arc::new(request)
    }
}

/// What the next attempt at these inputs gets.
pub(super) fn of_next(world: &World, request: &Request, inputs: &Inputs) -> Memory {
    let first = of_first(world, request);
    let Some(last) = last(world, request, inputs, &first) else { return first };
    let bounds = &request.build.memory;
    if let Some(more) = more(&last, &first, bounds) {
        return more;
    }
    // What was given once is not taken back before the inputs change.
    let Memory { request: aside, limit, .. } = last.memory;
    let allowed = limit >= first.limit && limit <= bounds.most.max(first.limit) && (!bounds.request_is_declared || aside == first.request);
    if allowed { last.memory } else { first }
}

/// What the first attempt at new inputs gets.
fn of_first(world: &World, request: &Request) -> Memory {
    let MemoryRequest { request: aside, limit, most, request_is_declared, limit_is_declared } = request.build.memory;
    let source = if limit_is_declared { MemorySource::Declared } else { MemorySource::Default };
    let plain = Memory { request: aside, limit, source, because: None };
    let Some(LearnedMemory { request: learned_aside, limit: learned_limit, because, .. }) = learned(world, request) else { return plain };
    let bytes = |text: &str| sizes::quantity(text).unwrap_or_default();
    let limit = bytes(&learned_limit).min(most).max(limit);
    let aside = if request_is_declared { aside } else { bytes(&learned_aside).max(aside).min(limit) };
    if (aside, limit) == (plain.request, plain.limit) || limit_is_declared && limit == plain.limit {
        return Memory { request: aside, ..plain };
    }
    Memory { request: aside, limit, source: MemorySource::Learned, because }
}

/// What the newest good build had that compiled or tested with this engine, where that is not the default. What somebody declares says nothing
/// about what is needed.
pub(super) fn learned(world: &World, request: &Request) -> Option<LearnedMemory> {
    let engine = request.build.engine.kind();
    let good = |build: &&Build| build.engine == engine && matches!(build.state, BuildState::Succeeded(_));
    let told =
        |build: &Build| build.memory.clone().filter(|memory| memory.source != MemorySource::Declared && Memory::heard(memory).is_some());
    match world.builds.iter().rev().filter(good).find_map(|build| Some((build, told(build)?))) {
        None => world.status().learned.as_ref()?.memory.clone().filter(|learned| learned.engine == engine),
        Some((_, MemoryStatus { source: MemorySource::Default, .. })) => None,
        Some((build, MemoryStatus { request, limit, because, source: _ })) => {
            Some(LearnedMemory { request, limit, engine, job: build.job.clone(), because })
        }
    }
}

/// The newest attempt at inputs: its Job's, or where that is gone what was recorded of it.
fn last(world: &World, request: &Request, inputs: &Inputs, first: &Memory) -> Option<Attempt> {
    let recorded = recorded_attempt(world, inputs.fingerprint());
    let mine = |build: &&Build| is_of(build, inputs);
    let newest = world.builds.iter().filter(mine).max_by_key(|build| build.attempt).filter(|build| build.attempt >= recorded);
    let heard = |told: Option<&MemoryStatus>| told.and_then(Memory::heard).unwrap_or_else(|| first.clone());
    if let Some(build) = newest {
        let lacked = match &build.state {
            BuildState::Failed(failure) => lack(&failure.reason.to_string(), failure.stage.as_deref(), build.elsewhere),
            BuildState::Queued(_) | BuildState::Running | BuildState::Succeeded(_) => None,
        };
        return Some(Attempt { job: build.job.clone(), memory: heard(build.memory.as_ref()), lacked });
    }
    let build = world.status().build.as_ref().filter(|build| build.fingerprint == inputs.fingerprint())?;
    let failure = build.failure.as_ref();
    let lacked = failure.and_then(|failure| lack(&failure.reason, failure.stage.as_deref(), request.build.engine.is_elsewhere()));
    Some(Attempt { job: build.job.clone(), memory: heard(build.memory.as_ref()), lacked })
}

/// What an attempt with this failure had too little of, if that can be given to the next one.
fn lack(reason: &str, stage: Option<&str>, elsewhere: bool) -> Option<Lack> {
    match stage {
        _ if reason != Reason::OutOfMemory.to_string() => None,
        None => Some(Lack::Node),
        // Its memory is buildkitd's.
        Some(COMPILE) if elsewhere => None,
        Some(COMPILE | MODULES | TEST) => Some(Lack::Limit),
        Some(_) => None,
    }
}

/// More than the attempt before had, where it lacked some and may get it.
fn more(last: &Attempt, first: &Memory, bounds: &MemoryRequest) -> Option<Memory> {
    let Attempt { job, memory: had, lacked } = last;
    let lacked = (*lacked)?;
    let (aside, limit) = (sizes::text(had.request), sizes::text(had.limit));
    match lacked {
        // Somebody has given it more since.
        Lack::Limit if first.limit > had.limit => Some(first.clone()),
        Lack::Node if first.request > had.request => Some(first.clone()),
        Lack::Limit if had.limit == first.limit && bounds.most > had.limit => Some(Memory {
            request: if bounds.request_is_declared { had.request } else { had.limit },
            limit: had.limit.saturating_mul(2).min(bounds.most),
            source: MemorySource::OutOfMemory,
            because: Some(format!("Job {job} ran out of {limit}")),
        }),
        Lack::Node if !bounds.request_is_declared && had.request < had.limit => Some(Memory {
            request: had.limit,
            limit: had.limit,
            source: MemorySource::Evicted,
            because: Some(format!("Job {job}, for which {aside} was set aside, was evicted from a node that was short of memory")),
        }),
        Lack::Limit | Lack::Node => None,
    }
}

/// Whether a failed attempt lacked memory that the next one could get, and what is to be said of that.
pub(super) struct Outlook {
    /// There is more for it.
    pub(super) hope: bool,
    /// What happens next, or what to do.
    pub(super) words: String,
}

impl Release<'_> {
    /// Of the newest attempt at these inputs; none where it did not lack memory of its own.
    pub(super) fn memory_outlook(&self) -> Option<Outlook> {
        let Self { world, request, inputs, .. } = self;
        let first = of_first(world, request);
        let last = last(world, request, inputs, &first)?;
        let lacked = last.lacked?;
        let bounds = &request.build.memory;
        let (had, most) = (sizes::text(last.memory.limit), sizes::text(bounds.most));
        // What somebody has given it since then is no retry.
        let more = more(&last, &first, bounds).filter(|more| request.build.retries > 0 || *more == first);
        let words = match (&more, lacked) {
            (Some(memory), Lack::Limit) => format!("The next attempt gets {}.", sizes::text(memory.limit)),
            (Some(memory), Lack::Node) => format!("For the next attempt {} is set aside.", sizes::text(memory.request)),
            (None, _) if request.build.retries == 0 && had != most => {
                format!("build.retries is 0, so it is not tried with more. Set build.resources.limits.memory to more than {had}.")
            }
            (None, Lack::Node) => "Raise build.resources.requests.memory, or give it a node with more memory.".to_owned(),
            (None, Lack::Limit) if bounds.limit_is_declared && bounds.most <= bounds.limit => {
                format!(
                    "build.resources.limits.memory is {had} and is kept: raise it, or let the operator raise it up to build.resources.maxMemory."
                )
            }
            (None, Lack::Limit) if last.memory.limit >= bounds.most => {
                format!(
                    "That is the most it may get (build.resources.maxMemory, else resources.maxMemory of the operator's settings: {most}). Set build.resources.limits.memory to more than {had}."
                )
            }
            (None, Lack::Limit) => format!("The limit is not raised again. Set build.resources.limits.memory to more than {had}."),
        };
        let tried = last.memory.because.as_ref().filter(|_| lacked == Lack::Limit && more.is_none());
        let tried = tried.map(|because| format!("Before, {because}. ")).unwrap_or_default();
        Some(Outlook { hope: more.is_some(), words: format!("{tried}{words}") })
    }

    /// A failure is final although its class is tried again: it was told so, and nothing has changed since.
    pub(super) fn memory_is_hopeless(&self) -> bool {
        self.memory_outlook().is_some_and(|outlook| !outlook.hope)
    }
}

/// Ends a build whose pods are evicted, because too little was set aside: the Job controller would start them again as they were.
pub(super) fn relieve(world: &World, request: &Request, part: &mut Building, build: &Build) {
    let Some(memory) = build.memory.as_ref().and_then(Memory::heard) else { return };
    let evicted = Attempt { job: build.job.clone(), memory, lacked: Some(Lack::Node) };
    if more(&evicted, &of_first(world, request), &request.build.memory).is_none() {
        return;
    }
    for current in build.current_jobs().filter(|current| current.evicted) {
        stop(part, &current.job, Stopped::Evicted);
    }
}
