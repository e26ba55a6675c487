//! How does each builder make an image of the same program, on the same base, in the same registry?

use super::buildkit::Buildkit;
use super::finished;
use super::kaniko::Executor;
use super::registry::Registry;
use crate::lab::go::go;
use crate::lab::host::run_async;
use crate::lab::packages;
use crate::lab::progress::Progress;
use crate::lab::tools::{KANIKO, KO, Tools};
use crate::lab::windows_base::{Base, Flavor, publish_release};
use anyhow::{Context, Result, ensure};
use clap::Parser;
use gowindows_builder::build::{BuildArgs, run};
use std::fs;
use tempfile::TempDir;

const MAIN: &str = "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n";
/// The base, below the registry's host.
const BASE: &str = "windows/nanoserver:ltsc2022";
const OS_VERSION: &str = "10.0.20348.5499";

/// A registry with a base in it, and the source of the program, beside which is the file `web/index.html`.
pub struct Workshop {
    /// The registry.
    pub registry: Registry,
    /// The base.
    pub base: Base,
    module: TempDir,
}

impl Workshop {
    /// Starts the registry.
    pub async fn open() -> Result<Self> {
        let module = tempfile::tempdir()?;
        fs::write(module.path().join("go.mod"), "module example.com/hello\n\ngo 1.24\n")?;
        fs::write(module.path().join("main.go"), MAIN)?;
        fs::create_dir(module.path().join("web"))?;
        fs::write(module.path().join("web/index.html"), "<p>hello</p>\n")?;
        // One TLS provider, as in the program itself; another test may have installed it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (registry, base) = (Registry::start(&Progress::stderr()).await?, Base::generate(Flavor::Nanoserver, OS_VERSION, 1 << 20)?);
        publish_release(&registry.host, Flavor::Nanoserver, "ltsc2022", &base).await?;
        Ok(Self { registry, module, base })
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.host)
    }

    fn base_image(&self) -> String {
        self.image(BASE)
    }

    /// A build context of the compiled program and a Dockerfile, which begins with the base, by digest.
    async fn context(&self, dockerfile: &str) -> Result<TempDir> {
        let context = tempfile::tempdir()?;
        let mut compile = go(self.module.path())?;
        compile.args(["build", "-trimpath", "-o"]).arg(context.path().join("hello.exe")).arg(".");
        compile.envs([("GOOS", "windows"), ("GOARCH", "amd64"), ("CGO_ENABLED", "0")]);
        run_async(compile).await?;
        let base = format!("{}@{}", self.image("windows/nanoserver"), self.base.manifest.digest);
        fs::write(context.path().join("Dockerfile"), format!("FROM {base}\n{dockerfile}"))?;
        Ok(context)
    }
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    arguments: BuildArgs,
}

/// `gowindows build`, with these further arguments.
pub async fn ours(workshop: &Workshop, further: &[&str]) -> Result<String> {
    let (image, base) = (workshop.image("ours:v1"), workshop.base_image());
    let folder = workshop.module.path().to_str().context("a path in UTF-8")?;
    let words = ["build", folder, "--base", &base, "--push", &image, "--insecure-registry", &workshop.registry.host];
    let code = run(Arguments::try_parse_from(words.iter().chain(further))?.arguments).await?;
    ensure!(format!("{code:?}") == format!("{:?}", std::process::ExitCode::SUCCESS), "gowindows build ended with {code:?}");
    Ok(image)
}

/// ko, as its documentation says for Windows.
pub async fn ko(workshop: &Workshop) -> Result<String> {
    let tools = Tools::ensure(&[KO], &Progress::stderr()).await?;
    let mut command = super::ko::command(&tools, workshop.module.path(), ".", &workshop.base_image(), (&workshop.image("ko"), "v1"))?;
    command.arg("--sbom=none");
    finished(command).await?;
    Ok(workshop.image("ko:v1"))
}

/// BuildKit, whose `COPY` is `copy` (with or without `--link`).
pub async fn buildkit(workshop: &Workshop, copy: &str) -> Result<String> {
    let context = workshop.context(&format!("{copy} hello.exe /app/hello.exe\nENTRYPOINT [\"C:\\\\app\\\\hello.exe\"]\n")).await?;
    let buildkit = Buildkit::start(&[&workshop.registry.host], &Progress::stderr()).await?;
    let image = workshop.image("buildkit:v1");
    finished(buildkit.command(context.path(), &image, &[], &[])?).await?;
    Ok(image)
}

/// Kaniko.
pub async fn kaniko(workshop: &Workshop) -> Result<String> {
    packages::ensure(packages::BUILDERS, &Progress::stderr()).await?;
    let tools = Tools::ensure(&[KANIKO], &Progress::stderr()).await?;
    let context = workshop.context("COPY hello.exe /app/hello.exe\nENTRYPOINT [\"C:\\\\app\\\\hello.exe\"]\n").await?;
    let image = workshop.image("kaniko:v1");
    finished(Executor::new(&tools, context.path())?.command(&image, &[])?).await?;
    Ok(image)
}
