//! What does a change of one line take on warm caches, beside a build that starts with nothing? And one of a label alone?

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use gowindows_bench::{Results, Table, median, seconds_to};
use gowindows_crds::v1alpha1::BuildEngine;
use gowindows_tests::thread::engines::ENGINES;

use crate::plain;
use crate::stand::Stand;
use crate::watch::Taken;

/// The goals of every round: a warm build beside a cold one, and a change that compiles nothing.
const RATIO: f64 = 0.3;
const NOTHING_COMPILED: Duration = Duration::from_secs(5);

/// The builds of an engine, or of a tool without a cluster.
#[derive(Default)]
struct Builds {
    cold: Vec<Taken>,
    warm: Vec<Taken>,
    label: Vec<Taken>,
}

/// By each engine, then by each tool, and so on.
pub async fn measure(stand: &Stand, repeats: usize, results: &mut Results) -> Result<()> {
    let mut engines = ENGINES.map(|engine| (engine, Builds::default()));
    let mut tools = plain::TOOLS.map(|tool| (tool, plain::Runs::default()));
    for round in 1..=repeats {
        for (engine, builds) in &mut engines {
            three_builds(stand, *engine, round, builds).await?;
        }
        for (tool, runs) in &mut tools {
            plain::run(stand, *tool, round, runs).await?;
        }
    }
    same_programs(engines.iter().flat_map(|(_, builds)| &builds.cold))?;
    same_programs(engines.iter().flat_map(|(_, builds)| &builds.warm))?;
    by_engine(&engines, results);
    beside(&engines, &tools, results);
    Ok(())
}

async fn three_builds(stand: &Stand, engine: BuildEngine, round: usize, builds: &mut Builds) -> Result<()> {
    let what = |build: &str| format!("round {round}, {engine:?}, {build}");
    let storefront = stand.storefront(&format!("change-{round}/{engine:?}")).await?;
    let (tenant, mut object) = stand.tenant(&format!("change-{round}"), engine, storefront.repository.url()).await?;
    // Of this buildkitd others have used what it keeps; volumes are new with each namespace.
    stand.builders.buildkitd.prune().await?;
    builds.cold.push(stand.declare(&what("nothing cached"), &tenant, &object).await?);
    let commit = storefront.greet("Still warm.").await?;
    builds.warm.push(stand.ask(&what("one line changed"), &tenant, &commit).await?);
    object["spec"]["image"]["labels"] = serde_json::json!({"org.opencontainers.image.vendor": "Example Ltd"});
    builds.label.push(stand.declare(&what("a label changed"), &tenant, &object).await?);
    Ok(())
}

/// Figures of builds that make different things are no comparison.
fn same_programs<'a>(builds: impl Iterator<Item = &'a Taken>) -> Result<()> {
    let programs: BTreeSet<_> = builds.filter_map(|build| Some(&build.image.binary.as_ref()?.sha256)).collect();
    ensure!(programs.len() == 1, "the engines' programs differ: {programs:?}");
    Ok(())
}

fn wholes(builds: &[Taken]) -> Vec<Duration> {
    builds.iter().map(|build| build.whole).collect()
}

fn middle(taken: &[Duration]) -> f64 {
    median(&taken.iter().map(Duration::as_secs_f64).collect::<Vec<_>>())
}

fn percent(part: &[Duration], whole: &[Duration]) -> f64 {
    middle(part) / middle(whole).max(1e-9)
}

fn by_engine(engines: &[(BuildEngine, Builds)], results: &mut Results) {
    results.heading("A one-line change, and a change of a label alone");
    results.text(
        "The storefront (a web server of the standard library alone, 9 MB). From the creation of the Job until the digest is in the status, \
         read back from the registry; medians and ranges. Stages are in whole seconds, as the cluster has them. *Nothing cached*: new \
         volumes, a pruned buildkitd; the node has the images that it runs, buildkitd pulls the toolchain's. *One line*: another text in \
         `main.go`. *A label*: nothing is compiled.",
    );
    let mut table = Table::new(["engine", "build", "source", "compile", "assemble", "Job to published", "beside cold"]);
    for (engine, builds) in engines {
        let (cold, warm, label) = (wholes(&builds.cold), wholes(&builds.warm), wholes(&builds.label));
        let rows = [("nothing cached", &builds.cold, &cold), ("one line", &builds.warm, &warm), ("a label", &builds.label, &label)];
        for (name, all, whole) in rows {
            let stage = |name: &str| seconds_to(0, &all.iter().filter_map(|build| build.stage(name)).collect::<Vec<_>>());
            let beside = if name == "nothing cached" { String::new() } else { format!("{:.0} %", percent(whole, &cold) * 100.0) };
            let engine = format!("{engine:?}");
            table.row([engine, name.to_owned(), stage("source"), stage("compile"), stage("assemble"), seconds_to(1, whole), beside]);
        }
        let ratios: Vec<f64> = warm.iter().zip(&cold).map(|(warm, cold)| warm.as_secs_f64() / cold.as_secs_f64().max(1e-9)).collect();
        let (least, most) = ratios.iter().fold((f64::MAX, 0_f64), |(least, most), one| (least.min(*one), most.max(*one)));
        let found = format!("{:.0} % ({:.0} to {:.0})", percent(&warm, &cold) * 100.0, least * 100.0, most * 100.0);
        let what = format!("{engine:?}: a one-line change on warm caches, beside nothing cached");
        results.goal(&what, "<= 30 %", found, most <= RATIO);
        let met = label.iter().all(|taken| *taken <= NOTHING_COMPILED);
        results.goal(&format!("{engine:?}: a label alone, Job to digest"), "<= 5 s", seconds_to(1, &label), met);
    }
    results.table(&table);
}

fn beside(engines: &[(BuildEngine, Builds)], tools: &[(plain::Tool, plain::Runs)], results: &mut Results) {
    results.text(
        "Beside tools without a cluster, on the same machine, sources, base and registry: no pod is started and no commit is fetched. Each \
         starts with an empty compiler cache or a pruned buildkitd, then has the same line changed.",
    );
    let mut table = Table::new(["who", "nothing cached", "one line", "beside cold"]);
    for (engine, builds) in engines {
        let (cold, warm) = (wholes(&builds.cold), wholes(&builds.warm));
        row(&mut table, &format!("the operator, engine {engine:?}, Job to published"), &cold, &warm);
    }
    for (tool, runs) in tools {
        row(&mut table, tool.name(), &runs.cold, &runs.warm);
    }
    results.table(&table);
}

fn row(table: &mut Table, who: &str, cold: &[Duration], warm: &[Duration]) {
    table.row([who.to_owned(), seconds_to(1, cold), seconds_to(1, warm), format!("{:.0} %", percent(warm, cold) * 100.0)]);
}
