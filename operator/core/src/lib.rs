//! The pure pass: from what is known to what shall be done, and what is said of it. No client, no runtime, no clock, no randomness.

pub mod decide;
pub mod read;
pub mod render;
pub mod report;
