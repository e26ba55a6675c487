//! How are many seeds run, and what is told of them?

use crate::bad_inputs;
use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::faults::Faults;
use crate::lives::{self, End};
use crate::process;
use crate::stage::Stage;
use gowindows_tests::fake_apiserver::Stored;
use gowindows_tests::fake_apiserver::kinds::KINDS;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::task::AbortOnDropHandle;

/// A life, as a function of its stage.
pub type Life = fn(Arc<Stage>) -> Pin<Box<dyn Future<Output = End> + Send>>;

/// Lives that `cargo test` leads, of all kinds together.
const SEEDS: u64 = 1_000;

/// How often a run that takes long tells how far it is.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What came of one seed.
#[derive(Debug)]
struct Outcome {
    broken: Vec<String>,
    end: End,
    requests: u64,
    jobs: u64,
    struck: BTreeMap<String, u64>,
    /// A hash of every write and its writer: equal for equal runs. Nothing where nobody looks at it.
    trace: Option<u64>,
    virtual_seconds: u64,
}

/// What is done with the log of writes.
#[derive(Clone, Copy, PartialEq)]
enum Log {
    Unread,
    Hashed,
    Printed,
}

/// Leads one life.
fn one(seed: u64, faulty: bool, (life, replicas, slots): (Life, u64, Option<u32>), log: Log) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let Ok(runtime) = runtime else { return failed("no runtime".into()) };
    runtime.block_on(async {
        let dice = Dice(seed);
        let faults = if faulty { Faults::of(dice) } else { Faults::none(dice) };
        let stage = Stage::new(dice, faults, slots);
        let _cluster = AbortOnDropHandle::new(tokio::spawn(Cluster::new(stage.clone()).run()));
        let replica = |number| AbortOnDropHandle::new(tokio::spawn(process::replica(stage.clone(), number, replicas > 1)));
        let _operator: Vec<_> = (0..replicas).map(replica).collect();
        let end = life(stage.clone()).await;
        let invariants = stage.invariants();
        Outcome {
            broken: invariants.broken().to_vec(),
            end,
            requests: stage.faults.requests(),
            jobs: invariants.jobs(),
            struck: stage.faults.struck(),
            trace: (log != Log::Unread).then(|| trace(&stage, log == Log::Printed)),
            virtual_seconds: stage.milliseconds() / 1000,
        }
    })
}

/// Does something on a stage on which nothing goes wrong by itself; no invariant may break.
pub fn on_stage<F>(act: impl FnOnce(Arc<Stage>) -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    on_stage_with_slots(None, act)
}

/// The same with so many slots for Jobs.
pub fn on_stage_with_slots<F>(slots: Option<u32>, act: impl FnOnce(Arc<Stage>) -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    on_stage_without_operator(slots, |stage| async move {
        let _operator = process::start(&stage);
        act(stage).await
    })
}

/// The same where nothing runs yet.
pub fn on_stage_without_operator<F>(slots: Option<u32>, act: impl FnOnce(Arc<Stage>) -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    on(|| Stage::new(Dice(0), bad_inputs::faults(), slots), act)
}

/// With an operator that watches one namespace.
pub fn on_stage_watching<F>(namespace: &str, act: impl FnOnce(Arc<Stage>) -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    let stage = || Stage::watching(Dice(0), bad_inputs::faults(), None, vec![namespace.to_owned()]);
    on(stage, |stage| async move {
        let _operator = process::start(&stage);
        act(stage).await
    })
}

fn on<F>(stage: impl FnOnce() -> Arc<Stage>, act: impl FnOnce(Arc<Stage>) -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let stage = stage();
        let _cluster = AbortOnDropHandle::new(tokio::spawn(Cluster::new(stage.clone()).run()));
        act(stage.clone()).await?;
        let broken = stage.invariants().broken().join("\n");
        if broken.is_empty() { Ok(()) } else { Err(broken) }
    })
}

fn failed(why: String) -> Outcome {
    let (end, struck) = (End::default(), BTreeMap::new());
    Outcome { broken: vec![why], end, requests: 0, jobs: 0, struck, trace: None, virtual_seconds: 0 }
}

fn trace(stage: &Stage, print: bool) -> u64 {
    stage.server.within(|store| {
        store.changes_after(0).iter().fold(0, |hash, change| {
            let kind = KINDS.get(change.key.0).map(|kind| kind.kind).unwrap_or_default();
            // An event's name holds the real time.
            let name = if kind == "Event" { "" } else { &change.key.2 };
            let what = match (&change.old, &change.new) {
                (None, _) => "created",
                (_, None) => "deleted",
                _ => "changed",
            };
            let line = format!("{} {kind} {name} {what} by {}", change.version, change.writer);
            if print {
                let shown = |stored: &Option<Stored>| stored.as_ref().map(|stored| (*stored.object).clone()).unwrap_or_default();
                eprintln!("{line}{}", detail(kind, &shown(&change.old), &shown(&change.new)));
            }
            Dice(hash).roll(&line, 0)
        })
    })
}

