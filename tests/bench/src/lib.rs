//! What do benchmarks share? How figures become tables, and these a part of a document.

mod asked;
mod document;
mod exposition;
mod processes;
mod requests;
mod results;
mod table;

pub use asked::{arguments, possible};
pub use document::Document;
pub use exposition::{Sample, samples, sum};
pub use processes::{Memory, cpu, memory};
pub use requests::{Requests, Tally};
pub use results::{Results, head};
pub use table::{Table, median, megabytes, percentile, seconds, seconds_to};
