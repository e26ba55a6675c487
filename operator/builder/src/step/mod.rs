//! What runs inside a build pod?

pub mod assemble;
pub mod assemble_error;
pub mod assemble_pipeline;
mod bills;
mod files;
mod files_blob;
mod known_program;
mod program;
pub mod program_check;
mod program_image;
pub mod progress;
mod pushed;
mod pushed_before;
mod read_back;
pub mod source;

pub use assemble_error::AssembleError;
