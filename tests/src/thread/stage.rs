//! How do the scenarios of one test binary share one lab?
//!
//! The first scenario sets the stage up; each has namespaces of its own, and several run at a time. After a failure the end of
//! the operator's log is printed and the lab's logs are kept.

use super::Operator;
use crate::lab::windows_node::WindowsNode;
use crate::lab::{Lab, available};
use anyhow::{Result, anyhow};
use futures::future::BoxFuture;
use libtest_mimic::{Arguments, Failed, Trial};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};

/// A step of a scenario may take this long on a loaded machine.
pub const LIMIT: Duration = Duration::from_secs(420);

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
    /// Its name, by which it is chosen on the command line.
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

/// Runs scenarios, `at_a_time` of them unless the command line says otherwise, and ends this process.
pub fn run(set_up: fn() -> BoxFuture<'static, Result<Stage>>, at_a_time: usize, scenarios: Vec<Scenario>) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(at_a_time);
    let reason = available().err();
    if let Some(reason) = &reason {
        eprintln!("ignored: {reason}");
    }
    let shared = Arc::new(Shared { set_up, stage: OnceLock::new(), turn: Mutex::new(()) });
    let trials = scenarios.into_iter().map(|Scenario { name, run: scenario }| {
        let shared = shared.clone();
        let run = move || {
            let (runtime, stage) = shared.stage().map_err(|error| Failed::from(format!("{error:#}")))?;
            runtime.block_on(scenario(stage)).map_err(|error| Failed::from(format!("{error:#}")))
        };
        Trial::test(name, run).with_ignored_flag(reason.is_some())
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if let Some((runtime, stage)) = Arc::into_inner(shared).and_then(|shared| shared.stage.into_inner()) {
        end(&runtime, stage, conclusion.has_failed());
    }
    conclusion.exit()
}

struct Shared {
    set_up: fn() -> BoxFuture<'static, Result<Stage>>,
    stage: OnceLock<(Runtime, Arc<Stage>)>,
    turn: Mutex<()>,
}

impl Shared {
    /// The stage, set up by whichever scenario comes first.
    fn stage(&self) -> Result<(Handle, Arc<Stage>)> {
        let _one_at_a_time = self.turn.lock().map_err(|_| anyhow!("the set-up failed before"))?;
        if self.stage.get().is_none() {
            let runtime = Runtime::new()?;
            let set = runtime.block_on((self.set_up)())?;
            let _ = self.stage.set((runtime, Arc::new(set)));
        }
        let (runtime, stage) = self.stage.get().ok_or_else(|| anyhow!("no stage"))?;
        Ok((runtime.handle().clone(), stage.clone()))
    }
}

fn end(runtime: &Runtime, stage: Arc<Stage>, failed: bool) {
    if failed {
        eprintln!("the operator's log ends with:\n{}", runtime.block_on(stage.operator.log()));
        if let Ok(kept) = stage.lab.keep_logs() {
            eprintln!("the lab's logs are kept in {}", kept.display());
        }
    }
    if let Some(Stage { lab, operator: _, nodes }) = Arc::into_inner(stage) {
        for node in nodes {
            runtime.block_on(node.stop());
        }
        drop(lab);
    }
}
