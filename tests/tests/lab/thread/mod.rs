//! Does the thread hold on a real cluster? From one applied object to a Windows program that answers, through six failures and bad inputs.
//!
//! Each scenario has its own namespace, and several run at a time.

mod api;
mod build;
mod failures;
mod identity;
mod inputs;
mod journey;
mod leader;
mod modules;
mod tests;

use gowindows_tests::scenarios;
use gowindows_tests::thread::Scenario;
use tokio::sync::Mutex;

/// Held by a scenario that takes the operator's replicas away: one at a time.
pub static RESTARTS: Mutex<()> = Mutex::const_new(());

/// In the lab of `lab_engines`, which has all that they need.
pub fn scenarios() -> Vec<Scenario> {
    // The longest first, so that none of them is left over in the end.
    scenarios![
        inputs::registry_misbehaves,
        leader::a_dead_and_a_stopped_leader_are_succeeded,
        modules::a_private_module_needs_its_secret,
        identity::workload_identities_open_the_registries_of_their_clouds,
        journey::another_program_goes_the_same_way,
        journey::an_object_becomes_a_running_windows_program,
        failures::new_image_crashes,
        failures::target_missing_or_without_the_container,
        journey::applying_again_and_restarting_build_nothing,
        failures::compile_error,
        tests::a_failing_test_blocks_the_push,
        failures::git_unreachable,
        failures::unknown_reference,
        failures::registry_refuses_the_login,
        build::the_laptop_makes_the_same_digest,
        build::what_changes_the_image_alone_needs_no_compiler,
        inputs::secrets_absent_and_wrong,
        inputs::no_program_in_the_source,
        inputs::bases_that_cannot_be_built_on,
        journey::orders_are_obeyed_once,
        journey::the_smallest_object_works,
        api::bad_specifications_are_refused_by_name,
        api::every_sample_is_accepted,
        api::explain_reads_like_documentation,
    ]
}
