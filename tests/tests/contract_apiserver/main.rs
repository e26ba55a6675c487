//! Does the API server in memory answer as the real one does? One script of requests is replayed against both, and of each answer is
//! compared what the operator depends on: so the simulation of `sim_thread` stands on ground that cannot drift away.

#[path = "../sim_thread/admission.rs"]
mod admission;
mod bodies;
mod scripts;
mod server;
mod step;

use anyhow::{Context, Result, bail};
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::{ControlPlane, available};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use server::Server;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use step::Step;
use tokio::runtime::Runtime;

type Script = fn() -> Result<Vec<Step>>;
/// The real server, started by whichever script comes first.
type Real = Arc<Mutex<Option<Arc<(Runtime, ControlPlane)>>>>;

fn main() {
    let reason = available().err();
    if let Some(reason) = &reason {
        eprintln!("ignored: {reason}");
    }
    let real = Real::default();
    let trials = scripts::ALL.iter().map(|(name, script)| {
        let real = real.clone();
        let run = move || replay(&real, name, *script).map_err(|error| Failed::from(format!("{error:#}")));
        Trial::test(*name, run).with_ignored_flag(reason.is_some())
    });
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    drop(real);
    conclusion.exit();
}

fn started(real: &Real) -> Result<Arc<(Runtime, ControlPlane)>> {
    let mut real = real.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(started) = &*real {
        return Ok(started.clone());
    }
    let runtime = Runtime::new()?;
    let control_plane = runtime.block_on(async {
        let control_plane = ControlPlane::start(&Progress::stderr()).await?;
        control_plane.install_definition().await?;
        for _ in 0..300 {
            if server::serves_every_kind(&control_plane.client()).await {
                return Ok(control_plane);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the API server does not serve every kind after 30 s")
    })?;
    Ok(real.insert(Arc::new((runtime, control_plane))).clone())
}

/// Every difference is told, not only the first one.
fn replay(real: &Real, name: &str, script: Script) -> Result<()> {
    let started = started(real)?;
    let (runtime, control_plane) = &*started;
    let namespace = name.replace('_', "-").chars().take(60).collect::<String>();
    let differences = runtime.block_on(async {
        let mut real = Server::real(control_plane.client(), &namespace).await.context("make a namespace")?;
        let mut fake = Server::fake(&namespace);
        let mut differences = Vec::new();
        for (number, step) in script()?.iter().enumerate() {
            let expected = real.perform(step).await.with_context(|| format!("step {number} on the real server: {step}"))?;
            let answer = fake.perform(step).await.with_context(|| format!("step {number} on the fake server: {step}"))?;
            if !holds(&expected, &step.shows) {
                differences.push(format!("step {number}: {step}\nmust show: {}\nreal:      {expected}", step.shows));
            }
            if expected != answer {
                differences.push(format!("step {number}: {step}\n{}", difference(&expected, &answer)));
            }
        }
        anyhow::Ok(differences)
    })?;
    if differences.is_empty() { Ok(()) } else { bail!("{} differences\n\n{}", differences.len(), differences.join("\n\n")) }
}

/// The parts of two answers that differ.
fn difference(real: &Value, fake: &Value) -> String {
    let fields = real.as_object().into_iter().chain(fake.as_object()).flat_map(|answer| answer.keys()).collect::<BTreeSet<_>>();
    let differ = fields.into_iter().filter(|field| real.get(field) != fake.get(field));
    let lines = differ.map(|field| format!("  {field}\n    real: {}\n    fake: {}", real[field], fake[field]));
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether an answer holds what it must.
fn holds(answer: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Object(wanted) => wanted.iter().all(|(name, wanted)| answer.get(name).is_some_and(|answer| holds(answer, wanted))),
        Value::Array(wanted) => {
            let answer = answer.as_array().filter(|answer| answer.len() == wanted.len());
            answer.is_some_and(|answer| wanted.iter().zip(answer).all(|(wanted, answer)| holds(answer, wanted)))
        }
        Value::Null => true,
        wanted => answer == wanted,
    }
}
