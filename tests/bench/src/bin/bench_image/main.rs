//! How does our image compare with those of other builders: bytes, layers, correctness, time and memory?
//!
//! Everything is measured in one run, on the same programs, bases and registry; what is compared are ratios. Prints tables, and with
//! `--write` puts them into `docs/benchmarks.md`. Needs root, as the lab does, for the daemons of others. Not a test: nothing fails
//! because a machine is slow. That the builders' images are judged rightly is what `contract_verify` shows.

mod builders;
mod comparison;
mod compression;
mod dockerfiles;
mod facts;
mod flags;
mod line;
mod measure;
mod nodes;
mod releases;
mod stand;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use gowindows_bench::{Document, Results, head};
use gowindows_tests::lab::progress::Progress;
use stand::Stand;

#[derive(Parser)]
#[command(about = "Compares Windows images with those of ko, BuildKit, Buildah and Kaniko")]
struct Arguments {
    /// Runs of each builder, beside a first one
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Only these parts; may be repeated
    #[arg(long = "part", value_enum)]
    parts: Vec<Part>,
    /// Put the tables into docs/benchmarks.md, and what the flags save into the operator's data
    #[arg(long, conflicts_with = "parts")]
    write: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    Builders,
    Large,
    Dockerfiles,
    Releases,
    Compression,
    Line,
    Flags,
}

fn main() -> ExitCode {
    if measure::is_go() {
        return ended(measure::be_go());
    }
    let runtime = tokio::runtime::Runtime::new().map_err(anyhow::Error::from);
    ended(runtime.and_then(|runtime| runtime.block_on(run(&Arguments::parse()))).map(|()| ExitCode::SUCCESS))
}

fn ended(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(arguments: &Arguments) -> Result<()> {
    gowindows_bench::possible(arguments.repeats)?;
    let stand = Stand::set_up(Progress::stderr()).await?;
    let (repeats, mut results) = (arguments.repeats, Results::default());
    let wanted = |part: Part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    if wanted(Part::Builders) {
        comparison::small(&stand, repeats, &mut results).await?;
    }
    if wanted(Part::Large) {
        comparison::large(&stand, repeats, &mut results).await?;
    }
    if wanted(Part::Dockerfiles) {
        dockerfiles::measure(&stand, repeats.min(3), &mut results).await?;
    }
    if wanted(Part::Releases) {
        releases::measure(&stand, repeats, &mut results).await?;
    }
    if wanted(Part::Compression) {
        compression::measure(&stand, repeats, &mut results).await?;
    }
    if wanted(Part::Line) {
        line::measure(&stand, repeats.min(3), &mut results).await?;
    }
    let mut savings = Default::default();
    if wanted(Part::Flags) {
        savings = flags::measure(&stand, &mut results).await?;
    }
    let by = gowindows_bench::arguments(arguments.repeats, &arguments.parts);
    let markdown = results.markdown(&head("bench_image", &by, "times and memory say little", &builders::versions().await?));
    print!("{markdown}");
    if arguments.write {
        Document::IMAGES.write(&markdown)?;
        flags::record(savings)?;
    }
    Ok(())
}
