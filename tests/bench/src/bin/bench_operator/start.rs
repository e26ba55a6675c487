//! How long does a start take on ten thousand objects and Jobs, and one after a crash in the middle of that?

use std::time::{Duration, Instant};

use anyhow::Result;
use gowindows_bench::{Results, Table};

use crate::bench::{Bench, ONE, Run, grouped};

/// Objects.
const COUNT: usize = 10_000;
/// A start that takes longer is given up.
const LIMIT: Duration = Duration::from_secs(300);
/// Writes that come late still count.
const LATE: Duration = Duration::from_secs(5);

/// What a start took, since the process was started; none for what did not come in time.
struct Start {
    ready: Option<Duration>,
    first: Option<Duration>,
    all: Option<Duration>,
    writes: u64,
    asked: String,
}

/// A start on what is there, and one after a crash.
pub async fn measure(bench: &Bench, results: &mut Results) -> Result<()> {
    let (mut cold, mut crashed) = (Vec::new(), Vec::new());
    let count = bench.count(COUNT);
    let waiting = count / 10;
    let (mut run, settled) = bench.settled(waiting, count - waiting, LIMIT).await?;
    for _ in 0..bench.repeats {
        run.subject.kill().await?;
        run.subject.start_again()?;
        cold.push(bench.progress.step("a cold start", start(&mut run, count)).await?);
        run.subject.kill().await?;
        run.subject.start_again()?;
        bench.progress.step("a start that is cut short", halfway(&mut run, count)).await?;
        run.subject.kill().await?;
        run.subject.start_again()?;
        crashed.push(bench.progress.step("a start after a crash", start(&mut run, count)).await?);
    }
    run.end().await?;
    tell(results, count, settled, &cold, &crashed);
    goals(bench, results, count, &cold, &crashed);
    Ok(())
}

fn tell(results: &mut Results, count: usize, settled: bool, cold: &[Start], crashed: &[Start]) {
    let mut table = Table::new(["round", "start", "ready", "first pass", "a pass for each", "writes", "requests"]);
    for (round, (cold, crashed)) in cold.iter().zip(crashed).enumerate() {
        for (name, start) in [("cold", cold), ("after SIGKILL", crashed)] {
            table.row([
                (round + 1).to_string(),
                name.into(),
                shown(start.ready),
                shown(start.first),
                shown(start.all),
                start.writes.to_string(),
                start.asked.clone(),
            ]);
        }
    }
    results.heading(&format!("Starting on {} objects and Jobs", grouped(count)));
    results.table(&table);
    let before = if settled { "was settled" } else { "was **not** settled after five minutes" };
    results.text(&format!(
        "Since the process was started. The operator before it {before}. The process of the second start is killed when it has made half of \
         the passes, the third is the one that is told."
    ));
}

fn goals(bench: &Bench, results: &mut Results, count: usize, cold: &[Start], crashed: &[Start]) {
    let scale = count as f64 / COUNT as f64;
    let worst = |starts: &[Start], figure: fn(&Start) -> Option<Duration>| {
        let all: Option<Vec<Duration>> = starts.iter().map(figure).collect();
        all.and_then(|all| all.into_iter().max())
    };
    let mut goal = |what: String, must: f64, found: Option<Duration>| {
        let (limit, wanted) = bench.limit(must);
        results.goal(&what, &wanted, shown(found), found.is_some_and(|found| found.as_secs_f64() <= limit));
    };
    goal(format!("cold start on {}, a pass for each", grouped(count)), 1.5 * scale, worst(cold, |start| start.all));
    goal("after SIGKILL, first pass".into(), 0.3, worst(crashed, |start| start.first));
    goal(format!("after SIGKILL, a pass for each of {}", grouped(count)), 2.0 * scale, worst(crashed, |start| start.all));
    let writes = cold.iter().chain(crashed).map(|start| start.writes).max().unwrap_or_default();
    results.goal("writes of a start", "0", writes.to_string(), writes == 0);
}

fn shown(took: Option<Duration>) -> String {
    took.map_or_else(|| format!("not after {} s", LIMIT.as_secs()), |took| format!("{:.2} s", took.as_secs_f64()))
}

/// Follows a process that has just been started.
async fn start(run: &mut Run, count: usize) -> Result<Start> {
    let before = run.ground.requests().await?;
    let (mut ready, mut first, mut all) = (None, None, None);
    while run.subject.started.elapsed() < LIMIT && (all.is_none() || ready.is_none()) {
        // Before it listens there is nothing to ask.
        if let Ok(passes) = run.subject.passes().await {
            let now = run.subject.started.elapsed();
            first = first.or((passes > 0).then_some(now));
            all = all.or((passes >= count as u64).then_some(now));
            if ready.is_none() && run.subject.is_ready().await {
                ready = Some(run.subject.started.elapsed());
            }
        }
        // Each question costs the operator a look at every object.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(LATE).await;
    let since = run.ground.requests().await?.since(&before).of_controller();
    Ok(Start { ready, first, all, writes: since.tally().writes(), asked: since.listed() })
}

/// Waits until half of the passes are made.
async fn halfway(run: &mut Run, count: usize) -> Result<()> {
    run.subject.ready(ONE).await?;
    let end = Instant::now() + LIMIT;
    while run.subject.passes().await? < count as u64 / 2 && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
