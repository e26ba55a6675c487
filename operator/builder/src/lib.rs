//! What makes a Windows image from Go source: in a pod (`step`), on a laptop (`build`), and what checks one (`verify`).

pub mod build;
mod layers;
pub mod progress;
pub mod step;
pub mod verify;
