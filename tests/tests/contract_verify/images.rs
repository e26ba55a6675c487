//! The same program as an image, made by each tool.

use crate::registry::{BASE, Registry};
use anyhow::{Context, Result, ensure};
use clap::Parser;
use gowindows_operator::build::{BuildArgs, run};
use gowindows_tests::lab::go::go;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::tools::{KO, Tools};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;

const MAIN: &str = "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n";
/// Longer than any build on a slow machine.
const PATIENCE: Duration = Duration::from_secs(540);

/// A registry, and the source of the program.
pub struct Workshop {
    pub registry: Registry,
    module: TempDir,
}

impl Workshop {
    pub async fn open() -> Result<Self> {
        let module = tempfile::tempdir()?;
        fs::write(module.path().join("go.mod"), "module example.com/hello\n\ngo 1.24\n")?;
        fs::write(module.path().join("main.go"), MAIN)?;
        // One TLS provider, as in the program itself; another test may have installed it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Ok(Self { registry: Registry::start().await?, module })
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.host)
    }

    fn base(&self) -> String {
        self.image(BASE)
    }
}

async fn finished(command: &mut Command) -> Result<String> {
    let output = tokio::time::timeout(PATIENCE, command.stdin(Stdio::null()).kill_on_drop(true).output()).await;
    let output = output.with_context(|| format!("{command:?} has not ended after {PATIENCE:?}"))??;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "{command:?}: {}\n{}", said(&output.stdout), said(&output.stderr));
    Ok(said(&output.stdout))
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    arguments: BuildArgs,
}

/// `gowindows build`
pub async fn ours(workshop: &Workshop) -> Result<String> {
    let (image, base) = (workshop.image("ours:v1"), workshop.base());
    let folder = workshop.module.path().to_str().context("a path in UTF-8")?;
    let words = ["build", folder, "--base", &base, "--push", &image, "--insecure-registry", &workshop.registry.host];
    let code = run(Arguments::try_parse_from(words)?.arguments).await?;
    ensure!(format!("{code:?}") == format!("{:?}", std::process::ExitCode::SUCCESS), "gowindows build ended with {code:?}");
    Ok(image)
}

/// ko, as its documentation says for Windows.
pub async fn ko(workshop: &Workshop) -> Result<String> {
    let tools = Tools::ensure(&[KO], &Progress::stderr()).await?;
    let go = go(workshop.module.path())?;
    let go_folder = Path::new(go.get_program()).parent().map(Path::to_path_buf).unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(go_folder).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())))?;
    let mut command = Command::new(tools.path("ko")?);
    command.current_dir(workshop.module.path()).args(["build", ".", "--bare", "--tags=v1", "--platform=windows/amd64", "--sbom=none"]);
    command.envs([("KO_DOCKER_REPO", workshop.image("ko")), ("KO_DEFAULTBASEIMAGE", workshop.base())]).env("PATH", path);
    finished(&mut command).await?;
    Ok(workshop.image("ko:v1"))
}
