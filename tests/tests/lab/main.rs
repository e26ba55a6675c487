//! Does the product do on a real cluster what it promises? Each suite has a lab of its own, and its name says what is asked:
//!
//! - `lab_cluster`: does the lab itself keep its promises, on which all others stand?
//! - `lab_thread`: does one applied object become a Windows program that answers, through every usual mistake?
//! - `lab_engines`: does it make no difference which engine compiles, and where?
//! - `lab_releases`: does each Windows node get what it can run, of bases that are chosen for it?
//! - `lab_faults`: does the thread hold while what it hangs on breaks?
//!
//! `cargo test --workspace --test lab -- lab_engines` runs one of them, `-- compile_error` one scenario. All are one program, because some work
//! while others wait: a minute's outage, thirty kills and a node that is away need time, and compilers both cores.

mod cluster;
mod engines;
mod faults;
mod releases;
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
    // Of each suite in turn, so that those that wait and those that work run beside each other.
    let waiting = [faults::suite().trials(), cluster::trials(), releases::suite().trials()].into_iter().flatten().collect();
    let trials = in_turn([waiting, engines::suite().trials(), thread::suite().trials()]);
    libtest_mimic::run(&arguments, trials.map(|trial| trial.with_ignored_flag(reason.is_some())).collect()).exit()
}

/// The first of each, then the second of each, and so on.
fn in_turn<const N: usize>(suites: [Vec<Trial>; N]) -> impl Iterator<Item = Trial> {
    let mut suites = suites.map(|suite| suite.into_iter());
    std::iter::from_fn(move || {
        let next: Vec<Trial> = suites.iter_mut().filter_map(Iterator::next).collect();
        (!next.is_empty()).then_some(next)
    })
    .flatten()
}
