//! How do scenarios share a lab?
//!
//! A suite's first scenario sets the stage up; each has namespaces of its own, and several run at a time. After the last one the lab is taken
//! away; when one has failed, the end of the operator's log is printed before and the lab's logs are kept.

use super::Operator;
use crate::lab::Lab;
use crate::lab::progress::Progress;
use anyhow::{Result, anyhow};
use futures::future::BoxFuture;
use gowindows_wine_node::WindowsNode;
use libtest_mimic::{Failed, Trial};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Runtime};

/// A step of a scenario may take this long on a loaded machine.
pub const LIMIT: Duration = Duration::from_secs(600);

/// What every scenario shares.
pub struct Stage {
    /// The cluster.
    pub lab: Lab,
    /// The operator in it.
    pub operator: Operator,
    /// Its Windows nodes.
    pub nodes: Vec<WindowsNode>,
}

/// A scenario with its name.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub run: fn(Arc<Stage>) -> BoxFuture<'static, Result<()>>,
    /// Why it runs only when it is asked for (`--ignored`).
    pub ignored: Option<&'static str>,
}

impl Scenario {
    /// The same, run only when it is asked for.
    pub fn ignored(self, why: &'static str) -> Self {
        Self { ignored: Some(why), ..self }
    }
}

/// Scenarios from the paths of async functions: `scenarios![thread::it_builds, failures::compile_error]`.
#[macro_export]
macro_rules! scenarios {
    ($($module:ident::$name:ident),* $(,)?) => {
        vec![$($crate::thread::Scenario { name: stringify!($name), run: |stage| Box::pin($module::$name(stage)), ignored: None }),*]
    };
}

/// Scenarios that share a lab.
pub struct Suite {
    /// Its name, with which those of its scenarios begin on the command line.
    pub name: &'static str,
    /// Makes the lab and what all scenarios need in it.
    pub set_up: fn(Progress) -> BoxFuture<'static, Result<Stage>>,
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
    /// Other suites, by their names, that need no other lab: a lab costs a part of a processor, and its start half a minute.
    pub guests: Vec<(&'static str, Vec<Scenario>)>,
}

impl Suite {
    /// All scenarios as tests: of each suite in their order, in turns, so that those which a suite begins with begin first.
    pub fn trials(self) -> Vec<Trial> {
        let Self { name, set_up, scenarios, guests } = self;
        let stage = OnceLock::new();
        let shared = Arc::new(Shared { suite: name, set_up, stage, turn: Mutex::new(()), failed: AtomicBool::new(false) });
        let mut suites: Vec<_> =
            [(name, scenarios)].into_iter().chain(guests).map(|(suite, scenarios)| (suite, scenarios.into_iter())).collect();
        let mut trials = Vec::new();
        loop {
            let before = trials.len();
            for (suite, scenarios) in &mut suites {
                trials.extend(scenarios.next().map(|scenario| trial(&shared, suite, scenario)));
            }
            if trials.len() == before {
                return trials;
            }
        }
    }
}

fn trial(shared: &Arc<Shared>, suite: &str, Scenario { name, run, ignored }: Scenario) -> Trial {
    let (shared, name) = (shared.clone(), format!("{suite}::{name}"));
    if let Some(why) = ignored {
        eprintln!("{name} is ignored: {why}");
    }
    let told = name.clone();
    let test = move || shared.perform(&told, run).map_err(|error| Failed::from(format!("{error:#}")));
    Trial::test(name, test).with_ignored_flag(ignored.is_some())
}

/// What the tests of a suite hold. It goes with the last of them that is chosen and has been run.
struct Shared {
    suite: &'static str,
    set_up: fn(Progress) -> BoxFuture<'static, Result<Stage>>,
    stage: OnceLock<(Runtime, Arc<Stage>)>,
    turn: Mutex<()>,
    failed: AtomicBool,
}

impl Shared {
    fn perform(&self, name: &str, scenario: fn(Arc<Stage>) -> BoxFuture<'static, Result<()>>) -> Result<()> {
        let (runtime, stage) = self.stage()?;
        let began = Instant::now();
        // In a task, so that a panic is an error too.
        let done = runtime.block_on(runtime.spawn(scenario(stage))).map_err(anyhow::Error::from).flatten();
        self.failed.fetch_or(done.is_err(), Ordering::Relaxed);
        eprintln!("{name}: {:.0} s", began.elapsed().as_secs_f64());
        done
    }

    /// The stage, set up by whichever scenario comes first.
    fn stage(&self) -> Result<(Handle, Arc<Stage>)> {
        let _one_at_a_time = self.turn.lock().map_err(|_| anyhow!("the set-up failed before"))?;
        if self.stage.get().is_none() {
            let (runtime, suite) = (Runtime::new()?, self.suite);
            let set = runtime.block_on((self.set_up)(Progress::new(move |line| eprintln!("{suite}: {line}"))))?;
            let _ = self.stage.set((runtime, Arc::new(set)));
        }
        let (runtime, stage) = self.stage.get().ok_or_else(|| anyhow!("no stage"))?;
        Ok((runtime.handle().clone(), stage.clone()))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let Some((runtime, stage)) = self.stage.take() else { return };
        if *self.failed.get_mut() {
            eprintln!("{}: the operator's log ends with:\n{}", self.suite, runtime.block_on(stage.operator.log()));
            if let Ok(kept) = stage.lab.keep_logs() {
                eprintln!("{}: the lab's logs are kept in {}", self.suite, kept.display());
            }
        }
        if let Some(Stage { lab, operator: _, nodes }) = Arc::into_inner(stage) {
            for node in nodes {
                runtime.block_on(node.stop());
            }
            drop(lab);
        }
    }
}
