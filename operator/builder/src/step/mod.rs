//! What runs inside a build pod?

pub mod assemble;
pub mod assemble_error;
pub mod assemble_pipeline;
mod bills;
mod files;
mod files_blob;
mod program;
pub mod program_check;
mod program_image;
mod pushed;
mod pushed_before;
mod read_back;
mod reused_program;
pub mod source;

pub use assemble_error::AssembleError;
