//! The lab and what the tests above unit level share.

pub mod lab;
