//! How do the real components of the lab, written in Go, get onto this machine?
//!
//! Each directory of `tests/tools` is a Go module whose `go.mod` and `go.sum` pin them. They are built once into
//! `<cache>/tools/<hash of go.mod, go.sum and flags>/`, which a clean clone finds again, behind a file lock.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::go::{MODULES, go};
use super::progress::Progress;
use super::{host, run};

/// One Go module of `tests/tools` and the programs that are built from it.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    directory: &'static str,
    /// The program's name and its package. One whose name ends in `.exe` is for Windows.
    programs: &'static [(&'static str, &'static str)],
}

/// The Kubernetes control plane, node components and kubectl.
pub const KUBERNETES: Module = Module {
    directory: "kubernetes",
    programs: &[
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    ],
};

/// The cluster's store.
pub const ETCD: Module = Module { directory: "etcd", programs: &[("etcd", "go.etcd.io/etcd/server/v3")] };

/// The image registry and its command line.
pub const REGISTRY: Module = Module {
    directory: "registry",
    programs: &[
        ("registry", "github.com/distribution/distribution/v3/cmd/registry"),
        ("crane", "github.com/google/go-containerregistry/cmd/crane"),
    ],
};

/// A registry in memory that lists referrers, which the lab's own does not.
pub const REFERRERS: Module = Module { directory: "referrers", programs: &[("referrers", "gowindows.dev/lab/referrers")] };

/// What users verify signatures with.
pub const COSIGN: Module = Module { directory: "cosign", programs: &[("cosign", "github.com/sigstore/cosign/v3/cmd/cosign")] };

/// A reader of SPDX documents that is not ours.
pub const SPDX: Module = Module { directory: "spdx", programs: &[("spdx", "gowindows.dev/lab/spdx")] };

/// Reads layers as containerd on Windows does, and asks Windows who may do what with the files.
pub const WINDOWS_LAYER: Module =
    Module { directory: "windows-layer", programs: &[("windows-layer.exe", "gowindows.dev/lab/windows-layer")] };

/// Google's image builder for Go programs.
pub const KO: Module = Module { directory: "ko", programs: &[("ko", "github.com/google/ko")] };

/// BuildKit's daemon and client.
pub const BUILDKIT: Module = Module {
    directory: "buildkit",
    programs: &[("buildctl", "github.com/moby/buildkit/cmd/buildctl"), ("buildkitd", "github.com/moby/buildkit/cmd/buildkitd")],
};

/// What BuildKit's rootless image starts its daemon with.
pub const ROOTLESSKIT: Module =
    Module { directory: "rootlesskit", programs: &[("rootlesskit", "github.com/rootless-containers/rootlesskit/v3/cmd/rootlesskit")] };

/// BuildKit's client for Windows nodes, of the same version.
pub const BUILDCTL_FOR_WINDOWS: Module =
    Module { directory: "buildkit", programs: &[("buildctl.exe", "github.com/moby/buildkit/cmd/buildctl")] };

/// Kaniko's executor: what its image consists of.
pub const KANIKO: Module = Module { directory: "kaniko", programs: &[("executor", "github.com/GoogleContainerTools/kaniko/cmd/executor")] };

/// The program that holds a pod's namespaces.
pub const PAUSE: Module = Module { directory: "pause", programs: &[("pause", "gowindows.dev/lab/pause")] };

/// The programs that were asked for, by name.
#[derive(Clone, Debug)]
pub struct Tools {
    programs: BTreeMap<&'static str, PathBuf>,
}

impl Tools {
    /// Builds what is missing of `modules`, one program after the other: a Go build alone uses all cores.
    pub async fn ensure(modules: &[Module], progress: &Progress) -> Result<Self> {
        let mut programs = BTreeMap::new();
        for module in modules {
            let folder = module.ensure(progress).await.with_context(|| format!("cannot build tests/tools/{}", module.directory))?;
            programs.extend(module.programs.iter().map(|(name, _)| (*name, folder.join(name))));
        }
        Ok(Self { programs })
    }

