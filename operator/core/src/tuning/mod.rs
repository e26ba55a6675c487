//! What does tuning want of a pass? Nothing yet: signals, advice and experiments have their place here.

use gowindows_model::facts::World;
use gowindows_model::plan::Wish;
use gowindows_model::request::Request;

/// Knobs in force, arms of experiments, candidates to build: none.
pub(crate) fn wish(_: &World, _: &Request) -> Wish {
    Wish {}
}
