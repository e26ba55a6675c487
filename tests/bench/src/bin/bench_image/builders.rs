//! How does each builder make an image of a program, and what does that cost it?

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use gowindows_tests::lab::packages::program as path_of;
use gowindows_tests::peers::buildkit::{self, Buildkit};
use gowindows_tests::peers::kaniko::{self, Executor};
use gowindows_tests::peers::{ko, pinned};
use tokio::process::Command;

use crate::measure::{Cost, cost, peak_of};
use crate::stand::{Program, Stand, copy};

/// The tag of every image that is made here; its repository is the builder's name.
pub const TAG: &str = "v1";

const KO_SETTINGS: &str = "defaultFlags: [-trimpath, -tags, timetzdata]\ndefaultLdflags: [-s, -w, -buildid=]\n";

/// Who makes the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builder {
    /// `gowindows build`
    Ours,
    /// The same with `--compression gzip:1`, which is what ko does.
    OursGzip1,
    /// The same with `--compression zstd:3`.
    OursZstd,
    /// `ko build`
    Ko,
    /// The same, told to compile as the operator does.
    KoStripping,
    /// BuildKit: `FROM` and `COPY` of the compiled program.
    Buildkit,
    /// The same with all that BuildKit has for reproducible images.
    BuildkitEpoch,
    /// Debian's Buildah, the same.
    Buildah,
    /// Kaniko, the same.
    Kaniko,
}

impl Builder {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 8] =
        [Self::Ours, Self::OursZstd, Self::Ko, Self::KoStripping, Self::Buildkit, Self::BuildkitEpoch, Self::Buildah, Self::Kaniko];

    /// In tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "gowindows",
            Self::OursGzip1 => "gowindows, gzip:1",
            Self::OursZstd => "gowindows, zstd:3",
            Self::Ko => "ko",
            Self::KoStripping => "ko, our compile flags",
            Self::Buildkit => "BuildKit",
            Self::BuildkitEpoch => "BuildKit, rewrite-timestamp",
            Self::Buildah => "Buildah (Debian's)",
            Self::Kaniko => "Kaniko",
        }
    }

    /// Where its images are, below the registry's host.
    pub fn repository(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursGzip1 => "ours-gzip1",
            Self::OursZstd => "ours-zstd",
            Self::Ko => "ko",
            Self::KoStripping => "ko-stripping",
            Self::Buildkit => "buildkit",
            Self::BuildkitEpoch => "buildkit-epoch",
            Self::Buildah => "buildah",
            Self::Kaniko => "kaniko",
        }
    }
}

/// Builds `program`, from a new copy of its files, into the registry at `host`. What compiling takes is not counted. `exe` is the
/// compiled program, for builders that do not compile; `buildkit` is the daemon.
pub async fn build(
    stand: &Stand,
    builder: Builder,
    program: &Program,
    exe: &Path,
    host: &str,
    buildkit: Option<&Buildkit>,
) -> Result<Cost> {
    let image = format!("{host}/{}", builder.repository());
    let base = format!("{host}/windows/nanoserver:ltsc2022");
    let folder = stand.folder()?;
    match builder {
        Builder::Ours | Builder::OursGzip1 | Builder::OursZstd => {
            copy(&program.module, &folder)?;
            let mut command = ours(stand, &folder, program, &base, &format!("{image}:{TAG}"), host);
            match builder {
                Builder::OursGzip1 => command.args(["--compression", "gzip:1"]),
                Builder::OursZstd => command.args(["--compression", "zstd:3"]),
                _ => &mut command,
            };
            stand.go.cost(command).await
        }
        Builder::Ko | Builder::KoStripping => {
            copy(&program.module, &folder)?;
            if builder == Builder::KoStripping {
                fs::write(folder.join(".ko.yaml"), KO_SETTINGS)?;
            }
            let command = ko::command(&stand.tools, &folder, program.package, &base, (&image, TAG))?;
            stand.go.cost(command).await
        }
        _ => {
            let pinned = format!("{host}/windows/nanoserver@{}", stand.base().manifest.digest);
            context(&folder, exe, &pinned)?;
            let image = format!("{image}:{TAG}");
            let built = match builder {
                Builder::Buildah => buildah(&stand.folder()?, &folder, &image).await,
                Builder::Kaniko => cost(Executor::new(&stand.tools, &folder)?.command(&image, &[])?, true).await,
                _ => with_buildkit(buildkit.context("BuildKit's daemon was not started")?, builder, &folder, &image).await,
            };
            built.with_context(|| format!("build with {}", builder.name()))
        }
    }
}

