//! Boots the lab and keeps it until Ctrl-C: for looking at it by hand, and for debugging a test.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use gowindows_tests::lab::Lab;
use gowindows_tests::lab::progress::Progress;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(about = "A real cluster on this machine")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Boots a lab, prints how to reach it, and takes it away again at Ctrl-C.
    Up,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { command: Command::Up } = Arguments::parse();
    match up(&Progress::stderr()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn up(progress: &Progress) -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let lab = tokio::select! {
        lab = Lab::start(progress) => lab?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    println!("export KUBECONFIG={}", lab.kubeconfig().display());
    let folders = [lab.tool("kubectl")?, lab.tool("crane")?].map(|tool| tool.parent().unwrap_or(tool).display().to_string());
    println!("export PATH={}:$PATH", folders.join(":"));
    println!("# registry {}, network namespace {}, logs {}/logs", lab.registry(), lab.network().name(), lab.dir().display());
    progress.say("the lab is up: Ctrl-C takes it away");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    progress.step("taking the lab away", tokio::task::spawn_blocking(move || drop(lab))).await?;
    Ok(())
}
