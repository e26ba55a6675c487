//! The operator: observe -> decide -> act -> report. See docs/architecture.md.

pub mod act;
pub mod controller;
pub mod observe;
