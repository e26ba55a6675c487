//! How does the operator talk to the world outside the cluster?

pub mod oci;
