//! How is the program compiled on this machine?

use crate::render::compile::{AMBIENT, Compile};
use crate::step::assemble_pipeline::Say;
use anyhow::{Context as _, bail};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

const SHOW_EVERY: Duration = Duration::from_secs(5);
const FIRST_SHOWN: Duration = Duration::from_secs(2);

/// Compiles into `out`, where Go names the program. What `go` prints goes to standard error as it comes.
///
/// # Errors
/// Go is missing, the package is no program, or the compiler refused it.
pub async fn compile(module: &Path, compile: &Compile, out: &Path, say: Say<'_>) -> anyhow::Result<()> {
    let version = asked(module, compile, &["version"]).await?;
    say(format!("compile: {} for windows/amd64, package {}", version.trim().trim_start_matches("go version "), compile.package));
    let argv = compile.argv(&out.to_string_lossy());
    let mut child = go(module, compile, &argv[1..]).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().context("cannot start go")?;
    let start = Instant::now();
    let mut pause = FIRST_SHOWN;
    let status = loop {
        match tokio::time::timeout(pause, child.wait()).await {
            Ok(status) => break status.context("cannot wait for go")?,
            Err(_) => say(format!("compile: still compiling after {} s", start.elapsed().as_secs())),
        }
        pause = SHOW_EVERY;
    };
    let wrote_something = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    if status.success() && wrote_something {
        return Ok(());
    }
    explain(module, compile).await?;
    bail!("go build failed ({status}); its messages are above")
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
    let output = go(module, compile, &arguments).stdin(Stdio::null()).output().await;
    match output {
        Ok(output) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("the go command was not found in PATH; install Go (https://go.dev/doc/install)")
        }
        Err(error) => Err(error).context("cannot start go"),
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
