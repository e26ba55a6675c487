//! Which Go is on this machine, and how does it reach modules?

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::kept::keep;
use super::packages::program;
use super::{host, run};

/// Where the lab's own Go modules are: `tests/tools`.
pub const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools");

/// The Go toolchain that the lab's `go.mod` files ask for.
#[derive(Clone, Debug)]
pub struct Toolchain {
    settings: Settings,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Settings {
    goroot: PathBuf,
    goversion: String,
    goproxy: String,
    gosumdb: String,
    gonosumdb: String,
    gonoproxy: String,
    goprivate: String,
    goinsecure: String,
}

impl Toolchain {
    /// Asks the `go` command of this machine. Blocks.
    pub fn find() -> Result<Self> {
        // Inside a module, because its go line may make the command switch to a newer toolchain.
        let mut command = go(&Path::new(MODULES).join("pause"))?;
        command.args(["env", "-json", "GOROOT", "GOVERSION", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE"]);
        let settings = serde_json::from_str(&host::run(&mut command)?).context("cannot read what `go env -json` prints")?;
        Ok(Self { settings })
    }

    /// The toolchain's directory.
    pub fn root(&self) -> &Path {
        &self.settings.goroot
    }

    /// Its version, such as `1.26.0`.
    pub fn version(&self) -> &str {
        self.settings.goversion.trim_start_matches("go")
    }

    /// What a build in a pod must have in its environment to reach modules as this machine does: `GOPROXY` and its relatives.
    pub fn module_environment(&self) -> Vec<(&'static str, String)> {
        let Settings { goroot: _, goversion: _, goproxy, gosumdb, gonosumdb, gonoproxy, goprivate, goinsecure } = self.settings.clone();
        let all = [
            ("GOPROXY", goproxy),
            ("GOSUMDB", gosumdb),
            ("GONOSUMDB", gonosumdb),
            ("GONOPROXY", gonoproxy),
            ("GOPRIVATE", goprivate),
            ("GOINSECURE", goinsecure),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// What the lab's programs use of the standard library, directly.
const STANDARD: [&str; 5] = ["encoding/json", "html/template", "log/slog", "net/http", "time/tzdata"];

impl Toolchain {
    /// A build cache that holds the standard library as programs and their tests need it, tests of both systems. Compiled once per toolchain.
    /// Blocks.
    pub fn warm_cache(&self) -> Result<PathBuf> {
        let kept = run::cache()?.join(format!("warm-go-cache-{}", self.version()));
        keep(&kept, |cache| compile_standard(cache, &[("windows", PROGRAM), ("linux", TEST), ("windows", TEST)]))?;
        touch(&kept)?;
        Ok(kept)
    }

    /// The part of it that programs need: a third. Blocks.
    pub fn warm_cache_of_programs(&self) -> Result<PathBuf> {
        let kept = run::cache()?.join(format!("warm-go-cache-of-programs-{}", self.version()));
        keep(&kept, |cache| compile_standard(cache, &[("windows", PROGRAM)]))?;
        Ok(kept)
    }

    /// Downloads a module, `path@version`, through the machine's module proxy and returns the folder with its files.
    pub async fn download(&self, module: &str) -> Result<PathBuf> {
        let anywhere = tempfile::tempdir()?;
        let mut command = go(anywhere.path())?;
        command.args(["mod", "download", "-json", module]);
        let answer: serde_json::Value = serde_json::from_str(&super::host::run_async(command).await?)?;
        answer["Dir"].as_str().map(PathBuf::from).with_context(|| format!("go names no folder for {module}"))
    }
}

/// As the operator has programs and tests compiled, or nothing of it would be of use to builds.
const PROGRAM: &[&str] = &["build", "-trimpath", "-tags", "timetzdata", "-o", "warm.exe"];
const TEST: &[&str] = &["test", "-exec", "true", "-tags", "timetzdata"];

/// Fills a new build cache with what the go command compiles for a system, with these arguments.
fn compile_standard(cache: &Path, compiled: &[(&str, &[&str])]) -> Result<()> {
    let module = tempfile::tempdir()?;
    let imports: String = STANDARD.iter().map(|package| format!("import _ \"{package}\"\n")).collect();
    std::fs::write(module.path().join("go.mod"), "module example.test/warm\n\ngo 1.24\n")?;
    std::fs::write(module.path().join("main.go"), format!("package main\n\n{imports}\nfunc main() {{}}\n"))?;
    std::fs::write(module.path().join("main_test.go"), "package main\n\nimport \"testing\"\n\nfunc TestNothing(*testing.T) {}\n")?;
    for (system, arguments) in compiled {
        let mut command = go(module.path())?;
        command.envs([("CGO_ENABLED", "0"), ("GOOS", system), ("GOARCH", "amd64"), ("GOAMD64", "v1"), ("GOTOOLCHAIN", "local")]);
        host::run(command.args(*arguments).env("GOFLAGS", "-buildvcs=false").env("GOCACHE", cache))?;
    }
    Ok(())
}

/// The go command takes what it has not used for some days out of a cache, and cannot note in files of others that it used them.
fn touch(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { touch(&path)? } else { File::options().write(true).open(&path)?.set_modified(SystemTime::now())? }
    }
    Ok(())
}

/// The `go` command, in the module directory `module`.
pub fn go(module: &Path) -> Result<Command> {
    let usual = || Some(PathBuf::from("/usr/local/go/bin/go")).filter(|path| path.is_file());
    let go = program("go").or_else(usual).context("there is no `go` in PATH or /usr/local/go: install Go 1.26 or later")?;
    let mut command = Command::new(go);
    command.current_dir(module);
    Ok(command)
}

/// The `PATH` of this process, with the folder of that command before all else: for programs that call it by its name.
pub fn path_with_go() -> Result<OsString> {
    let go = go(Path::new(MODULES))?;
    let folder = Path::new(go.get_program()).parent().map(Path::to_path_buf).unwrap_or_default();
    let usual = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&usual)))?)
}
