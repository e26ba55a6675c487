//! Everything that tests the product above unit level: a real cluster on this machine, an API server in memory, clouds' token servers, and other
//! image builders to compare with.

pub mod clouds;
pub mod fake_apiserver;
pub mod lab;
pub mod peers;
pub mod suites;
pub mod thread;
