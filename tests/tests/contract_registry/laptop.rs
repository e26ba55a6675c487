//! `gowindows build` as people run it: a process, in a clone of a repository, on machines that differ in everything that must not matter.

use anyhow::{Context, Result, ensure};
use gowindows_tests::lab::go::go;
use gowindows_tests::lab::host;
use gowindows_tests::lab::packages::{self, FAKE_CLOCK, OTHER_TIMES};
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::thread::build_operator;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// A program of several megabytes, so that several threads have something to compress, from a file beside its source.
const MAIN: &str = "package main\n\nimport (\n\t_ \"embed\"\n\t\"fmt\"\n)\n\n//go:embed words.txt\nvar words string\n\nconst greeting = \"Good morning.\"\n\nfunc main() { fmt.Println(greeting, len(words)) }\n";
const WORDS: usize = 400_000;

/// The program under test, built once for all tests of this one.
pub async fn gowindows() -> Result<&'static Path> {
    static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();
    Ok(PROGRAM.get_or_try_init(build_operator).await?)
}

/// A repository with a Go program and files beside it.
pub struct Origin {
    folder: TempDir,
}

impl Origin {
    /// With one commit.
    pub fn new() -> Result<Self> {
        let origin = Self { folder: tempfile::tempdir()? };
        let at = origin.folder.path();
        fs::create_dir(at.join("web"))?;
        fs::write(at.join("web/index.html"), "<html>Good morning.</html>")?;
        fs::write(at.join("go.mod"), "module example.com/shop\n\ngo 1.24\n")?;
        fs::write(at.join("main.go"), MAIN)?;
        let mut words = String::new();
        for number in 0..WORDS {
            writeln!(words, "line {number} of {WORDS}, and {} more", WORDS - number)?;
        }
        fs::write(at.join("words.txt"), words)?;
        git(at, &["init", "--quiet", "--initial-branch=main"], 0)?;
        origin.commit(1_767_323_045)?;
        Ok(origin)
    }

    /// Another commit, at this second since 1970, that changes one line of the program.
    pub fn greet(&self, greeting: &str, second: u64) -> Result<()> {
        fs::write(self.folder.path().join("main.go"), MAIN.replace("Good morning.", greeting))?;
        self.commit(second)
    }

    fn commit(&self, second: u64) -> Result<()> {
        git(self.folder.path(), &["add", "."], second)?;
        git(self.folder.path(), &["commit", "--quiet", "--message", "A change"], second)
    }
}

fn git(folder: &Path, arguments: &[&str], second: u64) -> Result<()> {
    let mut git = Command::new("git");
    git.current_dir(folder).args(["-c", "user.name=Shop", "-c", "user.email=shop@example.com", "-c", "commit.gpgsign=false"]);
    git.args(arguments).env("GIT_AUTHOR_DATE", format!("@{second} +0000")).env("GIT_COMMITTER_DATE", format!("@{second} +0000"));
    host::run(&mut git).map(drop)
}

/// What differs between two machines.
pub struct Machine {
    /// The folder of the clone, below the machine's own.
    pub clone: &'static str,
    /// What its clock shows at the start of each program: `2024-02-29 23:59:58`.
    pub clock: &'static str,
    /// Its time zone.
    pub zone: &'static str,
    /// Its language.
    pub locale: &'static str,
    /// How many processors it has.
    pub processors: usize,
    /// When its files were changed, in seconds since 1970.
    pub files_of: u64,
}

/// A machine with a clone of a repository and nothing in its caches.
pub struct Laptop {
    machine: Machine,
    folder: TempDir,
    processors: String,
}

/// What came of a build.
#[derive(Debug)]
pub struct Built {
    /// What `--json` prints.
    pub image: Value,
    /// What was said meanwhile.
    pub said: String,
}

impl Laptop {
    pub async fn new(machine: Machine, origin: &Origin) -> Result<Self> {
        packages::ensure(OTHER_TIMES, &Progress::stderr()).await?;
        let folder = tempfile::tempdir()?;
        for name in ["home", "tmp", "cache"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let processors = processors(machine.processors)?;
        let laptop = Self { machine, folder, processors };
        laptop.pull(origin)?;
        Ok(laptop)
    }

    fn clone(&self) -> PathBuf {
        self.folder.path().join(self.machine.clone)
    }

    /// Brings the clone to what the repository holds now.
    pub fn pull(&self, origin: &Origin) -> Result<()> {
        let clone = self.clone();
        if clone.exists() {
            git(&clone, &["pull", "--quiet"], 0)?;
        } else {
            let (from, to) = (origin.folder.path().to_str().context("UTF-8")?, clone.to_str().context("UTF-8")?);
            git(self.folder.path(), &["clone", "--quiet", from, to], 0)?;
        }
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(self.machine.files_of);
        for name in ["main.go", "go.mod", "words.txt", "web/index.html"] {
            fs::File::options().write(true).open(clone.join(name))?.set_modified(changed)?;
        }
        Ok(())
    }

    /// `gowindows build` of the clone with these arguments.
    pub async fn build(&self, arguments: &[&str]) -> Result<Built> {
        let path = |name: &str| self.folder.path().join(name);
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &self.processors]).arg(gowindows().await?).arg("build").arg(self.clone()).arg("--json").args(arguments);
        command.env_clear().env("PATH", path_with_go()?).stdin(Stdio::null());
        command.envs([("HOME", path("home")), ("TMPDIR", path("tmp")), ("GOCACHE", path("cache"))]);
        let Machine { zone, locale, clock, .. } = &self.machine;
        command.envs([
            ("TZ", *zone),
            ("LANG", *locale),
            ("LC_ALL", *locale),
            ("LD_PRELOAD", FAKE_CLOCK),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]);
        command.env("FAKETIME", format!("@{clock}"));
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{said}");
        Ok(Built { image: serde_json::from_slice(&output.stdout)?, said })
    }
}

/// The programs find `go` where the lab finds it.
fn path_with_go() -> Result<std::ffi::OsString> {
    let go = go(Path::new("/"))?.get_program().to_owned();
    let folder = Path::new(&go).parent().context("go is in a folder")?.to_owned();
    let usual = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&usual)))?)
}

/// So many of those that this program may use, as `taskset` names them.
fn processors(wanted: usize) -> Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).context("the kernel tells which processors")?;
    let mut numbers = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        numbers.extend(first.parse::<usize>()?..=last.parse::<usize>()?);
    }
    ensure!(numbers.len() >= wanted, "this test compares machines of 1 and of {wanted} processors, and here are {}", numbers.len());
    Ok(numbers[..wanted].iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}
