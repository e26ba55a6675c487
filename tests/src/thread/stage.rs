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
use std::time::Duration;
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
}

/// Scenarios from the paths of async functions: `scenarios![thread::it_builds, failures::compile_error]`.
#[macro_export]
macro_rules! scenarios {
    ($($module:ident::$name:ident),* $(,)?) => {
        vec![$($crate::thread::Scenario { name: stringify!($name), run: |stage| Box::pin($module::$name(stage)) }),*]
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
}

impl Suite {
    /// Its scenarios as tests, in their order.
    pub fn trials(self) -> Vec<Trial> {
        let Self { name: suite, set_up, scenarios } = self;
        let shared = Arc::new(Shared { suite, set_up, stage: OnceLock::new(), turn: Mutex::new(()), failed: AtomicBool::new(false) });
        let trial = |Scenario { name, run }| {
            let shared = shared.clone();
            Trial::test(format!("{suite}::{name}"), move || shared.perform(run).map_err(|error| Failed::from(format!("{error:#}"))))
        };
        scenarios.into_iter().map(trial).collect()
    }
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
    fn perform(&self, scenario: fn(Arc<Stage>) -> BoxFuture<'static, Result<()>>) -> Result<()> {
        let (runtime, stage) = self.stage()?;
        // In a task, so that a panic is an error too.
        let done = runtime.block_on(runtime.spawn(scenario(stage))).map_err(anyhow::Error::from).flatten();
        self.failed.fetch_or(done.is_err(), Ordering::Relaxed);
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
