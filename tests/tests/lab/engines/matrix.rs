//! The same sources through every engine, on every system that it compiles on.

use super::{ENGINES, GO_ON_WINDOWS, GRON, builders, made, object, tenant, windows};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use gowindows_crds::conditions::{ConditionType, find};
use gowindows_crds::v1alpha1::{BuildEngine, GoWindowsImageStatus};
use gowindows_tests::lab::builders::Builders;
use gowindows_tests::lab::git::Access;
use gowindows_tests::thread::{LIMIT, Stage, Storefront, until};
use serde_json::json;
use std::sync::Arc;

/// One whose modules are in its repository.
const HEY: &str = "github.com/rakyll/hey@v0.1.4";

/// An engine, and whether it compiles on a Windows node.
type Cell = (BuildEngine, bool);
const ON_LINUX: [Cell; 3] = [(BuildEngine::Go, false), (BuildEngine::BuildKit, false), (BuildEngine::Kaniko, false)];
const ON_WINDOWS: [Cell; 2] = [(BuildEngine::Go, true), (BuildEngine::BuildKit, true)];

async fn same_in(cells: &[Cell], stage: &Stage, builders: &Builders, (name, url, package): (&str, &str, &str)) -> Result<()> {
    let make = |&(engine, windows): &Cell| async move {
        let tenant = tenant(stage, &if windows { format!("{name}-windows") } else { name.to_owned() }, engine, &builders.buildkitd).await?;
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
