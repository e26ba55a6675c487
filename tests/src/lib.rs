//! Everything that tests the product above unit level: a real cluster on this machine, and an API server in memory, and clouds' token servers, and other image builders
//! to compare with, and what benchmarks share.

pub mod bench;
pub mod clouds;
pub mod fake_apiserver;
pub mod lab;
pub mod peers;
pub mod thread;
