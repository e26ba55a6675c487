//! What do benchmarks share? How figures become tables, and these a part of a document.

mod asked;
mod document;
mod results;
mod table;

pub use asked::{arguments, possible};
pub use document::Document;
pub use results::{Results, head};
pub use table::{Table, median, megabytes, seconds, seconds_to};
