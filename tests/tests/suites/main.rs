//! Do all the programs of tests above unit level pass? `cargo test` runs test programs one after another; these run side by side, because most
//! of the longest one's time is waiting.
//!
//! Cargo.toml keeps them from running twice (`test = false`), and `cargo test --test lab` still runs one of them by itself.

use gowindows_tests::suites::{programs, run};
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let programs = programs::build(&programs::names()?)?;
    Ok(if run::all(programs, std::env::args().skip(1).collect())? { ExitCode::SUCCESS } else { ExitCode::from(101) })
}
