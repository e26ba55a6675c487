//! The Windows node.
pub mod command;
pub mod images;
pub mod layer;
pub mod network;
pub mod overlay;
pub mod platform;
pub mod prefix;
pub mod process;
pub mod registry;
pub mod runtime;
mod wine;
pub use wine::Wine;
