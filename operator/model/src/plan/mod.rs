//! What shall happen, and why? Plain values: objects are rendered right before they are written.
//!
//! Each aspect of a pass returns a [`Part`]: what it concluded, what it wants written, when to look again. Nobody edits another's.
//! [`Plan::of`] puts the steps of all parts in order and enforces their guards.

mod build_order;
mod outcome;
mod step;
mod verdict;

pub use build_order::{AllowedNodes, BuildOrder, Queued};
pub use outcome::{Done, Outcome};
pub use step::{Aspect, Attestation, Guard, Roll, Step, Write};
pub use verdict::{
    Attesting, BuildProgress, BuildVerdict, Cause, Good, Pinned, PublishVerdict, Purpose, RolloutVerdict, SourceVerdict, SpecVerdict,
    TargetVerdict, Verdicts, Wanted, WantedBecause, WantedBuild, Wish,
};

use crate::facts::Order;
use crate::question::Question;
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// The result of a decision.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Something must be known first; the same decision is taken again with the answers.
    Ask(Vec<Question>),
    /// What to do.
    Do(Box<Plan>),
}

/// What to do, and what was concluded.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In the order in which they are performed.
    pub steps: Vec<Step>,
    /// Orders that are carried out without a write.
    pub acknowledged: Vec<Order>,
    /// When to look again at the latest, where no event comes before.
    pub next: Option<Duration>,
    /// What was concluded.
    pub verdicts: Verdicts,
    /// What goes on, and will be refused once `enforcement` is `Enforce`: told where it was looked at.
    pub would_refuse: Vec<String>,
}

/// What one aspect found and what it wants.
#[derive(Clone, Debug)]
pub struct Part<V> {
    /// What it concluded.
    pub verdict: V,
    /// What it wants written, in order.
    pub steps: Vec<Step>,
    /// Orders that it carries out without a write.
    pub acknowledged: Vec<Order>,
    /// When to look again at the latest.
    pub next: Option<Duration>,
}

impl<V> Part<V> {
    /// Nothing to do.
    pub fn new(verdict: V) -> Self {
        Self { verdict, steps: Vec::new(), acknowledged: Vec::new(), next: None }
    }

    /// A write that depends on nothing and carries out no order.
    pub fn write(&mut self, aspect: Aspect, write: Write) {
        self.steps.push(Step { aspect, write, acknowledges: None, after: None });
    }

    /// Looks again after this time, or earlier where something earlier is planned.
    pub fn requeue_after(&mut self, after: Duration) {
        let after = after.max(Duration::from_millis(200));
        self.next = earlier(self.next, Some(after));
    }

    /// Looks again at a moment.
    pub fn requeue_at(&mut self, now: Timestamp, at: Timestamp) {
        self.requeue_after(Duration::try_from(at.duration_since(now)).unwrap_or_default());
    }
}

impl Plan {
    /// Takes over what a part wants, and returns what it concluded.
    pub fn take<V>(&mut self, part: Part<V>) -> V {
        let Part { verdict, steps, acknowledged, next } = part;
        self.steps.extend(steps);
        self.acknowledged.extend(acknowledged);
        self.next = earlier(self.next, next);
        verdict
    }

    /// The plan of all parts that were taken over: steps in the order of their aspects, without those whose guard cannot be met now.
    pub fn of(verdicts: Verdicts, parts: Self) -> Self {
        let Self { mut steps, acknowledged, next, verdicts: _, would_refuse } = parts;
        let signs = steps.iter().any(|step| step.aspect == Aspect::Attest);
        steps.retain(|step| signs || step.after != Some(Guard::Signed));
        let waited_for = steps.iter().any(|step| step.after == Some(Guard::Signed));
        if verdicts.publish.attestation == Attesting::Complete && !waited_for {
            steps.retain(|step| step.aspect != Aspect::Attest);
        }
        // The sort is stable: within an aspect steps keep their order.
        steps.sort_by_key(|step| (step.aspect == Aspect::Attest && !waited_for, step.aspect));
        Self { steps, acknowledged, next, verdicts, would_refuse }
    }
}

fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests;
