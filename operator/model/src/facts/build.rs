//! What is known of a build: its Jobs, how each gets on, and how it stands together with its tests?

use crate::inputs::Inputs;
use crate::wire::stages::SOURCE;
use crate::wire::stopped::Stopped;
use gowindows_crds::conditions::Reason;
use gowindows_crds::v1alpha1::{BinaryStatus, BuildEngine, CacheStatus, MemoryStatus, StageStatus};
use k8s_openapi::jiff::Timestamp;

/// One build Job and what its pod says.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    /// Name of the Job.
    pub job: String,
    /// Uid of the Job.
    pub uid: String,
    /// The first 32 hex digits of the fingerprint, from the Job's label.
    pub fingerprint: String,
    /// The inputs, where the annotation can be read and hashes to the label.
    pub inputs: Option<Inputs>,
    /// Which attempt at these inputs, from 1.
    pub attempt: i32,
    /// What compiles.
    pub engine: BuildEngine,
    /// That it does so in a buildkitd elsewhere, with the memory there.
    pub elsewhere: bool,
    /// Why it was started.
    pub cause: String,
    /// The rebuild token that asked for it.
    pub rebuild_token: Option<String>,
    /// The image whose program was taken over, where nothing was compiled.
    pub program_of: Option<String>,
    /// The memory of what compiles and tests.
    pub memory: Option<MemoryStatus>,
    /// When the Job was created.
    pub created: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Its stages, in order; those of its tests are theirs.
    pub stages: Vec<StageStatus>,
    /// What the first of them has told.
    pub facts: SourceFacts,
    /// Where it stands, together with its tests.
    pub state: BuildState,
    /// Whether its own Job has not ended, whatever its tests say.
    pub running: bool,
    /// Its pod has succeeded, and its Job does not say so yet.
    pub uncounted: bool,
    /// Why the operator stopped it, from the annotation.
    pub stopped: Option<Stopped>,
    /// The Jobs before its own, where it is made in several.
    pub before: Vec<PartJob>,
    /// The first of its Jobs that has not succeeded; none where all has ended.
    pub current: Option<CurrentJob>,
    /// Those of its Jobs that wait for one that has failed.
    pub idle: Vec<String>,
    /// The tests that its image waits for.
    pub tests: Option<Tests>,
}

/// Tests that run beside a build.
#[derive(Clone, Debug, PartialEq)]
pub struct Tests {
    /// Their Job.
    pub job: String,
    /// The Jobs before it.
    pub before: Vec<PartJob>,
    /// How they get on; none where their Job is gone.
    pub run: Option<Run>,
}

/// A Job of several in a row.
#[derive(Clone, Debug, PartialEq)]
pub struct PartJob {
    /// Its name.
    pub job: String,
    /// How it gets on; none where it is gone.
    pub run: Option<Run>,
}

/// The Job of several in a row that has to end before anything else can happen, and was not told to.
#[derive(Clone, Debug, PartialEq)]
pub struct CurrentJob {
    /// The Job.
    pub job: String,
    /// Its uid.
    pub uid: String,
    /// Since when it may have a pod; none while it is suspended until those before it have succeeded.
    pub since: Option<Timestamp>,
    /// It has one.
    pub has_pod: bool,
    /// One was evicted because its node was short of memory.
    pub evicted: bool,
    /// It begins when it has a slot.
    pub queued: bool,
}

/// How a Job, or several in a row, get on.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Uid of the Job.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Its stages, in order.
    pub stages: Vec<StageStatus>,
    /// What the one that fetches has told.
    pub facts: SourceFacts,
    /// Where it stands.
    pub state: BuildState,
    /// Its pod has succeeded, and its Job does not say so yet.
    pub uncounted: bool,
    /// Why the operator stopped it, from the annotation.
    pub stopped: Option<Stopped>,
    /// The first of its Jobs that has not succeeded; none where all has ended.
    pub current: Option<CurrentJob>,
    /// The Jobs that wait for one that has failed.
    pub idle: Vec<String>,
}

