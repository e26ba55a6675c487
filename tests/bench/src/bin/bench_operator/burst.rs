//! How long does it take until all of many objects that are created at once have their Jobs, and what is asked for that?

use std::time::{Duration, Instant};

use anyhow::Result;
use gowindows_bench::{Memory, Requests, Results, Table, median};

use crate::bench::{Bench, Latencies, Run, grouped};
use crate::ground::Created;
use crate::seen::Key;
use crate::subject::Kind;

/// Objects of a burst.
const COUNT: usize = 1_000;
/// After so long a burst is given up, and what was reached is told.
const LIMIT: Duration = Duration::from_secs(180);
/// Nothing more is written for so long: what a burst has caused is over.
const QUIET: Duration = Duration::from_secs(3);

/// A figure of a burst.
type Figure = fn(&Burst) -> f64;

/// What a burst took.
pub struct Burst {
    /// How many objects there were, and how many of them got a Job and a status in time.
    pub all: usize,
    reached: [usize; 2],
    /// From the first create until the last Job was seen; until the limit, where one was not.
    pub jobs: Duration,
    /// The same of the statuses.
    pub statuses: Duration,
    created: Duration,
    /// From each object to its Job.
    pub latencies: Latencies,
    /// Processor time of the controller, until it wrote nothing more.
    pub cpu: Duration,
    /// What the controller has asked.
    pub requests: Requests,
    /// The controller's memory afterwards.
    pub memory: Memory,
}

/// Both controllers in turns.
pub async fn measure(bench: &Bench, results: &mut Results) -> Result<()> {
    let count = bench.count(COUNT);
    let (mut ours, mut naive) = (Vec::new(), Vec::new());
    let mut table = header();
    for round in 1..=bench.repeats {
        for kind in [Kind::Operator, Kind::Naive] {
            let run = bench.run(kind).await?;
            let what = format!("{} objects at once, {}", grouped(count), kind.name());
            let burst = bench.progress.step(&what, burst(&run, count, LIMIT)).await?;
            burst.row(&round.to_string(), kind, &mut table);
            if kind == Kind::Operator { &mut ours } else { &mut naive }.push(burst);
            run.end().await?;
        }
    }
    results.heading(&format!("{} objects at once", grouped(count)));
    results.table(&table);
    results.text(
        "Times are from before the first create. What is told per object is per Job that was created in time. Processor time is of the controller alone, until it \
         wrote nothing for 3 s.",
    );
    results.table(&requests(&[(Kind::Operator, &ours), (Kind::Naive, &naive)]));
    if let (Some(ours), Some(naive)) = (ours.last(), naive.last()) {
        results.text(&format!(
            "All requests of the last rounds, gowindows: {}. Naive: {}.",
            ours.requests.listed(),
            naive.requests.listed()
        ));
    }
    goals(bench, results, count, &ours, &naive);
    Ok(())
}

fn goals(bench: &Bench, results: &mut Results, count: usize, ours: &[Burst], naive: &[Burst]) {
    let middle = |bursts: &[Burst], figure: Figure| median(&bursts.iter().map(figure).collect::<Vec<_>>());
    let scale = count as f64 / 1_000.0;
    let complete = ours.iter().all(Burst::is_complete);
    let (limit, wanted) = bench.limit(2.0 * scale);
    let jobs = |burst: &Burst| burst.jobs.as_secs_f64();
    let name = format!("burst of {}, all Jobs", grouped(count));
    results.goal(&name, &wanted, both(ours, naive, jobs, " s"), complete && middle(ours, jobs) <= limit);
    let statuses = |burst: &Burst| burst.statuses.as_secs_f64();
    results.goal("the same, and all statuses", "(told)", both(ours, naive, statuses, " s"), true);
    let fairness = Burst::fairness;
    results.goal("fairness inside it, p99/p50", "<= 2.5", both(ours, naive, fairness, ""), middle(ours, fairness) <= 2.5);
    let (limit, wanted) = bench.limit(0.6);
    let cpu = |burst: &Burst| burst.cpu.as_secs_f64() / (burst.reached[0].max(1) as f64 / 1_000.0);
    results.goal("processor seconds per 1 000", &wanted, both(ours, naive, cpu, " s"), complete && middle(ours, cpu) <= limit);
    let figures: [(&str, f64, Figure); 5] = [
        ("Jobs created per object", 1.0, |burst| burst.per_object(burst.requests.tally().creates)),
        ("status writes per object", 1.0, |burst| burst.per_object(burst.requests.tally().statuses)),
        ("reads per object", 1.0, |burst| burst.per_object(burst.requests.tally().reads)),
        ("events per object", 1.0, |burst| burst.per_object(burst.requests.tally().events)),
        ("wasted requests per object", 0.02, |burst| burst.per_object(burst.requests.tally().wasted)),
    ];
    for (name, must, figure) in figures {
        // A watch begins with a list, whatever the number of objects.
        let met = middle(ours, figure) <= must + 0.005;
        results.goal(name, &format!("<= {must}"), both(ours, naive, figure, ""), complete && met);
    }
}

