//! How long is it from an object to its Job while ten objects a second are created?

use anyhow::Result;
use gowindows_bench::{Results, Table};

use crate::bench::{Bench, Latencies};
use crate::subject::Kind;

/// Objects of each round: twenty seconds of them.
const COUNT: usize = 200;

/// Both controllers in turns.
pub async fn measure(bench: &Bench, results: &mut Results) -> Result<()> {
    let mut table = Table::new(["round", "controller", "objects", "p50", "p99", "without a Job"]);
    let (mut ours, mut naive) = (Latencies::default(), Latencies::default());
    for round in 1..=bench.repeats {
        for kind in [Kind::Operator, Kind::Naive] {
            let run = bench.run(kind).await?;
            let count = bench.count(COUNT);
            let what = format!("{count} objects, ten a second, {}", kind.name());
            let found = bench.progress.step(&what, run.ten_a_second("rate", count)).await?;
            table.row([
                round.to_string(),
                kind.name().into(),
                count.to_string(),
                found.shown(50.0),
                found.shown(99.0),
                found.missing.to_string(),
            ]);
            if kind == Kind::Operator { &mut ours } else { &mut naive }.add(found);
            run.end().await?;
        }
    }
    results.heading("Ten objects a second");
    results.table(&table);
    for (hundredths, must) in [(50.0, 0.006), (99.0, 0.012)] {
        let (limit, wanted) = bench.limit(must);
        let found = format!("{} (naive {})", ours.shown(hundredths), naive.shown(hundredths));
        let what = format!("object to Job at 10/s, p{hundredths:.0}");
        results.goal(&what, &wanted, found, ours.percentile(hundredths) <= limit * 1e3);
    }
    Ok(())
}
