//! One binary.

use clap::Parser;
use gowindows_operator::build::{self, BuildArgs};
use gowindows_operator::step::assemble::{self, AssembleArgs};
use std::process::ExitCode;

/// From Go source to a small, correct Windows container image.
#[derive(Parser)]
#[command(name = "gowindows", version)]
enum Command {
    Build(BuildArgs),
    /// What runs inside a build pod
    #[command(subcommand)]
    Step(Step),
}

#[derive(clap::Subcommand)]
enum Step {
    /// Put the compiled program into images, push and verify them
    Assemble(AssembleArgs),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match Command::parse() {
        Command::Build(args) => build::run(args).await,
        Command::Step(Step::Assemble(args)) => assemble::run(args).await,
    }
}