/// Where a build stands.
#[derive(Clone, Debug, PartialEq)]
pub enum BuildState {
    /// No container has run yet; what the cluster says about why.
    Queued(Option<String>),
    /// A container runs.
    Running,
    /// Its pod or the Job itself says so; what its last stage reported, where its pod is still there.
    Succeeded(Option<BuildResult>),
    /// The Job failed.
    Failed(Failure),
}

/// What `assemble` reported: a hint until the registry confirms it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildResult {
    /// Digest that was pushed.
    pub digest: String,
    /// The program in it.
    pub binary: Option<BinaryStatus>,
    /// Digest of the bill of its parts.
    pub sbom: Option<String>,
    /// What of it may not work, as codes, where the image itself does not say it.
    pub warnings: Vec<String>,
}

/// Why a build failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For machines.
    pub reason: Reason,
    /// The stage, where one had started.
    pub stage: Option<String>,
    /// Its exit code.
    pub exit_code: Option<i32>,
    /// For people.
    pub message: String,
    /// The redacted end of its output.
    pub log_tail: Option<String>,
}

/// What the `source` stage has told beside its end; nothing before it has ended well, or when its pod is gone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceFacts {
    /// Bytes of the files that are in place for what compiles.
    pub context_bytes: Option<i64>,
    /// What the cache held.
    pub cache: Option<CacheStatus>,
}

impl Build {
    /// Its Jobs that have neither ended nor been told to, and wait for none that could still succeed: its own, and those of its tests.
    pub fn to_stop(&self) -> [Vec<&str>; 2] {
        let tests = self.test_run().map(|run| to_stop(run.current.as_ref(), &run.idle));
        [to_stop(self.current.as_ref(), &self.idle), tests.unwrap_or_default()]
    }

    /// Its current Job, and that of its tests.
    pub fn current_jobs(&self) -> impl Iterator<Item = &CurrentJob> {
        self.current.iter().chain(self.test_run().and_then(|run| run.current.as_ref()))
    }

    /// Whether one of its Jobs has not ended.
    pub fn is_unfinished(&self) -> bool {
        self.running || self.uncounted || self.test_run().is_some_and(|run| run.state.is_active() || run.uncounted)
    }

    /// How its tests get on, where they have a Job that is there.
    pub fn test_run(&self) -> Option<&Run> {
        self.tests.as_ref()?.run.as_ref()
    }

    /// Its own stages, then those of its tests, which fetch the source as well.
    pub fn all_stages(&self) -> Vec<StageStatus> {
        let tests = self.test_run().into_iter().flat_map(|run| &run.stages).filter(|stage| stage.name != SOURCE);
        self.stages.iter().chain(tests).cloned().collect()
    }

    /// Whether its tests ran to a good end.
    pub fn has_passed(&self) -> bool {
        self.test_run().is_some_and(|run| matches!(run.state, BuildState::Succeeded(_)))
    }

    /// All of its Jobs that are there, its own last.
    pub fn all_jobs(&self) -> impl Iterator<Item = &str> {
        let there = |part: &&PartJob| part.run.is_some();
        let parts = self.before.iter().chain(self.tests.iter().flat_map(|tests| &tests.before)).filter(there).map(|part| part.job.as_str());
        let tests = self.tests.iter().filter(|tests| tests.run.is_some()).map(|tests| tests.job.as_str());
        parts.chain(tests).chain([self.job.as_str()])
    }

    /// Its current Jobs, as far as they wait. Those that need a slot are not among them.
    pub fn to_resume(&self) -> impl Iterator<Item = &str> {
        self.current_jobs().filter(|current| current.since.is_none() && !current.queued).map(|current| current.job.as_str())
    }
}

impl BuildState {
    /// The Job has not ended.
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Queued(_) | Self::Running)
    }
}

fn to_stop<'a>(current: Option<&'a CurrentJob>, idle: &'a [String]) -> Vec<&'a str> {
    current.map(|current| current.job.as_str()).into_iter().chain(idle.iter().map(String::as_str)).collect()
}
