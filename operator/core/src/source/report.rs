//! What is said of the source?

use crate::wording::short_revision;
use gowindows_crds::conditions::{ConditionType, Reason, Truth, Verdict};
use gowindows_model::plan::SourceVerdict;

/// `SourceResolved`; none before the first poll.
pub(crate) fn condition(source: &SourceVerdict) -> Option<Verdict> {
    let kind = ConditionType::SourceResolved;
    let newest = source.revision.as_ref().map(|revision| short_revision(&revision.to_string()));
    match (&source.trouble, newest) {
        (Some(trouble), Some(newest)) => {
            let message = format!("{} Still at {newest}.", trouble.message);
            Some(Verdict::new(kind, Truth::False, trouble.reason, message))
        }
        (Some(trouble), None) => Some(Verdict::new(kind, Truth::False, trouble.reason, &trouble.message)),
        (None, Some(newest)) => Some(Verdict::new(kind, Truth::True, Reason::Succeeded, format!("The source is at {newest}."))),
        (None, None) => None,
    }
}
