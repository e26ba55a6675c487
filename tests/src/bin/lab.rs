//! Boots the lab and keeps it until Ctrl-C: for looking at it by hand, and for debugging a test.

use std::time::Instant;

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
async fn main() -> Result<()> {
    let Arguments { command: Command::Up } = Arguments::parse();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let progress = Progress::stderr();
    let up = async {
        let lab = Lab::start(&progress).await?;
        println!("export KUBECONFIG={}", lab.kubeconfig().display());
        println!("export PATH={}:$PATH", lab.tool("kubectl")?.parent().unwrap_or(lab.dir()).display());
        println!("# registry {}, network namespace {}, logs {}/logs", lab.registry(), lab.network().name(), lab.dir().display());
        progress.say("the lab is up: Ctrl-C takes it away");
        std::future::pending::<Result<()>>().await?;
        Ok(lab)
    };
    let began = tokio::select! {
        result = up => return result.map(drop),
        _ = interrupt.recv() => Instant::now(),
        _ = terminate.recv() => Instant::now(),
    };
    // The future that owned the lab was dropped just now, and with it the lab.
    progress.say(format!("the lab is gone ({:.1} s)", began.elapsed().as_secs_f64()));
    Ok(())
}
