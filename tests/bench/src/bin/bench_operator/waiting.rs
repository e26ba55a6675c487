//! What is asked of the API server while many builds wait for a pod, and how long does a new object take then?

use std::time::Duration;

use anyhow::Result;
use gowindows_bench::{Results, Table, median};

use crate::bench::{Bench, grouped, milliseconds};
use crate::populate::by_hand;
use crate::subject::Kind;

/// Objects whose Jobs have no pod.
const WAITING: usize = 9_000;
/// Objects whose builds have ended.
const ENDED: usize = 1_000;
/// New objects, one after the other.
const NEW: usize = 20;
/// How long nothing happens.
const QUIET: Duration = Duration::from_secs(150);
/// How long the operator may take to settle.
const SETTLES: Duration = Duration::from_secs(300);

/// Alone, and among them.
pub async fn measure(bench: &Bench, results: &mut Results) -> Result<()> {
    let ground = bench.ground().await?;
    let by_hand_alone = by_hand(&ground, &bench.template, "hand", NEW).await?;
    let run = bench.run_on(ground, Kind::Operator).await?;
    let alone = bench.progress.step("new objects, alone", run.alone("new", NEW)).await?;
    run.end().await?;
    let (waiting, ended) = (bench.count(WAITING), bench.count(ENDED));
    let ground = bench.populated(waiting, ended).await?;
    let by_hand_among = by_hand(&ground, &bench.template, "hand", NEW).await?;
    let (run, settled) = bench.settled_on(ground, waiting + ended + NEW, SETTLES).await?;
    let (before, cpu) = (run.ground.requests().await?, run.subject.cpu()?);
    bench.nothing_happens(QUIET).await?;
    let asked = run.ground.requests().await?.since(&before).of_controller();
    let used = run.subject.cpu()?.saturating_sub(cpu);
    let among = bench.progress.step("new objects, among those that wait", run.alone("new", NEW)).await;
    run.end().await?;
    let minutes = QUIET.as_secs_f64() / 60.0;
    let a_minute = asked.count() as f64 / minutes;
    let mut table = Table::new([
        "objects",
        "settled",
        "requests a minute",
        "processor seconds a minute",
        "new object to Job, median",
        "the same two requests and event without a controller",
    ]);
    let bare = [median(&by_hand_alone), median(&by_hand_among)];
    table.row(["none".into(), "yes".into(), "-".into(), "-".into(), milliseconds(median(&alone)), milliseconds(bare[0])]);
    let new = among.as_ref().map_or(f64::INFINITY, |among| median(among));
    table.row([
        format!("{} wait, {} have ended", grouped(waiting), grouped(ended)),
        if settled { "yes" } else { "no" }.into(),
        format!("{a_minute:.1}"),
        format!("{:.2}", used.as_secs_f64() / minutes),
        milliseconds(new),
        milliseconds(bare[1]),
    ]);
    results.heading("Builds that wait");
    results.table(&table);
    if let Err(error) = among {
        results.text(&format!("The new objects were given up: {error:#}."));
    }
    if asked.count() > 0 {
        results.text(&format!("What was asked in {} s: {}.", QUIET.as_secs(), asked.listed()));
    }
    let name = format!("requests a minute while {} builds wait, beside watches", grouped(waiting));
    results.goal(&name, "0", format!("{a_minute:.1}"), asked.count() == 0 && settled);
    let ratio = new / median(&alone);
    let shown = format!("{ratio:.2} (without a controller {:.2})", bare[1] / bare[0]);
    results.goal("a new object among them, beside alone", "<= 1.2", shown, ratio <= 1.2);
    Ok(())
}
