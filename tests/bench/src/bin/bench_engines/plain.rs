//! How long do tools take that know of no cluster? They have the commit's files in a folder, and push to the same registry.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gowindows_tests::lab::git::Repository;
use gowindows_tests::lab::go::path_with_go;
use gowindows_tests::peers::{buildkit, finished, ko};
use gowindows_tests::thread::engines::names;
use tokio::process::Command;

use crate::stand::Stand;

/// Who builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `gowindows build`
    Gowindows,
    /// `ko build`
    Ko,
    /// `buildctl build` of the usual Dockerfile.
    Buildctl,
}

/// All of them.
pub const TOOLS: [Tool; 3] = [Tool::Gowindows, Tool::Ko, Tool::Buildctl];

impl Tool {
    /// In tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gowindows => "`gowindows build`",
            Self::Ko => "`ko build`",
            Self::Buildctl => "`buildctl build`, a multi-stage Dockerfile that cross-compiles",
        }
    }
}

/// What a tool took.
#[derive(Default)]
pub struct Runs {
    /// With nothing that it could take over.
    pub cold: Vec<Duration>,
    /// The same with another line.
    pub warm: Vec<Duration>,
}

/// Builds the storefront, and once more after a change.
pub async fn run(stand: &Stand, tool: Tool, round: usize, runs: &mut Runs) -> Result<()> {
    let storefront = stand.storefront(&format!("plain-{round}/{tool:?}")).await?;
    let (source, cache) = (stand.folder()?, stand.folder()?);
    let image = format!("{}/plain-{round}/{}", stand.stage.lab.registry(), format!("{tool:?}").to_lowercase());
    if tool == Tool::Buildctl {
        stand.builders.buildkitd.prune().await?;
    }
    let timed = async |what: &str| {
        check_out(&storefront.repository, &source).await?;
        let command = command(stand, tool, &source, &cache, &image)?;
        let what = format!("round {round}, {}, {what}", tool.name());
        let began = Instant::now();
        stand.progress.step(&what, finished(command)).await.with_context(|| what.clone())?;
        anyhow::Ok(began.elapsed())
    };
    runs.cold.push(timed("nothing cached").await?);
    storefront.greet("Still warm.").await?;
    runs.warm.push(timed("one line changed").await?);
    Ok(())
}

/// Puts the newest commit's files into a folder.
async fn check_out(repository: &Repository, folder: &Path) -> Result<()> {
    let archive = tempfile::NamedTempFile::new()?;
    repository.git(&["archive", "--output", &archive.path().to_string_lossy(), "--format", "tar", "main"]).await?;
    tar::Archive::new(archive.reopen()?).unpack(folder).context("unpack a commit")
}

fn command(stand: &Stand, tool: Tool, source: &Path, cache: &Path, image: &str) -> Result<Command> {
    let (_, base) = names(&stand.stage);
    let mut command = match tool {
        Tool::Gowindows => {
            let mut command = Command::new(&stand.stage.operator.program);
            command.arg("build").arg(source).args(["--package", "./cmd/storefront", "--base", &base, "--push", &format!("{image}:v1")]);
            command.args(["--insecure-registry", stand.stage.lab.registry()]).env("PATH", path_with_go()?);
            command
        }
        Tool::Ko => ko::command(&stand.tools, source, "./cmd/storefront", &base, (image, "v1"))?,
        Tool::Buildctl => {
            // Under this tag the base is one manifest: which of a list a builder takes is not the question here.
            fs::write(source.join("Dockerfile"), dockerfile(&stand.stage.operator.settings.toolchain, &format!("{base}-amd64")))?;
            buildkit::build(stand.builders.buildkitd.client().into(), source, &format!("{image}:v1"), &[], &[])
        }
    };
    command.env("GOCACHE", cache);
    Ok(command)
}

/// The usual one. The lab's toolchain image has no shell.
fn dockerfile(toolchain: &str, base: &str) -> String {
    format!(
        r#"FROM --platform=$BUILDPLATFORM {toolchain} AS build
ENV GOCACHE=/cache CGO_ENABLED=0 GOOS=windows GOARCH=amd64
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/cache ["go", "build", "-trimpath", "-tags", "timetzdata", "-ldflags", "-s -w", "-o", "/out/app/", "./cmd/storefront"]

FROM {base}
COPY --from=build /out/ /
ENTRYPOINT ["C:\\app\\storefront.exe"]
"#
    )
}
