//! The operator: observe -> decide -> act -> report. What is decided and reported is pure, and in `gowindows_core::pass`. See
//! docs/architecture.md.

pub mod act;
pub mod controller;
pub mod observe;
