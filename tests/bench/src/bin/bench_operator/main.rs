//! What does the operator cost with ten thousand objects, and how fast is it?
//!
//! Measured on a real etcd and API server, and nothing else: no kubelet, no Job controller. Beside it a naive controller, in a process of its
//! own. Prints tables, and with `--write` puts them into `docs/scale.md`. Needs root, as the lab does. Not a test: nothing fails because a
//! machine is slow.

mod bench;
mod burst;
mod calibration;
mod ground;
mod hanging;
mod idle;
mod many;
mod memory;
mod naive;
mod pass;
mod poisoned;
mod populate;
mod rate;
mod seen;
mod servers;
mod start;
mod subject;
mod template;
mod waiting;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::{Parser, Subcommand, ValueEnum};
use gowindows_bench::{Document, Results, head};
use gowindows_tests::lab::progress::Progress;
use tokio::signal::unix::{SignalKind, signal};

use crate::bench::Bench;

#[derive(Parser)]
#[command(about = "Measures the operator with many objects, on a real API server, beside a naive controller")]
struct Arguments {
    /// Rounds of each comparison: with 2, A-B-A-B
    #[arg(long, default_value_t = 2)]
    repeats: usize,
    /// Only these parts; may be repeated
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// Put the tables into docs/scale.md
    #[arg(long, conflicts_with_all = ["parts", "divide", "operator"])]
    write: bool,
    /// Divide every number of objects by this, to try the benchmark
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    divide: usize,
    /// Measure this gowindows instead of building the workspace's
    #[arg(long, value_name = "FILE")]
    operator: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Be the naive controller; the benchmark starts it by itself
    #[command(hide = true)]
    Naive {
        /// What it makes of an object
        #[arg(long)]
        template: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// From an object to its Job, ten a second
    Rate,
    /// 1 000 objects at once
    Burst,
    /// 10 000 objects at once
    Many,
    /// What a pass costs among 1 000 objects and among 10 000
    Pass,
    /// Memory with 1 000, 10 000 and 50 000 objects
    Memory,
    /// Starting on 10 000 objects, and after a crash
    Start,
    /// One object that always fails
    Poisoned,
    /// 9 000 objects whose builds wait for a pod
    Waiting,
    /// 200 objects whose git server never answers
    Hanging,
    /// Objects with nothing to do
    Idle,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Some(Command::Naive { template }) => naive::run(template).await,
        None => run(&arguments).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    gowindows_bench::possible(arguments.repeats)?;
    if arguments.divide == 0 {
        bail!("--divide 0 leaves no objects; use 1 or more");
    }
    let progress = Progress::stderr();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // Whichever ends first drops the other: the cluster takes itself away, and everything that runs on it.
    let told_to_end = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        progress.say("taking everything away");
    };
    let mut results = Results::default();
    let measured = tokio::select! {
        measured = measure(arguments, &progress, &mut results) => measured,
        () = told_to_end => Err(anyhow!("interrupted, and nothing was written")),
    };
    // Parts take long: those that have ended are told in any case.
    if results.is_empty() {
        return measured;
    }
    let by = gowindows_bench::arguments(arguments.repeats, &arguments.parts);
    let divided = if arguments.divide > 1 { format!("{by} --divide {}", arguments.divide) } else { by };
    let versions = [format!("gowindows {}", env!("CARGO_PKG_VERSION")), "etcd and kube-apiserver of `tests/tools`".to_owned()];
    let markdown = results.markdown(&head("bench_operator", &divided, "both controllers are slower than they would be", &versions));
    print!("{markdown}");
    measured?;
    if arguments.write {
        Document::OPERATOR.write(&markdown)?;
    }
    Ok(())
}

async fn measure(arguments: &Arguments, progress: &Progress, results: &mut Results) -> Result<()> {
    let bench = Bench::set_up(arguments.operator.as_deref(), arguments.repeats, arguments.divide, progress, results).await?;
    let mut failed = Vec::new();
    for part in Part::value_variants() {
        if arguments.parts.is_empty() || arguments.parts.contains(part) {
            progress.say(format!("part {part:?}"));
            if let Err(error) = measure_part(*part, &bench, results).await {
                progress.say(format!("part {part:?} failed, the others go on: {error:#}"));
                failed.push(format!("{part:?}: {error:#}"));
            }
        }
    }
    bench.calibrate_again(results).await?;
    if !failed.is_empty() {
        bail!("parts that failed, and nothing was written: {}", failed.join("; "));
    }
    Ok(())
}

async fn measure_part(part: Part, bench: &Bench, results: &mut Results) -> Result<()> {
    match part {
        Part::Rate => rate::measure(bench, results).await,
        Part::Burst => burst::measure(bench, results).await,
        Part::Many => many::measure(bench, results).await,
        Part::Pass => pass::measure(bench, results).await,
        Part::Memory => memory::measure(bench, results).await,
        Part::Start => start::measure(bench, results).await,
        Part::Poisoned => poisoned::measure(bench, results).await,
        Part::Waiting => waiting::measure(bench, results).await,
        Part::Hanging => hanging::measure(bench, results).await,
        Part::Idle => idle::measure(bench, results).await,
    }
}
