//! How is a correct, reproducible Windows image written? Pure: no client, no runtime, no clock.

mod assembly;

pub use assembly::Assembly;
