//! What is asked for objects that have nothing to do?

use std::time::Duration;

use anyhow::Result;
use gowindows_bench::Results;

use crate::bench::{Bench, grouped};

/// Objects.
const COUNT: usize = 1_000;
/// How long they are looked at.
const QUIET: Duration = Duration::from_secs(180);
/// How long the operator may take to settle.
const SETTLES: Duration = Duration::from_secs(120);

/// Three minutes of it.
pub async fn measure(bench: &Bench, results: &mut Results) -> Result<()> {
    let count = bench.count(COUNT);
    let (run, settled) = bench.settled(0, count, SETTLES).await?;
    let (before, cpu) = (run.ground.requests().await?, run.subject.cpu()?);
    bench.nothing_happens(QUIET).await?;
    let asked = run.ground.requests().await?.since(&before).of_controller();
    let used = run.subject.cpu()?.saturating_sub(cpu);
    run.end().await?;
    let an_hour = asked.count() as f64 * 3_600.0 / QUIET.as_secs_f64() / count as f64;
    results.heading("Objects with nothing to do");
    let listed = if asked.count() == 0 { "nothing".to_owned() } else { asked.listed() };
    results.text(&format!(
        "{} objects at a fixed commit whose builds have ended, for {} s: the operator asked {listed} and used {:.2} s of a processor. The \
         figure for an hour is scaled from that; polls of branches are not in it, for these objects have none.",
        grouped(count),
        QUIET.as_secs(),
        used.as_secs_f64()
    ));
    results.goal("requests of an idle object an hour", "0", format!("{an_hour:.2}"), asked.count() == 0 && settled);
    Ok(())
}
