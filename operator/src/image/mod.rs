//! How is a correct, reproducible Windows image written? Pure: no client, no runtime, no clock.

mod assembly;
pub mod descriptor;
pub mod digest;
pub mod layer;

pub use assembly::Assembly;
pub use digest::Digest;
