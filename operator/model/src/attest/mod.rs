//! What is said of an image? That it is published, and how it was built: statements before anybody signs them, and what is read of them again.

mod provenance;
mod statement;
mod testimony;

pub use provenance::{Provenance, Witness};
pub use statement::{Predicate, STATEMENT, Statement};
pub use testimony::{Program, Testimony};
