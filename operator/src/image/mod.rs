//! How is a correct, reproducible Windows image written? Pure: no client, no runtime, no clock.

pub mod assemble;
mod assembly;
pub mod base;
pub mod compression;
pub mod config;
pub mod descriptor;
pub mod digest;
pub mod files;
mod gzip;
pub mod layer;
pub mod manifest;
pub mod pe;
pub mod release;
pub mod sizes;
pub mod standard;
pub mod verify;
pub mod verify_layer;
pub mod windows_path;

pub use assembly::Assembly;
pub use compression::Compression;
pub use digest::Digest;
