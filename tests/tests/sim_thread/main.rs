//! Does the thread hold whatever goes wrong? The product's controller runs unchanged on an in-memory API server, under a paused clock,
//! from one seed: thousands of lives of objects, each with other faults, every invariant checked after every write.
//!
//! `SEEDS=100000 cargo test --package gowindows-tests --test sim_thread` runs more of them; `SEED=17` replays one.

mod admission;
mod cluster;
mod dice;
mod faults;
mod invariants;
mod lives;
mod meddling;
mod outside;
mod pods;
mod process;
mod run;
mod stage;
mod user;
mod wire;

use libtest_mimic::{Arguments, Failed, Trial};

/// A life is thousands of small objects; the system's allocator takes a third of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let trial = |name: &str, test: fn() -> Result<(), String>| Trial::test(name, move || test().map_err(Failed::from));
    let trials = vec![
        trial("one_object_lives", || run::many("one_object_lives", |stage| Box::pin(lives::one_object(stage)))),
        trial("three_objects_live", || run::many("three_objects_live", |stage| Box::pin(lives::three_objects(stage)))),
        trial("a_seed_replays", run::a_seed_replays),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}
