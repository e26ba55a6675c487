//! What does a pass cost among many objects?

use std::time::Duration;

use anyhow::{Result, bail};
use gowindows_bench::{Results, Table, sum};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::bench::{Bench, Run, grouped};
use crate::ground::keys;

/// Objects of the larger cluster.
const MANY: usize = 10_000;
/// Objects of the smaller cluster.
const FEW: usize = 1_000;
/// Objects that are touched.
const TOUCHED: usize = 500;
/// How long the operator may take to settle on what is there.
const SETTLES: Duration = Duration::from_secs(300);

/// What a pass costs.
struct Pass {
    objects: usize,
    settled: bool,
    passes: u64,
    /// Processor time of the process per pass, what it uses without passes left out.
    cpu: Duration,
    /// What the operator says itself.
    told: Duration,
}

/// In a small cluster, and in a large one.
pub async fn measure(bench: &Bench, results: &mut Results) -> Result<()> {
    let (few, many) = (bench.count(FEW), bench.count(MANY));
    let mut found = Vec::new();
    for objects in [few, many] {
        let (run, settled) = bench.settled(0, objects, SETTLES).await?;
        let touched = bench.count(TOUCHED).min(objects);
        found.push(Pass { objects, settled, ..bench.progress.step("touching objects", touch(&run, touched)).await? });
        run.end().await?;
    }
    let mut table = Table::new(["objects", "settled", "passes", "processor per pass", "`gowindows_reconcile_seconds` per pass"]);
    for pass in &found {
        table.row([
            grouped(pass.objects),
            if pass.settled { "yes" } else { "no" }.into(),
            pass.passes.to_string(),
            format!("{:.2} ms", pass.cpu.as_secs_f64() * 1e3),
            format!("{:.3} ms", pass.told.as_secs_f64() * 1e3),
        ]);
    }
    results.heading("What a pass costs among many");
    results.table(&table);
    results.text(
        "Builds of all objects have ended. Annotations are put on as many of them as there are passes, one after the other, 20 a second. \
         What the process uses in ten quiet seconds before is subtracted.",
    );
    let ratio = |figure: fn(&Pass) -> Duration| {
        let all: Vec<f64> = found.iter().map(|pass| figure(pass).as_secs_f64()).collect();
        all[1] / all[0].max(1e-9)
    };
    for (what, ratio) in [("processor time", ratio(|pass| pass.cpu)), ("as the operator measures it", ratio(|pass| pass.told))] {
        let name = format!("cost of a pass among {} beside {}, {what}", grouped(many), grouped(few));
        results.goal(&name, "<= 1.2", format!("{ratio:.2}"), ratio <= 1.2 && found.iter().all(|pass| pass.settled));
    }
    Ok(())
}

async fn touch(run: &Run, count: usize) -> Result<Pass> {
    const QUIET: Duration = Duration::from_secs(10);
    let Run { ground, subject } = run;
    let before = subject.cpu()?;
    tokio::time::sleep(QUIET).await;
    let idle = subject.cpu()?.saturating_sub(before).div_f64(QUIET.as_secs_f64());
    let counted = |text: &str| ["sum", "count"].map(|part| sum(text, &format!("gowindows_reconcile_seconds_{part}")));
    let [sum_before, count_before] = counted(&subject.metrics().await?);
    let (before, start) = (subject.cpu()?, tokio::time::Instant::now());
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    for (number, (namespace, name)) in keys("ended", count).enumerate() {
        tick.tick().await;
        let patch = json!({"metadata": {"annotations": {"example.com/touched": number.to_string()}}});
        ground.images(&namespace).patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let cpu = subject.cpu()?.saturating_sub(before).saturating_sub(idle.mul_f64(start.elapsed().as_secs_f64()));
    let [sum_after, count_after] = counted(&subject.metrics().await?);
    let passes = count_after - count_before;
    if passes < 1.0 {
        bail!("no pass was made over {count} objects that were annotated");
    }
    let told = Duration::from_secs_f64((sum_after - sum_before).max(0.0) / passes);
    Ok(Pass { objects: 0, settled: true, passes: passes as u64, cpu: cpu.div_f64(passes), told })
}
