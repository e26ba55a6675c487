//! What does a build take with each engine, and what is gained where parts of it run beside each other?
//!
//! Everything is measured in one lab, on the same sources, base and registry; what is compared are ratios. Prints tables, and with `--write`
//! puts them into `docs/engines.md`. Needs root, as the lab does. Not a test: nothing fails because a machine is slow. That all engines make
//! the same program is what `lab_engines` shows.

mod change;
mod gate;
mod plain;
mod rounds;
mod stages;
mod stand;
mod watch;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use gowindows_bench::{Document, Results, head};
use gowindows_tests::lab::go::Toolchain;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::peers::{buildkit, kaniko, ko};
use stand::Stand;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(about = "Times builds by each engine, beside tools without a cluster, and what runs at the same time beside what does not")]
struct Arguments {
    /// Rounds of each comparison: with 2, A-B-A-B
    #[arg(long, default_value_t = 2)]
    repeats: usize,
    /// Only these parts; may be repeated
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// Put the tables into docs/engines.md
    #[arg(long, conflicts_with = "parts")]
    write: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A one-line change, and one of a label
    Change,
    /// Tests beside the build, and one after the other
    Tests,
    /// Independent stages of a Dockerfile, and dependent ones
    Stages,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    gowindows_bench::possible(arguments.repeats)?;
    let progress = Progress::stderr();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // Whichever ends first drops the other: the lab takes itself away, and everything that it started.
    let told_to_end = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        progress.say("taking everything away; what builders keep takes a while");
    };
    let results = tokio::select! {
        results = measure(arguments, &progress) => results?,
        () = told_to_end => bail!("interrupted, and nothing was written"),
    };
    let by = gowindows_bench::arguments(arguments.repeats, &arguments.parts);
    let versions = [
        format!("gowindows {}", env!("CARGO_PKG_VERSION")),
        buildkit::version()?,
        kaniko::version()?,
        ko::version()?,
        format!("Go {}", Toolchain::find()?.version()),
    ];
    let unoptimized = "gowindows' own stages, `source` and `assemble`, take a little longer than they would";
    let markdown = results.markdown(&head("bench_engines", &by, unoptimized, &versions));
    print!("{markdown}");
    if arguments.write {
        Document::ENGINES.write(&markdown)?;
    }
    Ok(())
}

async fn measure(arguments: &Arguments, progress: &Progress) -> Result<Results> {
    let (mut stand, mut results) = (Stand::set_up(progress).await?, Results::default());
    let measured = parts(arguments, &mut stand, &mut results).await;
    if let Err(error) = measured {
        return Err(error.context(format!("the operator's log ends with:\n{}", stand.stage.operator.log().await)));
    }
    stand.end().await?;
    Ok(results)
}

async fn parts(arguments: &Arguments, stand: &mut Stand, results: &mut Results) -> Result<()> {
    let wanted = |part: Part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    if wanted(Part::Change) {
        change::measure(stand, arguments.repeats, results).await?;
    }
    if wanted(Part::Tests) {
        gate::measure(stand, arguments.repeats, results).await?;
    }
    if wanted(Part::Stages) {
        stages::measure(stand, arguments.repeats, results).await?;
    }
    Ok(())
}
