//! Does it make no difference which engine compiles? The same sources through the go command, a buildkitd behind mutual TLS and Kaniko's
//! executor, in namespaces that enforce the level of Pod Security that each is promised to pass.

#[path = "lab_engines/caches.rs"]
mod caches;
#[path = "lab_engines/deployed.rs"]
mod deployed;
#[path = "lab_engines/dockerfile.rs"]
mod dockerfile;
#[path = "lab_engines/failures.rs"]
mod failures;
#[path = "lab_engines/memory.rs"]
mod memory;
#[path = "lab_engines/modules.rs"]
mod modules;
#[path = "lab_engines/tests.rs"]
mod tests;
#[path = "lab_engines/windows.rs"]
mod windows;

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use futures::future::try_join_all;
use gowindows_crds::conditions::{ConditionType, find};
use gowindows_crds::v1alpha1::{BuildEngine, GoWindowsImageStatus, ImageStatus, StageStatus};
use gowindows_tests::lab::builders::Builders;
use gowindows_tests::lab::git::Access;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::windows_base::{self, Sizes};
use gowindows_tests::lab::{GO_CACHE, GO_CACHE_BY_ROOT, Lab};
use gowindows_tests::scenarios;
use gowindows_tests::thread::engines::{ENGINES, namespace, object, published, settings, tenant, tls_secret};
use gowindows_tests::thread::{LIMIT, Operator, Stage, Storefront, Tenant, run, until};
use reqwest::StatusCode;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use tokio::sync::Mutex;

/// Who takes a buildkitd away, or has to find nothing in it, starts one of its own.
static BUILDERS: OnceLock<Builders> = OnceLock::new();

/// Held while a Go compiler runs under Wine, which fails to start programs ("Internal error") when several compile there and on all the rest of the machine.
pub static GO_ON_WINDOWS: Mutex<()> = Mutex::const_new(());

/// They wait for pods as often as they compile.
const AT_A_TIME: usize = 4;
/// The node's version of Windows.
const WINDOWS: &str = "10.0.20348.5499";

fn main() {
    let scenarios = scenarios![
        // The longest first, so that none of them is left over in the end.
        engines::all_make_the_same_program_and_image,
        dockerfile::a_dockerfile_of_ones_own_makes_the_image,
        failures::buildkitd_down_dying_and_untrusted,
        tests::a_failing_test_blocks_every_engine,
        engines::a_pruned_buildkitd_downloads_no_module_again,
        modules::a_private_module_by_every_engine,
        memory::a_compiler_that_runs_out_of_memory,
        engines::a_program_that_does_not_compile_reads_the_same,
        windows::tests_and_mistakes_on_a_windows_node,
        windows::a_build_that_its_windows_node_loses_is_tried_again,
        deployed::the_buildkitd_of_config_builds_and_keeps_its_caches,
        caches::two_objects_share_a_cache,
        failures::kaniko_where_pods_must_be_restricted,
    ];
    run(|| set_up().boxed(), AT_A_TIME, scenarios)
}

