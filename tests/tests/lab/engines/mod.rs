//! Does it make no difference which engine compiles? The same sources through the go command, a buildkitd behind mutual TLS and Kaniko's
//! executor, in namespaces that enforce the level of Pod Security that each is promised to pass.
//!
//! The suites `lab_thread` and `lab_security` are in the same lab: they need less of it.

mod caches;
mod deployed;
mod dockerfile;
mod failures;
mod in_pod;
mod layers;
mod logins;
mod matrix;
mod memory;
mod modules;
mod recordings;
mod tests;
mod windows;

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use gowindows_crds::v1alpha1::{ImageStatus, StageStatus};
use gowindows_tests::lab::builders::Builders;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::windows_base::{self, Sizes};
use gowindows_tests::lab::{GO_CACHE, GO_CACHE_BY_ROOT, Lab};
use gowindows_tests::scenarios;
use gowindows_tests::thread::engines::{ENGINES, namespace, object, published, settings, tenant, tls_secret};
use gowindows_tests::thread::{Operator, Scenario, Stage, Suite, Tenant};
use serde_json::json;
use std::sync::OnceLock;
use tokio::sync::Mutex;

/// Who takes a buildkitd away, or has to find nothing in it, starts one of its own.
static BUILDERS: OnceLock<Builders> = OnceLock::new();

/// Held while a Go compiler runs under Wine, which fails to start programs ("Internal error") when several compile there and on all the rest of the machine.
pub static GO_ON_WINDOWS: Mutex<()> = Mutex::const_new(());

/// A program with modules of others that are not in its repository.
pub const GRON: &str = "github.com/tomnomnom/gron@v0.7.1";

/// The node's version of Windows.
const WINDOWS: &str = "10.0.20348.5499";

/// With the scenarios of other suites.
pub fn suite(guests: Vec<(&'static str, Vec<Scenario>)>) -> Suite {
    let scenarios = scenarios![
        // The longest first, so that none of them is left over in the end.
        matrix::all_make_the_same_program_and_image,
        dockerfile::a_dockerfile_of_ones_own_makes_the_image,
        failures::buildkitd_down_dying_and_untrusted,
        tests::a_failing_test_blocks_every_other_engine,
        layers::a_pruned_buildkitd_downloads_no_module_again,
        logins::a_login_is_nowhere_near_a_compiler,
        modules::a_private_module_by_every_engine,
        memory::a_compiler_that_runs_out_of_memory,
        layers::kaniko_downloads_no_module_again,
        windows::tests_and_mistakes_on_a_windows_node,
        windows::a_build_that_its_windows_node_loses_is_tried_again,
        deployed::the_buildkitd_of_config_builds_and_keeps_its_caches,
        in_pod::a_buildkitd_in_the_builds_own_pod,
        caches::two_objects_share_a_cache,
        failures::kaniko_where_pods_must_be_restricted,
    ];
    let recordings = scenarios![recordings::what_engines_say_is_recorded];
    let why = "it records anew what operator/core/tests/engines.rs reads: `-- --ignored what_engines_say`";
    let scenarios = scenarios.into_iter().chain(recordings.into_iter().map(|scenario| scenario.ignored(why))).collect();
    Suite { name: "lab_engines", set_up: |progress| set_up(progress).boxed(), scenarios, guests }
}

async fn set_up(progress: Progress) -> Result<Stage> {
    let lab = Lab::start(&progress).await?;
    // As large as real ones: what nodes download is told.
    progress.step("the Windows bases", windows_base::publish(lab.registry(), Sizes::default())).await?;
    let nodes = vec![lab.windows_node("windows-1", WINDOWS, &progress).await?];
    let builders = lab.builders(&progress).await?;
    let golang = progress.step("the toolchain for Windows nodes", lab.windows_golang_image(WINDOWS)).await?;
    let release: Vec<&str> = lab.toolchain().version().split('.').take(2).collect();
    let windows_buildctl = lab.windows_buildctl_image(WINDOWS, &progress).await?;
    let mut settings = settings(&builders);
    // It has `buildctl`, too: one setting for both ways to a buildkitd.
    settings["buildctlImage"] = json!(lab.rootless_buildkit_image(&progress).await?);
    settings["windowsBuildctlImage"] = json!(windows_buildctl);
    settings["windowsToolchains"] = json!({release.join("."): golang});
    settings["toolchains"] = json!({release.join("."): lab.golang_image_with_cache().await?});
    let operator = Operator::install_with(&lab, &settings, &progress).await?;
    lab.with_warm_caches(&[GO_CACHE, GO_CACHE_BY_ROOT]).await?;
    ensure!(BUILDERS.set(builders).is_ok(), "the stage is set once");
    Ok(Stage { lab, operator, nodes })
}

/// The builders of the stage.
pub fn builders() -> Result<&'static Builders> {
    BUILDERS.get().context("the stage is set")
}

/// How long a stage took, in whole seconds.
fn seconds(stage: &StageStatus) -> String {
    let taken = stage.started_at.as_ref().zip(stage.finished_at.as_ref());
    taken.map_or_else(String::new, |(from, to)| format!("{} {} s", stage.name, to.0.duration_since(from.0).as_secs()))
}

/// Waits until the image of a commit, or any where none is given, is published, and tells how long its stages took.
pub async fn made(stage: &Stage, tenant: &Tenant, commit: &str) -> Result<ImageStatus> {
    let status = published(stage, tenant, commit).await?;
    let image = status.image.context("an image")?;
    let stages: Vec<String> = status.build.iter().flat_map(|build| &build.stages).map(seconds).collect();
    eprintln!("{}: {} in all; {}", tenant.namespace, image.duration.clone().unwrap_or_default(), stages.join(", "));
    Ok(image)
}

/// What BuildKit said of a step in the newest build.
pub async fn of_step(tenant: &Tenant, command: &str) -> Result<Vec<String>> {
    let newest = ["get", "pods", "--sort-by=.metadata.creationTimestamp", "--output", "name"];
    let pods = tenant.kubectl.run(&newest).await?;
    let pod = pods.lines().next_back().context("a pod")?;
    let log = tenant.kubectl.run(&["logs", pod, "--container", "compile"]).await?;
    let line = log.lines().find(|line| line.contains(command)).with_context(|| format!("no step is {command}:\n{log}"))?;
    let step = line.split_once(' ').context("a step has a number")?.0;
    let of_it = log.lines().filter_map(|line| line.strip_prefix(step)?.strip_prefix(' '));
    Ok(of_it.map(str::to_owned).collect())
}
