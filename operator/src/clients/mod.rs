//! How is the world outside the cluster asked?

pub mod git;
pub mod identity;
pub mod oci;
