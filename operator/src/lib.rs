//! The operator: observe -> decide -> act -> report. See docs/architecture.md.

pub mod image;
pub mod settings;
