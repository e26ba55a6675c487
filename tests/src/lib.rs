//! Everything that tests the product above unit level: a real cluster on this machine, and an API server in memory.

pub mod fake_apiserver;
pub mod lab;
pub mod thread;
