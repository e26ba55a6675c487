//! Which test programs are there? One per folder of `tests/tests`, but for the one that runs them all.

use crate::thread::cargo;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// The folder of the program that runs the others.
const RUNNER: &str = "suites";

/// A test program.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name, which is that of its folder.
    pub name: String,
    /// Where cargo has put it.
    pub path: PathBuf,
}

/// Every program's name.
///
/// # Errors
/// The folder cannot be read.
pub fn names() -> Result<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let entries = fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.path().join("main.rs").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.retain(|name| name != RUNNER);
    names.sort();
    ensure!(!names.is_empty(), "no test programs in {}", folder.display());
    Ok(names)
}

/// Has cargo compile them, with the features that `cargo test` has just used, so that their dependencies are not compiled twice.
///
/// # Errors
/// One does not compile.
pub fn build(names: &[String]) -> Result<Vec<Program>> {
    let mut cargo = cargo("test")?;
    cargo.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    for name in names {
        cargo.args(["--test", name]);
    }
    let output = cargo.stderr(Stdio::inherit()).output().context("run cargo")?;
    ensure!(output.status.success(), "the test programs do not compile");
    let messages = String::from_utf8_lossy(&output.stdout);
    let found: Vec<Program> = messages.lines().filter_map(program).collect();
    names.iter().map(|name| found.iter().find(|one| one.name == *name).cloned().with_context(|| format!("cargo made no {name}"))).collect()
}

/// The program that a message of cargo is about.
fn program(message: &str) -> Option<Program> {
    let message: Value = serde_json::from_str(message).ok()?;
    let kind = message["target"]["kind"].as_array()?;
    let path = PathBuf::from(message["executable"].as_str()?);
    kind.iter().any(|kind| kind == "test").then(|| Some(Program { name: message["target"]["name"].as_str()?.to_owned(), path }))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that is not in it runs twice, or never.
    #[test]
    fn every_program_runs_here_alone() {
        let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("Cargo.toml");
        let targets: Vec<&str> = manifest.split("[[test]]\n").skip(1).collect();
        for name in names().expect("names") {
            let target = targets.iter().find(|target| target.contains(&format!("name = \"{name}\"\n")));
            assert!(target.is_some_and(|target| target.contains("test = false\n")), "{name} must be a [[test]] with test = false");
        }
        assert_eq!(targets.len(), names().expect("names").len() + 1, "each [[test]] but {RUNNER} has a folder");
    }

    #[test]
    fn of_what_cargo_makes_test_programs_are_taken() {
        let message = |kind: &str, executable: Value| {
            serde_json::json!({"reason": "compiler-artifact", "target": {"kind": [kind], "name": "lab"}, "executable": executable})
                .to_string()
        };
        let made = program(&message("test", "/target/lab-1".into())).map(|program| (program.name, program.path));
        assert_eq!(made, Some(("lab".into(), "/target/lab-1".into())));
        assert!(program(&message("bin", "/target/lab".into())).is_none(), "the bin of the same name");
        assert!(program(&message("test", Value::Null)).is_none(), "not linked");
        assert!(program("{\"reason\":\"build-finished\"}").is_none());
    }
}
