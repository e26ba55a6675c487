//! On what is everything compared? The same programs, bases and registry for every builder.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use gowindows_tests::lab::go::{Toolchain, go};
use gowindows_tests::lab::host::run_async;
use gowindows_tests::lab::packages;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::tools::{BUILDKIT, KANIKO, KO, REGISTRY, Tools};
use gowindows_tests::lab::windows_base::{Base, Flavor, Repository, manifest_list, publish_release};
use gowindows_tests::peers::registry::Registry;
use gowindows_tests::thread::build_operator;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::measure::TimedGo;

/// The base of comparisons, and those of an image for six releases.
const OS_VERSIONS: [&str; 6] =
    ["10.0.20348.5499", "10.0.17763.8389", "10.0.19041.1415", "10.0.19042.1889", "10.0.25398.1913", "10.0.26100.33296"];
/// The smallest base that would show if somebody moved it for nothing.
const BASE_BYTES: usize = 24 << 20;
const SMALL_BASE_BYTES: usize = 4 << 20;
const STOREFRONT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../programs/storefront");

/// A Go module with one main package.
#[derive(Clone, Debug)]
pub struct Program {
    /// How it is called in tables.
    pub name: &'static str,
    /// Its files.
    pub module: PathBuf,
    /// Its main package.
    pub package: &'static str,
    /// Its name in images.
    pub exe: &'static str,
}

/// What all builders use.
pub struct Stand {
    /// Paths of the builders.
    pub tools: Tools,
    /// Our own program.
    pub gowindows: PathBuf,
    /// A `go` whose time is taken.
    pub go: TimedGo,
    /// The bases, the one of comparisons first.
    pub bases: Vec<Base>,
    /// What is said meanwhile.
    pub progress: Progress,
    port: u16,
    work: TempDir,
}

impl Stand {
    /// Builds and installs what is missing.
    pub async fn set_up(progress: Progress) -> Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        packages::ensure(packages::BUILDERS, &progress).await?;
        packages::ensure(packages::BUILDAH, &progress).await?;
        let tools = Tools::ensure(&[REGISTRY, KO, BUILDKIT, KANIKO], &progress).await?;
        let gowindows = progress.step("building gowindows", build_operator()).await?;
        let work = tempfile::tempdir()?;
        let shim = work.path().join("go");
        fs::create_dir(&shim)?;
        let go = TimedGo::new(&shim, go(work.path())?.get_program())?;
        let size = |index| if index == 0 { BASE_BYTES } else { SMALL_BASE_BYTES };
        let bases = OS_VERSIONS.iter().enumerate().map(|(index, version)| Base::generate(Flavor::Nanoserver, version, size(index)));
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self { tools, gowindows, go, bases: bases.collect::<Result<_>>()?, progress, port, work })
    }

    /// The base of comparisons.
    pub fn base(&self) -> &Base {
        &self.bases[0]
    }

    /// A registry with nothing in it but the bases: `windows/nanoserver:ltsc2022`, and all six as `:six`. Always at the same address, which
    /// is in images.
    pub async fn registry(&self) -> Result<Registry> {
        // The one before it ends when it is dropped, but not at that very moment.
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
        let registry = Registry::start_at(self.port, &Progress::silent()).await?;
        publish_release(&registry.host, Flavor::Nanoserver, "ltsc2022", self.base()).await?;
        for base in &self.bases[1..] {
            publish_release(&registry.host, Flavor::Nanoserver, &base.os_version, base).await?;
        }
        let six = manifest_list(&self.bases.iter().collect::<Vec<_>>())?;
        Repository::new(&registry.host, Flavor::Nanoserver.repository())?.push_manifest("six", &six).await?;
        Ok(registry)
    }

    /// A new folder, gone with the stand.
    pub fn folder(&self) -> Result<PathBuf> {
        Ok(tempfile::tempdir_in(self.work.path())?.keep())
    }

    /// The small program: a web server.
    pub fn storefront(&self) -> Program {
        Program { name: "storefront", module: STOREFRONT.into(), package: "./cmd/storefront", exe: "storefront.exe" }
    }

    /// A large program as it is: Go's own compiler.
    pub fn compiler() -> Result<Program> {
        Ok(Program { name: "Go's compiler", module: Toolchain::find()?.root().join("src"), package: "cmd/compile", exe: "compile.exe" })
    }

    /// A web server that carries so many megabytes of data, which compress about as a Go program does.
    pub fn large(&self, name: &'static str, megabytes: usize) -> Result<Program> {
        let module = self.folder()?;
        fs::write(module.join("go.mod"), "module example.com/large\n\ngo 1.24\n")?;
        let main = "package main\n\nimport (\n\t_ \"embed\"\n\t\"net/http\"\n)\n\n//go:embed data.bin\nvar data string\n\n\
                    func main() { _ = http.ListenAndServe(\":8080\", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) \
                    { _, _ = w.Write([]byte(data)) })) }\n";
        fs::write(module.join("main.go"), main)?;
        data(&module.join("data.bin"), megabytes * 1_000_000)?;
        Ok(Program { name, module, package: ".", exe: "large.exe" })
    }

    /// The program, compiled as the operator does, or as `go build` does without flags, in a folder of its own.
    pub async fn compiled(&self, program: &Program, flags: &[&str]) -> Result<PathBuf> {
        let out = self.folder()?.join(program.exe);
        let mut command = go(&program.module)?;
        command.args(["build", "-buildvcs=false"]).args(flags).arg("-o").arg(&out).arg(program.package);
        command.envs([("GOOS", "windows"), ("GOARCH", "amd64"), ("CGO_ENABLED", "0"), ("GOFLAGS", "")]);
        self.progress.step(&format!("compiling {} {}", program.name, flags.join(" ")), run_async(command)).await?;
        Ok(out)
    }
}

/// The operator's flags.
pub const OURS: [&str; 5] = ["-trimpath", "-tags", "timetzdata", "-ldflags", "-s -w -buildid="];

/// Copies a folder, with new times.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to).with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Pieces of a real program (this one) interleaved with noise.
fn data(path: &Path, bytes: usize) -> Result<()> {
    const PIECE: usize = 3000;
    let mut own = Vec::new();
    File::open(std::env::current_exe()?)?.take(16_000_000).read_to_end(&mut own)?;
    let mut out = BufWriter::new(File::create(path)?);
    let (mut state, mut written) = (0x9e37_79b9_7f4a_7c15_u64, 0);
    while written < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let from = (state >> 33) as usize % own.len().saturating_sub(PIECE).max(1);
        let piece = &own[from..(from + PIECE).min(own.len())];
        out.write_all(piece)?;
        out.write_all(&state.to_le_bytes())?;
        written += piece.len() + 8;
    }
    Ok(out.flush()?)
}
