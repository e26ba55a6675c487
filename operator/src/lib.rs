//! The operator: observe -> decide -> act -> report. See docs/architecture.md.

pub mod build;
pub mod clients;
pub mod image;
pub mod render;
pub mod settings;
pub mod step;