/// What a replay shows of a write: the fields of status and specification that it changed.
fn detail(kind: &str, old: &Value, new: &Value) -> String {
    if kind == "Event" {
        return format!(": {} {}", new["reason"], new["note"]);
    }
    let mut told = String::new();
    for part in ["spec", "status"] {
        let names = [&old[part], &new[part]].into_iter().filter_map(Value::as_object).flat_map(|map| map.keys().cloned());
        for name in names.collect::<BTreeSet<_>>().into_iter().filter(|name| old[part][name] != new[part][name]) {
            let value: String = new[part][&name].to_string().chars().take(300).collect();
            told.push_str(&format!("\n      {part}.{name} = {value}"));
        }
    }
    told
}

/// Runs a share, in percent, of the seeds of `SEEDS` (a number, or a range as `20000..40000`), or the one in `SEED`, and compares each end
/// with that of the life without faults.
pub fn many(name: &str, share: u64, life: (Life, u64, Option<u32>)) -> Result<(), String> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let reference = one(0, false, life, if std::env::var_os("PRINT_REFERENCE").is_some() { Log::Printed } else { Log::Unread });
    if !reference.broken.is_empty() {
        return Err(format!("without any fault: {:#?}", reference.broken));
    }
    if let Some(seed) = number("SEED") {
        let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".into());
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
        let outcome = one(seed, true, life, Log::Printed);
        eprintln!("{outcome:#?}");
        return verdict(name, seed, &outcome, &reference.end);
    }
    let seeds = seeds()?;
    let (first, end) = (seeds.start * share / 100, seeds.end * share / 100);
    let began = Instant::now();
    let (next, totals) = (AtomicU64::new(first), Mutex::new(Totals::default()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || totals.lock().unwrap_or_else(PoisonError::into_inner).failures.len() > 4 {
                        break;
                    }
                    let outcome = one(seed, true, life, Log::Unread);
                    let verdict = verdict(name, seed, &outcome, &reference.end);
                    // A long run is worth looking at before it ends.
                    if let Err(why) = &verdict {
                        eprintln!("{name}: {why}");
                    }
                    let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
                    totals.add(outcome, verdict);
                    if began.elapsed() > TELL_EVERY * (totals.told + 1) {
                        totals.told += 1;
                        eprintln!("{name}: {} of {} lives, {} broken", totals.seeds, end - first, totals.failures.len());
                    }
                }
            });
        }
    });
    let totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    totals.tell(name, first, began.elapsed().as_secs_f64());
    match totals.failures.as_slice() {
        [] => Ok(()),
        failures => Err(failures.join("\n")),
    }
}

fn seeds() -> Result<Range<u64>, String> {
    let Ok(text) = std::env::var("SEEDS") else { return Ok(0..SEEDS) };
    let (first, end) = text.split_once("..").unwrap_or(("0", &text));
    let number =
        |text: &str| text.parse::<u64>().map_err(|error| format!("SEEDS={text}: {error}; give a number, or a range as 20000..40000"));
    Ok(number(first)?..number(end)?)
}

#[derive(Default)]
struct Totals {
    seeds: u64,
    requests: u64,
    jobs: u64,
    hours: f64,
    struck: BTreeMap<String, u64>,
    failures: Vec<String>,
    /// How often it was told how far the run is.
    told: u32,
}

impl Totals {
    fn add(&mut self, outcome: Outcome, verdict: Result<(), String>) {
        self.seeds += 1;
        self.requests += outcome.requests;
        self.jobs += outcome.jobs;
        self.hours += outcome.virtual_seconds as f64 / 3600.0;
        for (what, times) in outcome.struck {
            *self.struck.entry(what).or_default() += times;
        }
        self.failures.extend(verdict.err());
    }

    fn tell(&self, name: &str, first: u64, seconds: f64) {
        let rate = self.seeds as f64 / seconds;
        eprintln!(
            "{name}: seeds {first}..{}, {rate:.0} schedules/s, {:.0} h of virtual time, {} requests, {} build Jobs, {} seeds with broken invariants",
            first + self.seeds,
            self.hours,
            self.requests,
            self.jobs,
            self.failures.len()
        );
        let struck: Vec<String> = self.struck.iter().map(|(what, times)| format!("{what} {times}")).collect();
        eprintln!("{name}: faults: {}", struck.join(", "));
    }
}

fn verdict(name: &str, seed: u64, outcome: &Outcome, reference: &End) -> Result<(), String> {
    let mut broken = outcome.broken.clone();
    for (is, must) in outcome.end.states.iter().zip(&reference.states).filter(|(is, must)| is != must) {
        broken.push(format!("L1: the end state is\n{is}\nand without faults it is\n{must}"));
    }
    if broken.is_empty() {
        return Ok(());
    }
    let struck: Vec<&String> = outcome.struck.keys().collect();
    Err(format!(
        "seed {seed} (faults: {struck:?}):\n  {}\nreplay: SEED={seed} cargo test --package gowindows-tests --test sim_thread -- {name}",
        broken.join("\n  ")
    ))
}

/// The same seed gives the same run, or no failure could be looked into. Not so with slots: passes that begin at the same moment give
/// them away one by one, and the controller runtime begins those in the order of a hash map.
pub fn a_seed_replays() -> Result<(), String> {
    for seed in 0..40 {
        let run = || one(seed, true, (|stage| Box::pin(lives::three_objects(stage)), 1, None), Log::Hashed);
        let (first, second) = (run(), run());
        if first.trace != second.trace {
            return Err(format!("seed {seed} ran differently the second time: {} and {} requests", first.requests, second.requests));
        }
    }
    Ok(())
}
