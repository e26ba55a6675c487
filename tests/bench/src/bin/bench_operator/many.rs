//! What becomes of a burst with ten times as many objects?

use std::time::Duration;

use anyhow::Result;
use gowindows_bench::Results;

use crate::bench::{Bench, grouped};
use crate::burst::{burst, header, requests};
use crate::subject::Kind;

/// Objects of the burst.
const MANY: usize = 10_000;
/// After so long a burst is given up.
const LIMIT: Duration = Duration::from_secs(300);

/// One burst by each controller.
pub async fn measure(bench: &Bench, results: &mut Results) -> Result<()> {
    let count = bench.count(MANY);
    let (mut table, mut found) = (header(), Vec::new());
    for kind in [Kind::Operator, Kind::Naive] {
        let run = bench.run(kind).await?;
        let what = format!("{} objects at once, {}", grouped(count), kind.name());
        let burst = bench.progress.step(&what, burst(&run, count, LIMIT)).await?;
        burst.row("1", kind, &mut table);
        found.push((kind, vec![burst]));
        run.end().await?;
    }
    results.heading(&format!("{} objects at once", grouped(count)));
    results.table(&table);
    results.table(&requests(&found.iter().map(|(kind, bursts)| (*kind, bursts)).collect::<Vec<_>>()));
    let (limit, wanted) = bench.limit(20.0 * count as f64 / MANY as f64);
    let words = found.iter().flat_map(|(_, bursts)| bursts).map(|burst| {
        let (seconds, statuses) = (burst.jobs.as_secs_f64(), burst.statuses.as_secs_f64());
        if burst.is_complete() {
            format!("{seconds:.1} s, with statuses {statuses:.1} s")
        } else {
            format!("given up after {seconds:.0} s")
        }
    });
    let words = words.collect::<Vec<_>>().join("; naive ");
    let met = found.iter().flat_map(|(_, bursts)| bursts).next().is_some_and(|ours| ours.is_complete() && ours.jobs.as_secs_f64() <= limit);
    results.goal(&format!("burst of {}, all Jobs", grouped(count)), &wanted, words, met);
    Ok(())
}
