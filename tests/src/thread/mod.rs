//! How is the product put into a lab and used there, as its users do? For the sandbox and for every `lab_` test of the thread.

mod answer;
mod follow;
mod install;
mod kubectl;
mod storefront;
mod tenant;

pub use answer::page;
pub use follow::{Seen, follow, until};
pub use install::{Operator, Settings, build_operator};
pub use kubectl::Kubectl;
pub use storefront::Storefront;
pub use tenant::Tenant;
