//! What do the steps of a build pod get, and what do they tell? One declaration for who writes and who reads.

pub mod assemble;
pub mod identity;
pub mod source;
pub mod stages;
pub mod stopped;
