//! Does a git server that never answers slow objects down that do not need it?

use std::time::Duration;

use anyhow::Result;
use gowindows_bench::{Results, Table};

use crate::bench::{Bench, Latencies};
use crate::subject::Kind;

/// Objects of each round.
const COUNT: usize = 200;
/// Objects whose git server never answers.
const HANGING: usize = 200;

/// Without them and with them, in turns.
pub async fn measure(bench: &Bench, results: &mut Results) -> Result<()> {
    let (count, hanging) = (bench.count(COUNT), bench.count(HANGING));
    let mut table = Table::new(["round", "ten objects a second", "p50", "p99", "without a Job after 60 s"]);
    let (mut without, mut with) = (Latencies::default(), Latencies::default());
    for round in 1..=bench.repeats {
        let run = bench.run(Kind::Operator).await?;
        let alone = bench.progress.step("objects alone", run.ten_a_second("alone", count)).await?;
        run.ground.burst("hanging", hanging, &run.ground.hanging()).await?;
        // Every pass that can hang does.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let beside = bench.progress.step("objects beside those that hang", run.ten_a_second("beside", count)).await?;
        run.end().await?;
        for (name, found) in [("alone", &alone), ("beside those that hang", &beside)] {
            table.row([round.to_string(), name.into(), found.shown(50.0), found.shown(99.0), found.missing.to_string()]);
        }
        without.add(alone);
        with.add(beside);
    }
    results.heading("A git server that never answers");
    results.table(&table);
    results.text(&format!("It takes the connections of {hanging} objects and says nothing. The other objects are pinned to a commit."));
    for hundredths in [50.0, 99.0] {
        let ratio = with.percentile(hundredths) / without.percentile(hundredths);
        let found = if ratio.is_finite() { format!("{ratio:.2}") } else { "some never got a Job".into() };
        let name = format!("p{hundredths:.0} of the others beside {hanging} objects that hang, beside without");
        results.goal(&name, "<= 1.2", found, ratio <= 1.2);
    }
    Ok(())
}