/// `gowindows build`
pub fn ours(stand: &Stand, module: &Path, program: &Program, base: &str, image: &str, registry: &str) -> Command {
    let mut command = Command::new(&stand.gowindows);
    command.arg("build").arg(module).args(["--package", program.package, "--base", base, "--push", image]);
    command.args(["--insecure-registry", registry]);
    command
}

/// A build context of the compiled program and the Dockerfile that puts it on the base.
fn context(folder: &Path, exe: &Path, base: &str) -> Result<()> {
    let name = exe.file_name().context("the program has no name")?.to_string_lossy();
    // Not a hard link: a copy has times of its own, as a checkout has.
    fs::copy(exe, folder.join(&*name))?;
    let dockerfile = format!("FROM {base}\nCOPY {name} /app/{name}\nENTRYPOINT [\"C:\\\\app\\\\{name}\"]\n");
    Ok(fs::write(folder.join("Dockerfile"), dockerfile)?)
}

async fn with_buildkit(buildkit: &Buildkit, builder: Builder, context: &Path, image: &str) -> Result<Cost> {
    let (output, options): (&[&str], &[&str]) = match builder {
        Builder::BuildkitEpoch => (&["rewrite-timestamp=true"], &["--no-cache", "--opt", "build-arg:SOURCE_DATE_EPOCH=0"]),
        _ => (&[], &["--no-cache"]),
    };
    let client = cost(buildkit.command(context, image, output, options)?, false).await?;
    let daemon = buildkit.id().and_then(peak_of).context("the daemon has ended")?;
    Ok(Cost { took: client.took, peak: client.peak.max(daemon) })
}

async fn buildah(state: &Path, context: &Path, image: &str) -> Result<Cost> {
    let policy = state.join("policy.json");
    fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)?;
    let command = |words: &[&str]| -> Result<Command> {
        let mut command = Command::new(path_of("unshare").context("unshare is not installed")?);
        command.args(["--mount", "--", "buildah", "--storage-driver", "vfs", "--root"]).arg(state.join("root"));
        command.arg("--runroot").arg(state.join("run")).args(words);
        Ok(command)
    };
    let (policy, folder) = (policy.to_string_lossy().into_owned(), context.to_string_lossy().into_owned());
    let common = ["--tls-verify=false", "--signature-policy", &policy];
    let build =
        [&["build", "--isolation", "chroot", "--platform", "windows/amd64", "--timestamp", "0"], &common[..], &["-t", image, &folder]];
    let push = [&["push"], &common[..], &[image]];
    let built = cost(command(&build.concat())?, false).await?;
    Ok(built.then(cost(command(&push.concat())?, false).await?))
}

/// What the versions of everybody are, as `name version`.
pub async fn versions() -> Result<Vec<String>> {
    let buildah = gowindows_tests::peers::finished({
        let mut command = Command::new("buildah");
        command.arg("--version");
        command
    });
    let go = gowindows_tests::lab::go::Toolchain::find()?;
    Ok(vec![
        format!("gowindows {}", env!("CARGO_PKG_VERSION")),
        ko::version()?,
        buildkit::version()?,
        kaniko::version()?,
        format!("Buildah {}", buildah.await?.split_whitespace().nth(2).unwrap_or("?")),
        format!("Go {}", go.version()),
        format!("registry: crane {}", pinned("registry", "github.com/google/go-containerregistry")?),
    ])
}

/// Of several runs.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// One per run.
    pub took: Vec<Duration>,
    /// The largest of all.
    pub peak: u64,
}

impl Runs {
    /// One more.
    pub fn add(&mut self, cost: Cost) {
        self.took.push(cost.took);
        self.peak = self.peak.max(cost.peak);
    }

    /// The median, in seconds.
    pub fn median(&self) -> f64 {
        gowindows_bench::median(&self.took.iter().map(Duration::as_secs_f64).collect::<Vec<_>>())
    }
}
