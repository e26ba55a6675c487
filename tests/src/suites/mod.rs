//! How do test programs run side by side, and who says what they said?

pub mod programs;
pub mod run;
mod verdict;