async fn set_up() -> Result<Stage> {
    let progress = Progress::stderr();
    let lab = Lab::start(&progress).await?;
    let small = Sizes { nanoserver: 1 << 20, servercore: 1 << 20 };
    progress.step("the Windows bases", windows_base::publish(lab.registry(), small)).await?;
    let nodes = vec![lab.windows_node("windows-1", WINDOWS, &progress).await?];
    let builders = lab.builders(&progress).await?;
    let golang = progress.step("the toolchain for Windows nodes", lab.windows_golang_image(WINDOWS)).await?;
    let release: Vec<&str> = lab.toolchain().version().split('.').take(2).collect();
    let windows_buildctl = lab.windows_buildctl_image(WINDOWS, &progress).await?;
    let mut settings = settings(&builders);
    settings["windowsBuildctlImage"] = json!(windows_buildctl);
    settings["windowsToolchains"] = json!({release.join("."): golang});
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

mod engines {
    use super::*;

    /// A program with modules of others that are not in its repository.
    const GRON: &str = "github.com/tomnomnom/gron@v0.7.1";
    /// One whose modules are in its repository.
    const HEY: &str = "github.com/rakyll/hey@v0.1.4";

    /// An engine, and whether it compiles on a Windows node.
    type Cell = (BuildEngine, bool);
    const ON_LINUX: [Cell; 3] = [(BuildEngine::Go, false), (BuildEngine::BuildKit, false), (BuildEngine::Kaniko, false)];
    const ON_WINDOWS: [Cell; 2] = [(BuildEngine::Go, true), (BuildEngine::BuildKit, true)];

    async fn same_in(cells: &[Cell], stage: &Stage, builders: &Builders, (name, url, package): (&str, &str, &str)) -> Result<()> {
        let make = |&(engine, windows): &Cell| async move {
            let tenant =
                tenant(stage, &if windows { format!("{name}-windows") } else { name.to_owned() }, engine, &builders.buildkitd).await?;
            let mut object = object(stage, &tenant, url, engine, &builders.buildkitd.address());
            object["spec"]["go"]["package"] = json!(package);
            if windows {
                windows::share(&tenant, "shared", "ReadWriteMany").await?;
                windows::on_windows(&mut object);
            }
            let _alone = if windows && engine == BuildEngine::Go { Some(GO_ON_WINDOWS.lock().await) } else { None };
            tenant.kubectl.apply(&object.to_string()).await?;
            let image = made(stage, &tenant, "").await.with_context(|| format!("{} by {engine:?}", tenant.namespace))?;
            ensure!(image.engine == Some(engine), "{:?} is not {engine:?}", image.engine);
            if windows {
                windows::ran_on_windows(&tenant, "compile").await?;
            }
            let wide = tenant.kubectl.run(&["get", "gwi", "program", "--output", "wide"]).await?;
            ensure!(wide.contains("ENGINE") && wide.contains(&format!("{engine:?}")), "{wide}");
            Ok((tenant.namespace, image.binary.context("the program")?, image.digest))
        };
        let all = try_join_all(cells.iter().map(make)).await?;
        for (who, binary, digest) in &all {
            eprintln!("{who}: program {} sha256 {}, image {digest}", binary.name, binary.sha256);
            ensure!(binary.sha256 == all[0].1.sha256 && *digest == all[0].2, "{who} makes {binary:?} in {digest}, {:?} others", all[0]);
        }
        Ok(())
    }

    pub async fn all_make_the_same_program_and_image(stage: Arc<Stage>) -> Result<()> {
        let login = Access::Password { user: "git".into(), password: "sesame".into() };
        let builders = builders()?;
        let everywhere = [ON_LINUX.as_slice(), &ON_WINDOWS].concat();
        // One with an embedded file, below the module's root; one in it, with modules that are downloaded; one with modules that are vendored.
        let storefront = Storefront::create(&stage.lab, "engines/storefront", login).await?;
        same_in(&everywhere, &stage, builders, ("storefront", storefront.repository.url(), "./cmd/storefront")).await?;
        for (cells, name, module) in [(everywhere.as_slice(), "gron", GRON), (&ON_LINUX, "hey", HEY)] {
            let folder = stage.lab.toolchain().download(module).await?;
            let repository = stage.lab.git().create(&format!("engines/{name}"), Access::Public).await?;
            repository.commit_folder(&folder, "Take it as it is", "2026-01-02T03:04:05Z").await?;
            same_in(cells, &stage, builders, (name, repository.url(), ".")).await?;
        }
        Ok(())
    }

    pub async fn a_pruned_buildkitd_downloads_no_module_again(stage: Arc<Stage>) -> Result<()> {
        let buildkitd = stage.lab.start_buildkitd("buildkitd-pruned", &Progress::stderr()).await?;
        let module = stage.lab.toolchain().download(GRON).await?;
        let repository = stage.lab.git().create("pruned/gron", Access::Public).await?;
        repository.commit_folder(&module, "Take it as it is", "2026-01-02T03:04:05Z").await?;
        let tenant = tenant(&stage, "pruned", BuildEngine::BuildKit, &buildkitd).await?;
        let mut object = object(&stage, &tenant, repository.url(), BuildEngine::BuildKit, &buildkitd.address());
        object["spec"]["go"]["package"] = json!(".");
        object["spec"]["image"]["pushSecretRef"] = json!({"name": "registry-auth"});
        object["spec"]["build"]["cache"] = json!({"registry": {"repository": format!("{}/pruned/cache", stage.lab.registry())}});
        let cache = format!("{}/v2/pruned/cache", stage.lab.registry());
        // A build that starts with nothing, and one that has the registry alone.
        tenant.kubectl.apply(&object.to_string()).await?;
        made(&stage, &tenant, "").await?;
        let first = of_download(&tenant).await?;
        ensure!(!was_taken_over(&cache, &first).await?, "{first:?}");
        buildkitd.prune().await?;
        let commit = repository.commit_files(&[("note.go", "package main\n")], "Change only source", "2026-01-05T03:04:05Z").await?;
        made(&stage, &tenant, &commit).await?;
        let second = of_download(&tenant).await?;
        ensure!(was_taken_over(&cache, &second).await?, "{second:?}");
        Ok(())
    }

    async fn of_download(tenant: &Tenant) -> Result<Vec<String>> {
        of_step(tenant, r#"RUN ["go","mod","download"]"#).await
    }

    /// The step did not run: it was there, or a layer with modules was unpacked for it. Had it run, there would be those below it alone.
    async fn was_taken_over(cache: &str, said: &[String]) -> Result<bool> {
        if said.iter().any(|line| line == "CACHED") {
            return Ok(true);
        }
        for layer in said.iter().filter_map(|line| line.strip_prefix("extracting ")?.split(' ').next()).collect::<BTreeSet<_>>() {
            let blob = reqwest::get(format!("http://{cache}/blobs/{layer}")).await?;
            // What the cache does not have is the toolchain's.
            if blob.status() != StatusCode::NOT_FOUND && has_modules(&blob.error_for_status()?.bytes().await?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has_modules(layer: &[u8]) -> Result<bool> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer));
        for entry in archive.entries()? {
            if entry?.path()?.to_string_lossy().contains("/cache/download/github.com/") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub async fn a_program_that_does_not_compile_reads_the_same(stage: Arc<Stage>) -> Result<()> {
        let builders = builders()?;
        let login = Access::Password { user: "git".into(), password: "sesame".into() };
        let storefront = Storefront::create(&stage.lab, "broken/storefront", login).await?;
        storefront.break_build().await?;
        let (stage, url) = (&stage, storefront.repository.url());
        let say = |engine| async move {
            let tenant = tenant(stage, "broken", engine, &builders.buildkitd).await?;
            let object = object(stage, &tenant, url, engine, &builders.buildkitd.address());
            tenant.kubectl.apply(&object.to_string()).await?;
            let failed =
                |status: &GoWindowsImageStatus| find(&status.conditions, ConditionType::Built).is_some_and(|built| built.status == "False");
            let status = until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, failed).await?;
            let built = find(&status.conditions, ConditionType::Built).context("Built")?;
            let build = status.build.as_ref().context("a build")?;
            ensure!(build.context_bytes.is_some_and(|bytes| bytes > 0), "{build:?}");
            // The lab's volumes begin warm; what Kaniko has there is root's.
            let hit = (engine != BuildEngine::BuildKit).then_some(true);
            ensure!(build.cache.as_ref().map(|cache| cache.hit && cache.bytes > 0 && cache.since.is_some()) == hit, "{build:?}");
            eprintln!("{}: {}: {}", tenant.namespace, built.reason, built.message);
            anyhow::Ok((built.reason.clone(), built.message.clone()))
        };
        let said = try_join_all(ENGINES.map(say)).await?;
        ensure!(said[0].0 == "CompileError" && said[0].1.contains("cmd/storefront/main.go:"), "{:?}", said[0]);
        ensure!(said.iter().all(|one| *one == said[0]), "{said:?}");
        Ok(())
    }
}
