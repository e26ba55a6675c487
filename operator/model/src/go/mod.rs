//! How is the go command called: on a laptop, in a pod, and from a generated Dockerfile? Every engine asks here, so that all compile the same
//! program.

pub mod compile;
pub mod credentials;
pub mod dockerfile;
pub mod savings;

pub use compile::Compile;
pub use credentials::Credentials;
