//! What came of a plan?

use super::{Aspect, Plan, Write};
use crate::call_error::CallError;
use crate::facts::{Attested, Order};

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was performed.
    Performed,
    /// It failed.
    Failed(CallError),
    /// It was not tried: a step before it failed, of the same aspect or one that it depends on.
    Skipped,
}

/// What became of each step of a plan, in its order.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// One for each step.
    pub steps: Vec<Done>,
    /// What is attached to the image, if that was looked at.
    pub attested: Option<Attested>,
    /// The tags that were moved.
    pub tagged: Option<Vec<String>>,
}

impl Outcome {
    /// Why a step of this aspect failed, if one did.
    pub fn of<'a>(&'a self, plan: &Plan, aspect: Aspect) -> Option<&'a CallError> {
        let mut steps = plan.steps.iter().zip(&self.steps).filter(|(step, _)| step.aspect == aspect);
        steps.find_map(|(_, done)| if let Done::Failed(error) = done { Some(error) } else { None })
    }

    /// Whether one of these writes was planned and not performed.
    pub fn is_undone(&self, plan: &Plan, which: impl Fn(&Write) -> bool) -> bool {
        let mut steps = plan.steps.iter().enumerate().filter(|(_, step)| which(&step.write));
        steps.any(|(index, _)| !self.is_performed(index))
    }

    /// Whether the step at this position was performed.
    pub fn is_performed(&self, index: usize) -> bool {
        self.steps.get(index) == Some(&Done::Performed)
    }

    /// Whether any step failed.
    pub fn has_failed(&self) -> bool {
        self.steps.iter().any(|done| matches!(done, Done::Failed(_)))
    }

    /// The orders that are carried out: those that needed no write, and those all of whose steps were performed.
    pub fn acknowledged<'a>(&self, plan: &'a Plan) -> Vec<&'a Order> {
        let steps = || plan.steps.iter().enumerate().filter_map(|(index, step)| Some((index, step.acknowledges.as_ref()?)));
        let done = |order: &Order| steps().filter(|(_, other)| *other == order).all(|(index, _)| self.is_performed(index));
        plan.acknowledged.iter().chain(steps().map(|(_, order)| order)).filter(|order| done(order)).collect()
    }
}
