//! Everything that tests the product above unit level: a real cluster on this machine.

pub mod lab;
pub mod thread;
