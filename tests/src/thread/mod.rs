//! How is the product put into a lab and used there, as its users do? For the sandbox, for every suite of the test `lab`, and for
//! `bench_engines`.

mod answer;
pub mod buildkitd;
mod canary;
pub mod engines;
mod follow;
mod install;
mod kubectl;
mod ledger;
mod outside;
mod private_module;
mod stage;
mod storefront;
mod tenant;
mod user;
mod verdict;

pub use answer::page;
pub use canary::Canary;
pub use follow::{Seen, follow, until};
pub(crate) use install::cargo;
pub use install::{Operator, Settings, build_operator};
pub use kubectl::Kubectl;
pub use ledger::{Ledger, Tally};
pub use outside::Outside;
pub use private_module::PrivateModule;
pub use stage::{LIMIT, Scenario, Stage, Suite};
pub use storefront::Storefront;
pub use tenant::Tenant;
pub use user::{User, forbidden};
pub use verdict::{compiles, is_for, is_ready, is_ready_on, is_rolled_out, is_true, message};
