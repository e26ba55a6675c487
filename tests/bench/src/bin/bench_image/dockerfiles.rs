//! What does the usual Dockerfile for Windows make of the same program?
//!
//! It cannot be run here: `RUN` in a Windows stage needs Windows. What it would leave in layers can be made all the same, by BuildKit's
//! `COPY`: the toolchain of the `golang` image, the source, and what `go build` writes (the program and its cache).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gowindows_bench::{Results, Table, megabytes};
use gowindows_tests::lab::go::{Toolchain, go};
use gowindows_tests::lab::host::run_async;
use gowindows_tests::peers::buildkit::Buildkit;
use gowindows_tests::peers::finished;

use crate::builders::{Builder, TAG, build};
use crate::facts::{self, Facts};
use crate::nodes::Shelf;
use crate::stand::{OURS, Program, Stand, copy};

const GOAL: f64 = 0.1;
const GOWINDOWS: &str = "gowindows";
const MULTI_STAGE: &str = "multi-stage Dockerfile";
const SINGLE_STAGE: &str = "single-stage Dockerfile";
const WINDOWS: [(&str, &str); 4] = [("GOOS", "windows"), ("GOARCH", "amd64"), ("CGO_ENABLED", "0"), ("GOFLAGS", "")];

/// Ours beside a multi-stage and a single-stage Dockerfile.
pub async fn measure(stand: &Stand, repeats: usize, results: &mut Results) -> Result<()> {
    results.heading("The usual Dockerfiles for Windows (storefront)");
    results.text(
        "Multi-stage: `FROM` Nano Server, `WORKDIR`, `COPY --from` of a program that was compiled without flags, `CMD`. Single-stage: `FROM \
         golang:...-nanoserver`, `WORKDIR`, `COPY . .`, `RUN go build`, `CMD`. `RUN` needs Windows: its layer is made here of what it leaves \
         (the program and the compiler's cache, cross-compiled). The toolchain's layer is this machine's Go, its programs cross-compiled for \
         windows/amd64 with the release's flags: the one for Windows cannot be had through the Go module proxy. All layers are BuildKit's.",
    );
    let mut table = Table::new(["image", "bytes over the base", "layers over the base", "gowindows beside it"]);
    let (program, mut shelf) = (stand.storefront(), Shelf::start(stand).await?);
    let ours = {
        let registry = stand.registry().await?;
        let exe = stand.compiled(&program, &OURS).await?;
        build(stand, Builder::Ours, &program, &exe, &registry.host, None).await?;
        shelf.take(stand, &registry.host, Builder::Ours.repository(), GOWINDOWS).await?;
        facts::read(&registry.host, Builder::Ours.repository(), TAG, stand.base()).await?
    };
    table.row([GOWINDOWS.into(), megabytes(ours.bytes), ours.layers.to_string(), String::new()]);
    let mut add = |name: &str, facts: &Facts| {
        let ratio = ours.bytes as f64 / facts.bytes as f64;
        table.row([name.into(), megabytes(facts.bytes), facts.layers.to_string(), format!("1/{:.1}", 1.0 / ratio)]);
        ratio
    };
    let buildkit = Buildkit::start(&[], &stand.progress).await?;
    add(MULTI_STAGE, &built(stand, &buildkit, &multi_stage(stand, &program).await?, (&mut shelf, MULTI_STAGE)).await?);
    let single = single_stage(stand, &program).await?;
    let ratio = add(SINGLE_STAGE, &built(stand, &buildkit, &single, (&mut shelf, SINGLE_STAGE)).await?);
    results.goal("bytes beside a single-stage Dockerfile", "<= 1/10", format!("1/{:.1}", 1.0 / ratio), ratio <= GOAL);
    results.table(&table);
    shelf.measure(stand, repeats, results).await
}

async fn built(stand: &Stand, buildkit: &Buildkit, context: &Path, (shelf, name): (&mut Shelf, &'static str)) -> Result<Facts> {
    let registry = stand.registry().await?;
    let pinned = format!("FROM {}/windows/nanoserver@{}\n", registry.host, stand.base().manifest.digest);
    let steps = fs::read_to_string(context.join("steps"))?;
    fs::write(context.join("Dockerfile"), pinned + &steps)?;
    let image = format!("{}/usual:{TAG}", registry.host);
    stand.progress.step("a usual Dockerfile", finished(buildkit.command(context, &image, &[], &[])?)).await?;
    shelf.take(stand, &registry.host, "usual", name).await?;
    facts::read(&registry.host, "usual", TAG, stand.base()).await
}

async fn multi_stage(stand: &Stand, program: &Program) -> Result<PathBuf> {
    let (context, exe) = (stand.folder()?, program.exe);
    fs::copy(stand.compiled(program, &[]).await?, context.join(exe))?;
    fs::write(context.join("steps"), format!("WORKDIR /app\nCOPY {exe} .\nCMD [\"C:\\\\app\\\\{exe}\"]\n"))?;
    Ok(context)
}

async fn single_stage(stand: &Stand, program: &Program) -> Result<PathBuf> {
    let (context, exe) = (stand.folder()?, program.exe);
    toolchain(stand, &context.join("go")).await?;
    copy(&program.module, &context.join("source"))?;
    let output = context.join("output");
    let cache = output.join("Users/ContainerUser/AppData/Local/go-build");
    fs::create_dir_all(&cache)?;
    fs::create_dir(output.join("source"))?;
    let mut command = go(&program.module)?;
    command.args(["build", "-buildvcs=false", "-o"]).arg(output.join("source").join(exe)).arg(program.package);
    command.envs(WINDOWS).env("GOCACHE", &cache);
    stand.progress.step("compiling as on Windows, from nothing", run_async(command)).await?;
    let steps =
        format!("COPY [\"go\", \"/Program Files/Go\"]\nWORKDIR /source\nCOPY source .\nCOPY output /\nCMD [\"C:\\\\source\\\\{exe}\"]\n");
    fs::write(context.join("steps"), steps)?;
    Ok(context)
}

/// This machine's toolchain with programs for Windows, in `to`.
async fn toolchain(stand: &Stand, to: &Path) -> Result<()> {
    let root = Toolchain::find()?.root().to_owned();
    let tools = root.join("pkg/tool/linux_amd64");
    copy(&root, to)?;
    for linux in ["bin", "pkg/tool/linux_amd64"] {
        fs::remove_dir_all(to.join(linux)).with_context(|| format!("Go's {linux}"))?;
    }
    let names = fs::read_dir(&tools).with_context(|| format!("cannot read {}", tools.display()))?;
    let names = names.map(|entry| Ok(format!("cmd/{}", entry?.file_name().to_string_lossy()))).collect::<Result<Vec<_>>>()?;
    for (folder, packages) in [("bin", vec!["cmd/go".to_owned(), "cmd/gofmt".to_owned()]), ("pkg/tool/windows_amd64", names)] {
        let folder = to.join(folder);
        fs::create_dir_all(&folder)?;
        let mut command = go(&root.join("src"))?;
        // As `go version -m` says of a release's own programs.
        command.args(["build", "-trimpath", "-gcflags=cmd/...=-dwarf=false", "-buildvcs=false", "-o"]).arg(folder).args(packages);
        stand
            .progress
            .step(
                "Go's own programs for Windows",
                run_async({
                    command.envs(WINDOWS);
                    command
                }),
            )
            .await?;
    }
    Ok(())
}
