//! The lab: a real cluster on one machine.

pub mod record;
pub mod windows_base;
pub mod windows_node;
