//! One binary.

use clap::Parser;
use gowindows_operator::step::source::{SourceArgs, run};
use std::process::ExitCode;

#[derive(Parser)]
enum Command {
    /// Fetch the source
    Source(SourceArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Command::Source(args) = Command::parse();
    run(args).await
}
