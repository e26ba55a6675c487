//! What is said of an image? That it is published, and how it was built: statements before anybody signs them.

mod provenance;
mod statement;

pub use provenance::{Provenance, Witness};
pub use statement::{Predicate, STATEMENT, Statement};
