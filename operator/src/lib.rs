//! The operator: observe -> decide -> act -> report. See docs/architecture.md.

pub mod act;
pub mod attest;
pub mod build;
pub mod clients;
pub mod controller;
pub mod conversions;
pub mod decide;
pub mod facts;
pub mod image;
pub mod observe;
pub mod own_dockerfile;
pub mod redact;
pub mod render;
pub mod report;
pub mod settings;
pub mod stages;
pub mod step;
pub mod verify;
