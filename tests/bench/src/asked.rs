//! What is a benchmark asked for?

use anyhow::{Result, bail};
use clap::ValueEnum;
use gowindows_tests::lab::available;

/// Whether anything can be measured here.
pub fn possible(repeats: usize) -> Result<()> {
    if let Err(reason) = available() {
        bail!("{reason}");
    }
    if repeats == 0 {
        bail!("--repeats 0 measures nothing");
    }
    Ok(())
}

/// The arguments with which the same is measured again, by whoever reads the results; of all parts they are to be written.
pub fn arguments<P: ValueEnum>(repeats: usize, parts: &[P]) -> String {
    let names = parts.iter().filter_map(|part| Some(format!(" --part {}", part.to_possible_value()?.get_name())));
    let parts = if parts.is_empty() { " --write".to_owned() } else { names.collect() };
    format!("--repeats {repeats}{parts}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, ValueEnum)]
    enum Part {
        Large,
        SlowLine,
    }

    #[test]
    fn the_same_can_be_asked_for_again() {
        assert_eq!(arguments::<Part>(5, &[]), "--repeats 5 --write");
        assert_eq!(arguments(2, &[Part::SlowLine, Part::Large]), "--repeats 2 --part slow-line --part large");
        assert!(possible(0).is_err());
    }
}
