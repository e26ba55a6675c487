//! The same program by every builder: what comes of it, and what does it cost?

use std::time::Duration;

use anyhow::Result;
use gowindows_bench::{Results, Table, megabytes, seconds};
use gowindows_tests::peers::buildkit::Buildkit;

use crate::builders::{Builder, Runs, TAG, build};
use crate::facts::{self, Facts};
use crate::stand::{OURS, Program, Stand};

/// The base goal: our time beside ko's.
const TIME_GOAL: f64 = 1.0 / 3.0;
const MEMORY_GOAL: u64 = 64 * 1024 * 1024;

/// What one builder made, several times.
struct Made {
    builder: Builder,
    /// One per run, or why there is no image.
    facts: Result<Vec<Facts>, String>,
    /// The first, which pulls and unpacks the base where the builder has to, and the others.
    first: Duration,
    runs: Runs,
}

/// Every builder makes an image of the small program.
pub async fn small(stand: &Stand, repeats: usize, results: &mut Results) -> Result<()> {
    let program = stand.storefront();
    let made = all(stand, &Builder::ALL, &program, repeats).await?;
    let exe = std::fs::metadata(stand.compiled(&program, &OURS).await?)?.len();
    results.heading(&format!("The same program by every builder ({}, {} as the operator compiles it)", program.name, megabytes(exe)));
    results.text(
        "Bytes and layers are what a node pulls that has the base. Each image is made from new copies of its files, at another time. Time \
         is the median of all runs but the first (and their range), without compiling; the first run of those that need the base's \
         files pulls and unpacks it. Memory is the peak of the builder's own process (of the daemon for BuildKit), without the Go compiler.",
    );
    let mut costs = Table::new([
        "builder",
        "bytes over the base",
        "layers over the base",
        "same digest each time",
        "first run",
        "later runs",
        "peak memory",
    ]);
    let mut shapes =
        Table::new(["builder", "`Files` and `Hives`", "`PATH`", "entrypoint", "`os.version`", "`gowindows verify`: failed", "warned"]);
    let mut descriptors = String::new();
    for Made { builder, facts, first, runs } in &made {
        let name = builder.name().to_owned();
        let facts = match facts {
            Ok(facts) => facts,
            Err(why) => {
                costs.row([name, format!("no image: {why}"), String::new(), String::new(), String::new(), String::new(), String::new()]);
                continue;
            }
        };
        let one = &facts[0];
        let same = facts.iter().all(|other| other.digest == one.digest);
        let yes = |yes: bool| if yes { "yes" } else { "**no**" }.to_owned();
        let (first, later) = (seconds(&[*first]), seconds(&runs.took));
        costs.row([name.clone(), megabytes(one.bytes), one.layers.to_string(), yes(same), first, later, megabytes(runs.peak)]);
        let code = |text: &Option<String>, none: &str| text.as_ref().map_or(none.to_owned(), |text| format!("`{text}`"));
        let list = |rules: &[&str]| if rules.is_empty() { "-".to_owned() } else { rules.join(", ") };
        shapes.row([
            name,
            yes(one.windows_layer),
            code(&one.path, "not set: the base's"),
            format!("`{}`", one.entrypoint),
            code(&one.os_version, "**lost**"),
            list(&one.failed),
            list(&one.warned),
        ]);
        let decoded = if one.descriptors.is_empty() { "none".to_owned() } else { one.descriptors.join("; ") };
        descriptors.push_str(&format!("- {}: {decoded}\n", builder.name()));
    }
    results.table(&costs);
    results.table(&shapes);
    results.text(
        "Descriptors in the layer, decoded (owner; who may do what, as access masks; S-1-5-18 is SYSTEM, -544 Administrators, -545 Users):",
    );
    results.raw(&descriptors);
    Ok(())
}

