//! How is the world outside the cluster asked? Implements the ports of `gowindows-model`: git servers, registries, the exchanges of clouds;
//! and signs.

pub mod attest;
pub mod git;
pub mod identity;
pub mod oci;
