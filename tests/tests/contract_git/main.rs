//! Does the git client keep its contract with real git servers? On loopback, without a cluster.

mod answers;
mod server;
mod source;
