//! What runs inside a build pod?

pub mod source;
pub mod source_request;
