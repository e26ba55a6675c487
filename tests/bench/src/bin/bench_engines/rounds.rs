//! Two ways to do the same, in turns: A-B-A-B.

use std::time::Duration;

use gowindows_bench::{Table, median};

/// What each way took, and what no way could be faster than, round by round.
#[derive(Default)]
pub struct Rounds {
    /// One thing after the other.
    pub serial: Vec<Duration>,
    /// At the same time.
    pub parallel: Vec<Duration>,
    /// The longer of both alone.
    pub bound: Vec<Duration>,
}

/// The table of several of them; `bound` says what the bound is.
pub fn table(what: &str, [serial, parallel, bound]: [&str; 3]) -> Table {
    Table::new([what, "round", serial, parallel, "ratio", bound, "beside the bound"])
}

impl Rounds {
    /// A row for each round, and one of the medians.
    pub fn rows(&self, what: &str, table: &mut Table) {
        let mut row = |round: String, [serial, parallel, bound]: [f64; 3]| {
            let (seconds, ratio) = (|taken: f64| format!("{taken:.1} s"), |whole: f64| format!("{:.2}", parallel / whole.max(1e-9)));
            table.row([what.to_owned(), round, seconds(serial), seconds(parallel), ratio(serial), seconds(bound), ratio(bound)]);
        };
        let all = [&self.serial, &self.parallel, &self.bound].map(|taken| taken.iter().map(Duration::as_secs_f64).collect::<Vec<_>>());
        for (number, ((serial, parallel), bound)) in all[0].iter().zip(&all[1]).zip(&all[2]).enumerate() {
            row((number + 1).to_string(), [*serial, *parallel, *bound]);
        }
        row("median".into(), all.each_ref().map(|taken| median(taken)));
    }
}
