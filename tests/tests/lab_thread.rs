//! Does the thread hold on a real cluster? From one applied object to a Windows program that answers, and through six failures.
//!
//! One lab serves all scenarios; each has its own namespace, and several run at a time.

#[path = "lab_thread/api.rs"]
mod api;
#[path = "lab_thread/build.rs"]
mod build;
#[path = "lab_thread/failures.rs"]
mod failures;
#[path = "lab_thread/leader.rs"]
mod leader;
#[path = "lab_thread/thread.rs"]
mod thread;

use anyhow::Result;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::windows_base::{self, Sizes};
use gowindows_tests::lab::windows_node::WindowsNode;
use gowindows_tests::lab::{Lab, available};
use gowindows_tests::thread::Operator;
use libtest_mimic::{Arguments, Failed, Trial};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;

/// A step of a scenario may take this long on a loaded machine.
pub const LIMIT: Duration = Duration::from_secs(420);

/// What every scenario shares.
pub struct Stage {
    /// The cluster.
    pub lab: Lab,
    /// The operator in it.
    pub operator: Operator,
    /// Held by a scenario that takes the operator's replicas away: one at a time.
    pub restarts: tokio::sync::Mutex<()>,
    _node: WindowsNode,
}

type Scenario = fn(Arc<Stage>) -> Pin<Box<dyn Future<Output = Result<()>> + Send>>;

macro_rules! scenarios {
    ($($module:ident::$name:ident),* $(,)?) => { vec![$((stringify!($name), (|stage| Box::pin($module::$name(stage))) as Scenario)),*] };
}

fn main() {
    let mut arguments = Arguments::from_args();
    // Two cores: more scenarios at a time only wait for each other's compilers.
    arguments.test_threads.get_or_insert(3);
    let reason = available().err();
    if let Some(reason) = &reason {
        eprintln!("ignored: {reason}");
    }
    let scenarios = scenarios![
        thread::an_object_becomes_a_running_windows_program,
        thread::the_smallest_object_works,
        thread::applying_again_and_restarting_build_nothing,
        thread::another_program_goes_the_same_way,
        thread::orders_are_obeyed_once,
        api::bad_specifications_are_refused_by_name,
        api::every_sample_is_accepted,
        api::explain_reads_like_documentation,
        build::the_laptop_makes_the_same_digest,
        leader::a_dead_and_a_stopped_leader_are_succeeded,
        failures::git_unreachable,
        failures::unknown_reference,
        failures::compile_error,
        failures::registry_refuses_the_login,
        failures::target_missing_or_without_the_container,
        failures::new_image_crashes,
    ];
    let stage = Arc::new(OnceLock::<(Runtime, Arc<Stage>)>::new());
    let setup = Arc::new(std::sync::Mutex::new(()));
    let trials = scenarios.into_iter().map(|(name, scenario)| {
        let (stage, setup) = (stage.clone(), setup.clone());
        let run = move || {
            let (runtime, stage) = prepared(&stage, &setup).map_err(|error| Failed::from(format!("{error:#}")))?;
            runtime.block_on(scenario(stage)).map_err(|error| Failed::from(format!("{error:#}")))
        };
        Trial::test(name, run).with_ignored_flag(reason.is_some())
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    if let Some((runtime, stage)) = Arc::into_inner(stage).and_then(OnceLock::into_inner) {
        end(&runtime, stage, conclusion.has_failed());
    }
    conclusion.exit();
}

/// The stage, set up by whichever scenario comes first.
fn prepared(stage: &OnceLock<(Runtime, Arc<Stage>)>, setup: &std::sync::Mutex<()>) -> Result<(tokio::runtime::Handle, Arc<Stage>)> {
    let _one_at_a_time = setup.lock().map_err(|_| anyhow::anyhow!("the set-up failed before"))?;
    if stage.get().is_none() {
        let runtime = Runtime::new()?;
        let set = runtime.block_on(set_up())?;
        let _ = stage.set((runtime, Arc::new(set)));
    }
    let (runtime, stage) = stage.get().ok_or_else(|| anyhow::anyhow!("no stage"))?;
    Ok((runtime.handle().clone(), stage.clone()))
}

async fn set_up() -> Result<Stage> {
    let progress = Progress::stderr();
    let lab = Lab::start(&progress).await?;
    progress.step("the Windows bases", windows_base::publish(lab.registry(), Sizes::default())).await?;
    let node = lab.windows_node("windows-1", "10.0.20348.5499", &progress).await?;
    let operator = Operator::install(&lab, &progress).await?;
    Ok(Stage { lab, operator, restarts: tokio::sync::Mutex::default(), _node: node })
}

fn end(runtime: &Runtime, stage: Arc<Stage>, failed: bool) {
    if failed {
        eprintln!("the operator's log ends with:\n{}", runtime.block_on(stage.operator.log()));
        if let Ok(kept) = stage.lab.keep_logs() {
            eprintln!("the lab's logs are kept in {}", kept.display());
        }
    }
    if let Some(stage) = Arc::into_inner(stage) {
        let Stage { lab, operator: _, restarts: _, _node: node } = stage;
        runtime.block_on(node.stop());
        drop(lab);
    }
}
