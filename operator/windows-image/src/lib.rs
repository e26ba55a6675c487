//! How is a correct, reproducible Windows container image written, read and judged, and what does the Go program in it say of itself?
//!
//! Pure: no client, no runtime, no clock, no files. It knows no Kubernetes, so that other tools can use it by itself.

pub mod artifact;
pub mod assemble;
mod assembly;
pub mod base;
pub mod build_info;
pub mod compression;
pub mod config;
mod configure;
pub mod content;
pub mod descriptor;
pub mod digest;
pub mod files;
mod flavor;
mod gzip;
pub mod imports;
pub mod layer;
pub mod loadable_files;
pub mod manifest;
pub mod notes;
pub mod own_dockerfile;
pub mod pclntab;
pub mod pe;
pub mod pe_file;
pub mod read_back;
pub mod release;
pub mod sbom;
pub mod security;
pub mod sizes;
pub mod standard;
mod system;
pub mod verify;
pub mod verify_layer;
pub mod warnings;
pub mod windows_apis;
pub mod windows_path;

pub use assembly::{Assembly, EnvVar, FileMapping};
pub use compression::Compression;
pub use digest::Digest;
pub use flavor::Flavor;
pub use system::System;

#[cfg(test)]
pub(crate) mod tests;
