//! The same sources through every engine, on every system that it compiles on.

use super::{GO_ON_WINDOWS, GRON, builders, made, object, tenant, windows};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use gowindows_crds::v1alpha1::{BuildEngine, BuildStatus};
use gowindows_tests::lab::builders::Builders;
use gowindows_tests::lab::git::Access;
use gowindows_tests::thread::{Stage, Storefront, Tenant};
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
        } else {
            tells_what_it_had(&tenant, engine).await?;
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

/// How much source there was, and what was in the cache.
async fn tells_what_it_had(tenant: &Tenant, engine: BuildEngine) -> Result<()> {
    let build = tenant.kubectl.run(&["get", "gwi", "program", "--output", "jsonpath={.status.build}"]).await?;
    let build: BuildStatus = serde_json::from_str(&build).with_context(|| format!("status.build is {build:?}"))?;
    ensure!(build.context_bytes.is_some_and(|bytes| bytes > 0), "{build:?}");
    // The lab's volumes begin warm; what Kaniko has there is root's, and BuildKit has its cache elsewhere.
    let hit = (engine != BuildEngine::BuildKit).then_some(true);
    ensure!(build.cache.as_ref().map(|cache| cache.hit && cache.bytes > 0 && cache.since.is_some()) == hit, "{build:?}");
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