/// Ours beside ko, for larger programs.
pub async fn large(stand: &Stand, repeats: usize, results: &mut Results) -> Result<()> {
    results.heading("Larger programs: time without compiling, and memory");
    results.text(
        "The storefront, and web servers that carry data, which compress about as a Go program does. Runs alternate. ko compiles with our \
         flags here, so that all have the same program to pack; it compresses with gzip:1, ours with gzip:4 unless told otherwise. Ours also \
         looks through the program, reads everything back and verifies it. Each attaches its bill of materials.",
    );
    let columns = [
        "program",
        "gowindows",
        "beside ko",
        "with gzip:1",
        "beside ko",
        "with zstd:3",
        "beside ko",
        "ko (gzip:1)",
        "gowindows, peak",
        "with zstd:3, peak",
        "ko, peak",
    ];
    let mut table = Table::new(columns);
    for program in [stand.storefront(), stand.large("25 MB", 18)?, stand.large("100 MB", 93)?] {
        let made = all(stand, &[Builder::Ours, Builder::OursGzip1, Builder::OursZstd, Builder::KoStripping], &program, repeats).await?;
        let [ours, gzip, zstd, ko] = [&made[0].runs, &made[1].runs, &made[2].runs, &made[3].runs];
        let beside = |runs: &Runs| runs.median() / ko.median().max(1e-9);
        let told = |runs: &Runs| format!("{:.2}", beside(runs));
        table.row([
            program.name.to_owned(),
            seconds(&ours.took),
            told(ours),
            seconds(&gzip.took),
            told(gzip),
            seconds(&zstd.took),
            told(zstd),
            seconds(&ko.took),
            megabytes(ours.peak),
            megabytes(zstd.peak),
            megabytes(ko.peak),
        ]);
        match program.name {
            "25 MB" => {
                let met = |runs: &Runs| beside(runs) <= TIME_GOAL;
                results.goal("time without compiling beside ko's, 25 MB program, both with gzip:1", "<= 1/3", told(gzip), met(gzip));
                results.goal("the same, ours with its default, gzip:4", "<= 1/3", told(ours), met(ours));
            }
            "100 MB" => {
                let peak = format!("{:.1} MiB", ours.peak as f64 / f64::from(1 << 20));
                results.goal("peak memory, 100 MB program", "<= 64 MiB", peak, ours.peak <= MEMORY_GOAL);
            }
            _ => {}
        }
    }
    results.table(&table);
    Ok(())
}

/// Every builder once, then every builder again, and so on. The first round is not among the runs.
async fn all(stand: &Stand, builders: &[Builder], program: &Program, repeats: usize) -> Result<Vec<Made>> {
    // ko and ours find what they compile in the compiler's cache; the others get it.
    let exe = stand.compiled(program, &OURS).await?;
    let needs_daemon = builders.iter().any(|builder| matches!(builder, Builder::Buildkit | Builder::BuildkitEpoch));
    let mut made: Vec<Made> = builders
        .iter()
        .map(|builder| Made { builder: *builder, facts: Ok(Vec::new()), first: Duration::ZERO, runs: Runs::default() })
        .collect();
    let buildkit = if needs_daemon { Some(Buildkit::start(&[], &stand.progress).await?) } else { None };
    for round in 0..=repeats {
        for Made { builder, facts: all, first, runs } in &mut made {
            let Ok(known) = all else { continue };
            // Times of files differ by a whole second at least.
            tokio::time::sleep(Duration::from_millis(1100)).await;
            let registry = stand.registry().await?;
            let what = format!("{} of {}, round {round}", builder.name(), program.name);
            let work = build(stand, *builder, program, &exe, &registry.host, buildkit.as_ref());
            match stand.progress.step(&what, work).await {
                Err(error) => *all = Err(format!("{error:#}").lines().last().unwrap_or_default().chars().take(300).collect()),
                Ok(cost) => {
                    known.push(facts::read(&registry.host, builder.repository(), TAG, stand.base()).await?);
                    runs.peak = runs.peak.max(cost.peak);
                    if round == 0 {
                        *first = cost.took;
                    } else {
                        runs.add(cost);
                    }
                }
            }
        }
    }
    Ok(made)
}
