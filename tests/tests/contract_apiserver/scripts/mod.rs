//! The scripts, one topic each.

mod builds;
mod deletions;
mod leases;
mod nodes;
mod objects;
mod statuses;
mod targets;
mod watches;

use crate::step::Step;
use anyhow::Result;

/// A script.
type Script = fn() -> Result<Vec<Step>>;

/// All of them, by name.
pub const ALL: &[(&str, Script)] = &[
    ("objects_are_created_once", objects::created_once),
    ("a_terminating_namespace_takes_nothing", objects::terminating_namespace),
    ("a_build_is_stopped", builds::stopped),
    ("a_status_is_applied", statuses::applied),
    ("a_status_is_shared_with_others", statuses::shared),
    ("a_target_is_rolled", targets::rolled),
    ("a_target_is_taken_from_others", targets::taken),
    ("a_target_is_gone", targets::gone),
    ("things_are_deleted", deletions::deleted),
    ("changes_are_watched", watches::watched),
    ("nodes_are_followed", nodes::followed),
    ("old_versions_are_gone", watches::expired),
    ("a_lease_is_taken_in_turns", leases::taken_in_turns),
];
