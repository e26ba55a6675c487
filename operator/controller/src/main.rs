//! One binary: the controller, the steps of its build pods, the same build on a laptop, and the API's definition.

use clap::{Parser, Subcommand};
use gowindows::controller::{self, ControllerArgs};
use gowindows_builder::{build, step, verify};
use std::process::ExitCode;

/// From Go source to a small, correct Windows container image that keeps running.
#[derive(Parser)]
#[command(name = "gowindows", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator: watch GoWindowsImages, build, verify, roll out.
    ///
    /// Needs credentials of a cluster: in a pod those of its ServiceAccount, elsewhere the current kubeconfig.
    Controller(ControllerArgs),
    /// Build an image from Go source on this machine, without a cluster. Gives the same digest as the operator does.
    Build(build::BuildArgs),
    /// Check a Windows image of any tool, rule by rule.
    Verify(verify::VerifyArgs),
    /// Run one step of a build pod. The operator writes these command lines; they are of little use by hand.
    #[command(subcommand)]
    Step(Step),
    /// Print the CustomResourceDefinition, for `kubectl apply --server-side -f -`.
    Crd,
}

#[derive(Subcommand)]
enum Step {
    /// Fetch one commit and check that it holds the main package.
    Source(step::source::SourceArgs),
    /// Make the image of a compiled program, push it and read it back.
    Assemble(step::assemble::AssembleArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    // One TLS provider for every client of the process, before the first of them exists.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("gowindows: a TLS provider was installed before main");
        return ExitCode::FAILURE;
    }
    match run(Cli::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gowindows: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Controller(args) => {
            controller::init_logs(&args.log, args.log_format)?;
            controller::run(args).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Build(args) => build::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Step(Step::Source(args)) => step::source::run(args).await,
        Command::Step(Step::Assemble(args)) => step::assemble::run(args).await,
        Command::Crd => {
            print!("{}", gowindows_crds::v1alpha1::crd_yaml()?);
            Ok(ExitCode::SUCCESS)
        }
    }
}
