//! How is the program compiled on this machine?

use crate::progress::Say;
use anyhow::{Context as _, anyhow, bail};
use gowindows_model::go::compile::{AMBIENT, Compile};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

const SHOW_EVERY: Duration = Duration::from_secs(5);
const FIRST_SHOWN: Duration = Duration::from_secs(2);

/// A compiler at work. It ends when this is dropped.
pub struct Compiling<'a> {
    module: &'a Path,
    compile: &'a Compile,
    out: &'a Path,
    go: Child,
    version: Child,
}

/// Starts to compile into `out`, where Go names the program. What `go` prints goes to standard error as it comes.
///
/// # Errors
/// Go is missing.
pub fn start<'a>(module: &'a Path, compile: &'a Compile, out: &'a Path) -> anyhow::Result<Compiling<'a>> {
    let argv = compile.argv(&out.to_string_lossy());
    let build = go(module, compile, &argv[1..]).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().map_err(unstarted)?;
    let version = go(module, compile, &["version".into()]).stdout(Stdio::piped()).spawn().map_err(unstarted)?;
    Ok(Compiling { module, compile, out, go: build, version })
}

impl Compiling<'_> {
    /// Waits for the end.
    ///
    /// # Errors
    /// The package is no program, or the compiler refused it.
    pub async fn finish(self, say: Say<'_>) -> anyhow::Result<()> {
        let Self { module, compile, out, go, version } = self;
        let version = version.wait_with_output().await.context("cannot wait for go version")?;
        let version = String::from_utf8_lossy(&version.stdout);
        say(format!("compile: {} for windows/amd64, package {}", version.trim().trim_start_matches("go version "), compile.package));
        let status = waited(go, say).await?;
        let wrote_something = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
        if status.success() && wrote_something {
            return Ok(());
        }
        explain(module, compile).await?;
        bail!("go build failed ({status}); its messages are above")
    }
}

async fn waited(mut go: Child, say: Say<'_>) -> anyhow::Result<ExitStatus> {
    let start = Instant::now();
    let mut pause = FIRST_SHOWN;
    loop {
        match tokio::time::timeout(pause, go.wait()).await {
            Ok(status) => return status.context("cannot wait for go"),
            Err(_) => say(format!("compile: still compiling after {} s", start.elapsed().as_secs())),
        }
        pause = SHOW_EVERY;
    }
}

/// Looks for the reasons that Go's own messages explain badly.
async fn explain(module: &Path, compile: &Compile) -> anyhow::Result<()> {
    let go_mod = asked(module, compile, &["env", "GOMOD"]).await.unwrap_or_default();
    if ["", "/dev/null", "NUL"].contains(&go_mod.trim()) {
        bail!("there is no go.mod in {} or above it; name the folder of the Go module", module.display());
    }
    let name = asked(module, compile, &["list", "-e", "-find", "-f", "{{.Name}}", "--", &compile.package]).await.unwrap_or_default();
    if name.trim() == "main" {
        return Ok(());
    }
    let template = "{{if eq .Name \"main\"}}{{.Dir}}{{end}}";
    let found = asked(module, compile, &["list", "-e", "-find", "-f", template, "./..."]).await.unwrap_or_default();
    let relative = |folder: &str| {
        let inside = Path::new(folder).strip_prefix(module).ok()?.to_string_lossy().into_owned();
        Some(if inside.is_empty() { ".".to_string() } else { format!("./{inside}") })
    };
    let mains: Vec<String> = found.lines().filter_map(relative).take(20).collect();
    let what = if name.trim().is_empty() {
        "has no Go files for windows/amd64".to_string()
    } else {
        format!("is package {}, not main", name.trim())
    };
    match mains.as_slice() {
        [] => bail!("{} {what}, and no main package was found in {}", compile.package, module.display()),
        some => bail!("{} {what}; main packages here are {} (choose with --package)", compile.package, some.join(", ")),
    }
}

/// What a short `go` command prints.
async fn asked(module: &Path, compile: &Compile, arguments: &[&str]) -> anyhow::Result<String> {
    let arguments: Vec<String> = arguments.iter().map(|argument| argument.to_string()).collect();
    let output = go(module, compile, &arguments).stdin(Stdio::null()).output().await.map_err(unstarted)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn unstarted(error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => anyhow!("the go command was not found in PATH; install Go (https://go.dev/doc/install)"),
        _ => anyhow::Error::new(error).context("cannot start go"),
    }
}

fn go(module: &Path, compile: &Compile, arguments: &[String]) -> Command {
    let mut command = Command::new("go");
    command.args(arguments).current_dir(module).stdin(Stdio::null()).kill_on_drop(true);
    for name in AMBIENT {
        command.env_remove(name);
    }
    command.envs(compile.environment());
    command
}
