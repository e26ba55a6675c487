//! Does the product do on a real cluster what it promises? The name of a suite says what is asked; `lab_thread` and `lab_security` are guests in
//! labs of others, each other one has a lab of its own:
//!
//! - `lab_cluster`: does the lab itself keep its promises, on which all others stand?
//! - `lab_thread`: does one applied object become a Windows program that answers, through every usual mistake?
//! - `lab_engines`: does it make no difference which engine compiles, and where?
//! - `lab_releases`: does each Windows node get what it can run, of bases that are chosen for it?
//! - `lab_security`: does what others forge prove nothing? In the lab of `lab_engines`, and of `lab_releases` where it is about slots.
//! - `lab_faults`: does the thread hold while what it hangs on breaks?
//!
//! `cargo test --test lab -- lab_engines` runs one of them, `-- compile_error` one scenario. All are one program, so that what waits
//! (for a minute's outage, thirty kills, a node that is away) runs side by side, and a suite begins while the last scenarios of the one before it end.

mod cluster;
mod engines;
mod faults;
mod releases;
mod security;
mod thread;

use gowindows_tests::lab::available;
use libtest_mimic::{Arguments, Trial};

/// Two cores: with more at a time they wait for each other's compilers.
const AT_A_TIME: usize = 6;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_A_TIME);
    let reason = available().err();
    if let Some(reason) = &reason {
        eprintln!("ignored: {reason}");
    }
    // One after the other: a lab costs a part of a core for as long as it is there. First those that wait more than they work.
    let engines = engines::suite(vec![("lab_thread", thread::scenarios()), ("lab_security", security::scenarios())]);
    let releases = releases::suite(vec![("lab_security", security::of_slots())]);
    let suites = [faults::suite().trials(), cluster::trials(), releases.trials(), engines.trials()];
    let ignored = |trial: Trial| {
        let asked_for = trial.has_ignored_flag();
        trial.with_ignored_flag(asked_for || reason.is_some())
    };
    libtest_mimic::run(&arguments, suites.into_iter().flatten().map(ignored).collect()).exit()
}