    /// The path of a program, such as `kubectl`.
    pub fn path(&self, name: &str) -> Result<&Path> {
        let path = self.programs.get(name).map(PathBuf::as_path);
        path.with_context(|| format!("{name} is not among the lab's tools: {:?}", self.programs.keys().collect::<Vec<_>>()))
    }
}

impl Module {
    async fn ensure(&self, progress: &Progress) -> Result<PathBuf> {
        let source = Path::new(MODULES).join(self.directory);
        let flags = self.flags(&source)?;
        let tools = run::cache()?.join("tools");
        let folder = tools.join(key(&source, &flags)?);
        if self.is_complete(&folder) {
            return Ok(folder);
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let _lock = lock(&folder.with_extension("lock"), progress).await?;
        for (name, package) in self.programs {
            let program = folder.join(name);
            if program.exists() {
                continue;
            }
            let unfinished = folder.join(format!("{name}.unfinished"));
            let mut command = go(&source)?;
            command.args(["build", "-o"]).arg(&unfinished).args(&flags).arg(package).env("CGO_ENABLED", "0");
            if name.ends_with(".exe") {
                command.env("GOOS", "windows");
            }
            progress.step(&format!("building {name}"), host::run_async(command)).await?;
            fs::rename(&unfinished, &program).with_context(|| format!("cannot move {name} to {}", program.display()))?;
        }
        Ok(folder)
    }

    fn is_complete(&self, folder: &Path) -> bool {
        self.programs.iter().all(|(name, _)| folder.join(name).exists())
    }

    fn flags(&self, source: &Path) -> Result<Vec<String>> {
        let mut ldflags = "-s -w".to_owned();
        if self.directory == KUBERNETES.directory {
            ldflags.push_str(&kubernetes_version_flags(source)?);
        }
        Ok(["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", &ldflags].map(Into::into).into())
    }
}

/// Kubernetes learns its version from the linker; without it every component says `v0.0.0-master`.
fn kubernetes_version_flags(source: &Path) -> Result<String> {
    let go_mod = fs::read_to_string(source.join("go.mod")).context("cannot read tests/tools/kubernetes/go.mod")?;
    let pinned = go_mod.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"));
    let version = pinned.and_then(|rest| rest.split(' ').next()).context("tests/tools/kubernetes/go.mod does not pin k8s.io/kubernetes")?;
    let [major, minor, _] = version.split('.').collect::<Vec<_>>()[..] else {
        bail!("tests/tools/kubernetes/go.mod pins k8s.io/kubernetes v{version}, which is not of the form v1.2.3");
    };
    let variable = "k8s.io/component-base/version";
    Ok(format!(" -X {variable}.gitVersion=v{version} -X {variable}.gitMajor={major} -X {variable}.gitMinor={minor}"))
}

fn key(source: &Path, flags: &[String]) -> Result<String> {
    let mut hash = Sha256::new();
    for name in sources(source)? {
        let path = source.join(name);
        match fs::read(&path) {
            Ok(content) => hash.update(content),
            // A module of ours without dependencies has no go.sum; one that only pins others has no program of its own.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
        hash.update([0]);
    }
    hash.update(flags.join("\0"));
    Ok(hex::encode(&hash.finalize()[..10]))
}

/// What a program is built from: files that every module has, in this order, or what is kept of them would be built again; then those of
/// programs that have more than one.
fn sources(source: &Path) -> Result<Vec<OsString>> {
    let mut names: Vec<OsString> = ["go.mod", "go.sum", "main.go"].map(Into::into).into();
    let mut further = Vec::new();
    for entry in fs::read_dir(source).with_context(|| format!("cannot list {}", source.display()))? {
        let name = entry?.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "go") && !names.contains(&name) {
            further.push(name);
        }
    }
    further.sort();
    names.append(&mut further);
    Ok(names)
}

/// Takes the lock at `path`; waits, with progress, for another process that builds the same.
async fn lock(path: &Path, progress: &Progress) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot open {}", path.display()))?;
    let wait = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
    progress.step("waiting for another process that builds the same tools", async { wait.await? }).await.context("cannot lock")
}
