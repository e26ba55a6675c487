//! Does the thread hold on a real cluster? From one applied object to a Windows program that answers, through six failures and bad inputs.
//!
//! One lab serves all scenarios; each has its own namespace, and several run at a time.

mod api;
mod build;
mod failures;
mod identity;
mod inputs;
mod journey;
mod leader;
mod modules;
mod tests;

use anyhow::Result;
use futures::FutureExt;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::windows_base::{self, Sizes};
use gowindows_tests::lab::{GO_CACHE, Lab};
use gowindows_tests::scenarios;
use gowindows_tests::thread::{Operator, Stage, Suite};
use tokio::sync::Mutex;

/// Held by a scenario that takes the operator's replicas away: one at a time.
pub static RESTARTS: Mutex<()> = Mutex::const_new(());

pub fn suite() -> Suite {
    // The longest first, so that none of them is left over in the end.
    let scenarios = scenarios![
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
    ];
    Suite { name: "lab_thread", set_up: |progress| set_up(progress).boxed(), scenarios }
}

async fn set_up(progress: Progress) -> Result<Stage> {
    let lab = Lab::start(&progress).await?;
    progress.step("the Windows bases", windows_base::publish(lab.registry(), Sizes::default())).await?;
    progress.step("the standard library, compiled", lab.with_warm_caches(&[GO_CACHE])).await?;
    let nodes = vec![lab.windows_node("windows-1", "10.0.20348.5499", &progress).await?];
    let operator = Operator::install(&lab, &progress).await?;
    Ok(Stage { lab, operator, nodes })
}
