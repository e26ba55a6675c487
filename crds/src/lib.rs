//! The `GoWindowsImage` API: what a user may declare and what the operator reports back.
//!
//! This crate holds types, schema and names only. It has no client, no runtime and no clock, so that anything
//! (the operator, the command line, a test, another operator) can depend on it.

pub mod conditions;
pub mod durations;
pub mod names;
pub mod patterns;
pub mod sizes;
pub mod v1alpha1;

pub use v1alpha1::GoWindowsImage;
