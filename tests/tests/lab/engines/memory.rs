//! A compiler that needs more memory than it may use: a real kernel ends it, the next attempt has twice as much, and later builds start with that.

use super::{namespace, object, published};
use anyhow::{Context, Result, ensure};
use futures::try_join;
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::v1alpha1::{BuildEngine, GoWindowsImageStatus, MemorySource};
use gowindows_tests::lab::git::Access;
use gowindows_tests::thread::{LIMIT, Stage, Tenant, is_for, message, until};
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;

/// So many functions in one file take the compiler some 560 MiB: more than the first of these limits, and less than the second, in
/// which Kaniko's executor has to be, too.
const FUNCTIONS: usize = 28_000;
const TOO_LITTLE: &str = "480Mi";
const ENOUGH: &str = "960Mi";
const DATE: &str = "2026-01-04T03:04:05Z";

fn program() -> String {
    let mut text =
        String::from("package main\n\nfunc main() {\n\tsum := 0\n\tfor n, f := range all {\n\t\tsum += f(n)\n\t}\n\tprintln(sum)\n}\n\n");
    text.push_str("var all = []func(int) int{\n");
    for number in 0..FUNCTIONS {
        let _ = writeln!(text, "\tfunc(n int) int {{ return n*{number} + {number} }},");
    }
    text + "}\n"
}

async fn until_so(stage: &Stage, tenant: &Tenant, so: impl Fn(&GoWindowsImageStatus) -> bool) -> Result<GoWindowsImageStatus> {
    until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, so).await
}

async fn says(stage: &Stage, tenant: &Tenant, parts: &[&str]) -> Result<()> {
    let so = |status: &GoWindowsImageStatus| {
        let said = message(status, ConditionType::Built);
        is_for(status, ConditionType::Built, Reason::OutOfMemory) && parts.iter().all(|part| said.contains(part))
    };
    let status = until_so(stage, tenant, so).await?;
    eprintln!("{}: {}", tenant.namespace, message(&status, ConditionType::Built));
    Ok(())
}

pub async fn a_compiler_that_runs_out_of_memory(stage: Arc<Stage>) -> Result<()> {
    let repository = stage.lab.git().create("memory/hungry", Access::Public).await?;
    let files = [("go.mod", "module example.com/hungry\n\ngo 1.26\n"), ("main.go", &program())];
    let first = repository.commit_files(&files, "Be hungry", DATE).await?;
    let (stage, url, first) = (&*stage, repository.url(), first.as_str());
    let raised = |engine| async move {
        let tenant = namespace(stage, "memory", engine).await?;
        let mut object = object(stage, &tenant, url, engine, "");
        object["spec"]["go"] = json!({"package": "."});
        object["spec"]["build"]["resources"] = json!({"limits": {"memory": TOO_LITTLE}, "maxMemory": "4Gi"});
        tenant.kubectl.apply(&object.to_string()).await?;
        says(stage, &tenant, &["Stage compile used more memory than its limit of 480Mi. The next attempt gets 960Mi."]).await?;
        let status = published(stage, &tenant, first).await.with_context(|| format!("{engine:?}"))?;
        let memory = status.build.and_then(|build| Some((build.attempt, build.memory?.source)));
        ensure!(memory == Some((2, MemorySource::OutOfMemory)), "{memory:?}");
        let learned = status.learned.and_then(|learned| learned.memory).context("nothing was learned")?;
        ensure!(learned.limit == ENOUGH && learned.engine == engine, "{learned:?}");
        Ok::<_, anyhow::Error>(tenant)
    };
    let (tenant, _) = try_join!(raised(BuildEngine::Go), raised(BuildEngine::Kaniko))?;

    // The next commit needs as much, and has it at once.
    let second = repository.commit_files(&[("main.go", &format!("{}\nconst hungry = true\n", program()))], "Still be hungry", DATE).await?;
    let status = published(stage, &tenant, &second).await?;
    let memory = status.build.and_then(|build| Some((build.attempt, build.memory?)));
    ensure!(memory.as_ref().is_some_and(|(attempt, memory)| *attempt == 1 && memory.source == MemorySource::Learned), "{memory:?}");
    eprintln!("{}: {memory:?}", tenant.namespace);
    Ok(())
}
