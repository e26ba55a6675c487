//! How much memory does the operator take with many objects and Jobs?

use std::time::Duration;

use anyhow::{Context, Result};
use gowindows_bench::{Memory, Results, Table, megabytes};

use crate::bench::{Bench, ONE, Run, grouped};
use crate::subject::Kind;

/// Objects, and the bytes that must be enough.
const SIZES: [(usize, u64); 3] = [(1_000, 25_000_000), (10_000, 64_000_000), (50_000, 300_000_000)];
/// Bytes that a machine must have for each object: an API server keeps every version of a custom resource that it has shown lately, and takes some
/// 420 kB for each object with its Job.
const OF_MACHINE: u64 = 600_000;
/// Of ten builds nine have ended.
const WAITING: usize = 10;
/// How long the operator may take to settle. Its watches are filled by then, which is most of its memory.
const SETTLES: Duration = Duration::from_secs(120);

/// With each number of objects, once settled, and once started anew.
pub async fn measure(bench: &Bench, results: &mut Results) -> Result<()> {
    let (mut table, there) = (header(), available()?);
    for (count, must) in SIZES {
        let objects = bench.count(count);
        let needed = objects as u64 * OF_MACHINE;
        if there < needed {
            let why = format!("not measured: a machine with {} is needed, most of it for the API server", megabytes(needed));
            results.goal(&name(objects), &at_most(must), why, false);
            continue;
        }
        let waiting = objects / WAITING;
        let (run, settled) = bench.settled(waiting, objects - waiting, SETTLES).await?;
        let first = run.subject.memory()?;
        let Run { ground, subject } = run;
        subject.stop().await?;
        let mut subject = bench.subject(&ground, Kind::Operator)?;
        subject.ready(ONE).await?;
        let run = Run { ground, subject };
        let anew = bench.progress.step("the operator, started anew, settles", run.settle(objects, SETTLES)).await?;
        let second = run.subject.memory()?;
        run.end().await?;
        table.row([
            grouped(objects),
            if settled && anew { "yes" } else { "no" }.into(),
            megabytes(first.resident),
            megabytes(first.peak),
            megabytes(second.resident),
            megabytes(second.peak),
        ]);
        goal(results, objects, must, [first, second]);
    }
    results.heading("Memory");
    results.table(&table);
    results.text(
        "Objects, Jobs and statuses are written by the benchmark, nine of ten with a build that has ended; then the operator is started on \
         them. It is settled when it has made a pass for each object and has written nothing for 3 s.",
    );
    Ok(())
}

fn header() -> Table {
    Table::new(["objects and Jobs", "settled", "resident then", "peak until then", "started anew", "peak of that"])
}

fn name(objects: usize) -> String {
    format!("memory with {} objects and Jobs", grouped(objects))
}

fn at_most(must: u64) -> String {
    format!("<= {} MB", must / 1_000_000)
}

/// Bytes that the machine has free (`proc(5)`, `MemAvailable`).
fn available() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).context("/proc/meminfo has no MemAvailable")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().context("MemAvailable is no number")?;
    Ok(kibibytes * 1024)
}

fn goal(results: &mut Results, objects: usize, must: u64, [first, second]: [Memory; 2]) {
    let found = format!("{}, started anew {}", megabytes(first.resident), megabytes(second.resident));
    let met = first.resident.max(second.resident) <= must;
    results.goal(&name(objects), &at_most(must), found, met);
}