fn both(ours: &[Burst], naive: &[Burst], figure: impl Fn(&Burst) -> f64, unit: &str) -> String {
    let shown = |bursts: &[Burst]| {
        let cut = if bursts.iter().all(Burst::is_complete) { "" } else { "given up, " };
        format!("{cut}{:.2}{unit}", median(&bursts.iter().map(&figure).collect::<Vec<_>>()))
    };
    format!("{} (naive {})", shown(ours), shown(naive))
}

/// The table of bursts, without rows.
pub fn header() -> Table {
    Table::new(["round", "controller", "created", "all Jobs", "all statuses", "p50", "p99", "p99/p50", "processor", "memory"])
}

/// The table of what was asked per object.
pub fn requests(bursts: &[(Kind, &Vec<Burst>)]) -> Table {
    let mut table = Table::new(["per object", "Jobs created", "status writes", "reads", "events", "other writes", "wasted"]);
    for (kind, bursts) in bursts {
        let figure = |count: fn(&gowindows_bench::Tally) -> u64| {
            let all: Vec<f64> = bursts.iter().map(|burst| burst.per_object(count(&burst.requests.tally()))).collect();
            format!("{:.3}", median(&all))
        };
        table.row([
            kind.name().into(),
            figure(|tally| tally.creates),
            figure(|tally| tally.statuses),
            figure(|tally| tally.reads),
            figure(|tally| tally.events),
            figure(|tally| tally.others),
            figure(|tally| tally.wasted),
        ]);
    }
    table
}

/// Creates objects as fast as the API server takes them, and waits for their Jobs and statuses.
pub async fn burst(run: &Run, count: usize, limit: Duration) -> Result<Burst> {
    let Run { ground, subject } = run;
    let (cpu, before) = (subject.cpu()?, ground.requests().await?);
    let start = Instant::now();
    let created = ground.burst("burst", count, &ground.pinned()).await?;
    let creating = start.elapsed();
    let keys: Vec<&Key> = created.keys().collect();
    let complete = ground.seen.until(&keys, limit.saturating_sub(creating), |reached| reached == [count, count]).await?;
    let given_up = start.elapsed();
    if complete {
        ground.silence(QUIET, Duration::from_secs(60)).await?;
    }
    let last = |seen: &dyn Fn(&Key) -> Option<Instant>| {
        let all: Option<Vec<Instant>> = created.keys().map(seen).collect();
        all.and_then(|all| all.into_iter().max()).map_or(given_up, |last| last.duration_since(start))
    };
    Ok(Burst {
        all: count,
        reached: ground.seen.reached(created.keys()),
        jobs: last(&|key| ground.seen.job(key)),
        statuses: last(&|key| ground.seen.status(key)),
        created: creating,
        latencies: latencies(run, &created),
        cpu: subject.cpu()?.saturating_sub(cpu),
        requests: ground.requests().await?.since(&before).of_controller(),
        memory: subject.memory()?,
    })
}

fn latencies(run: &Run, created: &Created) -> Latencies {
    Latencies::of(&run.ground, created)
}

impl Burst {
    /// Whether every object got a Job and a status in time.
    pub fn is_complete(&self) -> bool {
        self.reached == [self.all, self.all]
    }

    /// p99/p50 of the times from each object to its Job.
    pub fn fairness(&self) -> f64 {
        let ratio = self.latencies.percentile(99.0) / self.latencies.percentile(50.0);
        if ratio.is_nan() { f64::INFINITY } else { ratio }
    }

    /// A row of [`header`].
    pub fn row(&self, round: &str, kind: Kind, table: &mut Table) {
        let reached = |took: Duration, reached: usize| {
            let seconds = took.as_secs_f64();
            if reached == self.all { format!("{seconds:.2} s") } else { format!("{} after {seconds:.0} s", grouped(reached)) }
        };
        table.row([
            round.into(),
            kind.name().into(),
            format!("{:.2} s", self.created.as_secs_f64()),
            reached(self.jobs, self.reached[0]),
            reached(self.statuses, self.reached[1]),
            self.latencies.shown(50.0),
            self.latencies.shown(99.0),
            format!("{:.2}", self.fairness()),
            format!("{:.2} s", self.cpu.as_secs_f64()),
            gowindows_bench::megabytes(self.memory.resident),
        ]);
    }

    fn per_object(&self, count: u64) -> f64 {
        count as f64 / self.reached[0].max(1) as f64
    }
}
