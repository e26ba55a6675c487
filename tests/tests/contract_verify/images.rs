//! The same program as an image, made by each tool.

use crate::registry::{BASE, Registry};
use anyhow::{Context, Result, ensure};
use clap::Parser;
use gowindows_operator::build::{BuildArgs, run};
use gowindows_tests::lab::go::go;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::tools::{BUILDKIT, KANIKO, KO, Tools};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
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
        Ok(Self { registry: Registry::start().await?, module })
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.registry.host)
    }

    fn base(&self) -> String {
        self.image(BASE)
    }

    /// A folder with the compiled program and a Dockerfile.
    async fn context(&self, dockerfile: &str) -> Result<TempDir> {
        let context = tempfile::tempdir()?;
        let mut command = Command::from(go(self.module.path())?);
        command.args(["build", "-trimpath", "-ldflags=-s -w -buildid=", "-o"]).arg(context.path().join("hello.exe")).arg(".");
        finished(command.envs([("GOOS", "windows"), ("GOARCH", "amd64"), ("CGO_ENABLED", "0")])).await?;
        fs::write(context.path().join("Dockerfile"), dockerfile)?;
        Ok(context)
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

/// BuildKit, with `COPY --link` in the Windows stage: it succeeds.
pub async fn buildkit(workshop: &Workshop) -> Result<String> {
    let tools = Tools::ensure(&[BUILDKIT], &Progress::stderr()).await?;
    let dockerfile = format!("FROM {}\nCOPY --link hello.exe /app/hello.exe\nENTRYPOINT [\"C:\\\\app\\\\hello.exe\"]\n", workshop.base());
    let (context, state) = (workshop.context(&dockerfile).await?, tempfile::tempdir()?);
    let config = state.path().join("buildkitd.toml");
    fs::write(&config, format!("[registry.\"{}\"]\nhttp = true\n", workshop.registry.host))?;
    let address = format!("unix://{}", state.path().join("socket").display());
    let mut daemon = Command::new(tools.path("buildkitd")?);
    daemon.args(["--addr", &address, "--oci-worker=true", "--containerd-worker=false", "--oci-worker-snapshotter=native", "--config"]);
    daemon.arg(&config).arg("--root").arg(state.path().join("root"));
    let log = fs::File::create(state.path().join("log"))?;
    let mut daemon = daemon.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true).spawn()?;
    let began = Instant::now();
    while !state.path().join("socket").exists() {
        let log = || fs::read_to_string(state.path().join("log")).unwrap_or_default();
        ensure!(daemon.try_wait()?.is_none(), "buildkitd ended at once: {}", log());
        ensure!(began.elapsed() < Duration::from_secs(120), "buildkitd does not listen after 120 s: {}", log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let image = workshop.image("buildkit:v1");
    let folder = context.path().display();
    let mut command = Command::new(tools.path("buildctl")?);
    command.args(["--addr", &address, "build", "--progress=plain", "--frontend", "dockerfile.v0", "--opt", "platform=windows/amd64"]);
    command.args(["--local", &format!("context={folder}"), "--local", &format!("dockerfile={folder}")]);
    command.args(["--output", &format!("type=image,name={image},push=true,registry.insecure=true")]);
    let built = finished(&mut command).await;
    daemon.kill().await?;
    built.map(|_| image)
}

/// Kaniko, with the trick that makes it accept a Windows base at all (`USER 0` before the first COPY).
pub async fn kaniko(workshop: &Workshop) -> Result<String> {
    let tools = Tools::ensure(&[KANIKO], &Progress::stderr()).await?;
    let dockerfile = format!("FROM {}\nUSER 0\nCOPY hello.exe /app/hello.exe\nENTRYPOINT [\"C:\\\\app\\\\hello.exe\"]\n", workshop.base());
    let context = workshop.context(&dockerfile).await?;
    // It takes the root folder for the image's, so it gets one of its own.
    let root = tempfile::tempdir()?;
    let at = |path: &str| root.path().join(path);
    for folder in ["kaniko", "workspace", "tmp", "etc", "proc", "dev"] {
        fs::create_dir_all(at(folder))?;
    }
    fs::copy(tools.path("executor")?, at("kaniko/executor"))?;
    for file in ["hello.exe", "Dockerfile"] {
        fs::copy(context.path().join(file), at("workspace").join(file))?;
    }
    fs::write(at("etc/passwd"), "root:x:0:0:root:/root:/bin/false\n")?;
    let image = workshop.image("kaniko:v1");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--root"]).arg(root.path()).arg("--mount-proc").arg("/kaniko/executor");
    command.args(["--force", "--context=dir:///workspace", "--custom-platform=windows/amd64", "--insecure", "--insecure-pull"]);
    command.arg(format!("--destination={image}")).env_clear().env("PATH", "/kaniko").env("HOME", "/root");
    finished(&mut command).await?;
    Ok(image)
}
