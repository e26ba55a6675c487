//! Does the thread hold whatever goes wrong? The product's controller runs unchanged on an in-memory API server, under a paused clock,
//! from one seed: thousands of lives of objects, each with other faults, every invariant checked after every write.
//!
//! `SEEDS=100000 cargo test --package gowindows-tests --test sim_thread` leads so many, all kinds together; `SEED=17` replays one.

mod admission;
mod bad_inputs;
mod borders;
mod cluster;
mod dice;
mod faults;
mod forged;
mod invariants;
mod lives;
mod meddling;
mod outside;
mod pods;
mod process;
mod run;
mod stage;
mod upgrade;
mod user;
mod waiting;
mod wire;

use libtest_mimic::{Arguments, Failed, Trial};

/// A life is thousands of small objects; the system's allocator takes a third of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let trial = |name: &str, test: fn() -> Result<(), String>| Trial::test(name, move || test().map_err(Failed::from));
    let trials = vec![
        trial("one_object_lives", || run::many("one_object_lives", 40, (|stage| Box::pin(lives::one_object(stage)), 1, None))),
        trial("three_objects_live", || run::many("three_objects_live", 40, (|stage| Box::pin(lives::three_objects(stage)), 1, None))),
        trial("three_objects_queue", || run::many("three_objects_queue", 12, (|stage| Box::pin(lives::three_objects(stage)), 1, Some(1)))),
        // Two replicas ask for their Lease every two seconds: these lives take longer.
        trial("two_replicas_live", || run::many("two_replicas_live", 5, (|stage| Box::pin(lives::one_object(stage)), 2, None))),
        // Each leads twenty objects and an hour of waiting.
        trial("many_wait", || run::many("many_wait", 3, (|stage| Box::pin(waiting::many_wait(stage)), 1, None))),
        trial("a_seed_replays", run::a_seed_replays),
        trial("job_deleted_by_someone", bad_inputs::job_deleted_by_someone),
        trial("namespace_terminating", bad_inputs::namespace_terminating),
        trial("object_deleted_mid_build", bad_inputs::object_deleted_mid_build),
        trial("target_paused", bad_inputs::target_paused),
        trial("two_objects_for_one_container", bad_inputs::two_objects_for_one_container),
        trial("an_object_that_cannot_be_read", bad_inputs::an_object_that_cannot_be_read),
        trial("a_label_needs_no_compiler", bad_inputs::a_label_needs_no_compiler),
        trial("failing_test_blocks_the_push", bad_inputs::failing_test_blocks_the_push),
        trial("memory_that_does_not_suffice", bad_inputs::memory_that_does_not_suffice),
        trial("an_identity_without_its_account", bad_inputs::an_identity_without_its_account),
        trial("a_login_goes_to_its_own_server_alone", bad_inputs::a_login_goes_to_its_own_server_alone),
        trial("status_wiped", bad_inputs::status_wiped),
        trial("forged_job_of_the_right_name", bad_inputs::forged_job_of_the_right_name),
        trial("forged_pods_prove_nothing", forged::pods_prove_nothing),
        trial("forged_jobs_take_no_slot", forged::jobs_take_no_slot),
        trial("an_upgrade_tells_before_it_refuses", upgrade::tells_before_it_refuses),
        trial("namespaces_that_are_not_watched_are_left_alone", borders::namespaces_that_are_not_watched_are_left_alone),
        trial("a_duration_that_was_stored_stops_nobody_else", borders::a_duration_that_was_stored_stops_nobody_else),
        trial("ten_thousand_reconciles_write_nothing", bad_inputs::ten_thousand_reconciles_write_nothing),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}
