//! How is the outside world asked?

pub mod git;
