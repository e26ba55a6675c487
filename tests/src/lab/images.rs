//! Which Linux images does the lab make, because nobody can pull any here?
//!
//! `pause` (a pod's sandbox), `golang` (this machine's toolchain) and the operator. The first two are kept in the cache: a later
//! lab only pushes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::go::Toolchain;
use super::oci_layout::{Config, Tree, digest, write};
use super::tools::Tools;
use super::{host, run};

/// The user of images that need no rights; the usual number of "nonroot".
const NOBODY: &str = "65532:65532";
/// What the go command fetches modules with from their own hosts.
const GIT: [&str; 2] = ["/usr/bin/git", "/usr/lib/git-core/git-remote-https"];
/// The authorities that this machine trusts. A pod must reach the same servers.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Where images go: the lab's registry, and the program that pushes to it.
#[derive(Clone, Debug)]
pub struct Pusher {
    crane: PathBuf,
    registry: String,
}

impl Pusher {
    pub(super) fn new(tools: &Tools, registry: String) -> Result<Self> {
        Ok(Self { crane: tools.path("crane")?.to_owned(), registry })
    }

    /// Pushes the layout to `<registry>/lab/<name>` and returns the reference by digest. The tag `latest` is for people.
    pub async fn push(&self, layout: &Path, name: &str) -> Result<String> {
        let repository = format!("{}/lab/{name}", self.registry);
        let mut crane = Command::new(&self.crane);
        crane.args(["push", "--insecure"]).arg(layout).arg(format!("{repository}:latest"));
        host::run_async(crane).await.with_context(|| format!("cannot push the image {name}"))?;
        Ok(format!("{repository}@{}", digest(layout)?))
    }
}

/// The image of a pod's sandbox, as an OCI layout. Blocks.
pub(super) fn pause(tools: &Tools) -> Result<PathBuf> {
    let program = tools.path("pause")?;
    let config = Config { entrypoint: vec!["/pause".into()], env: Vec::new(), user: NOBODY };
    cached("pause", &[&fs::read(program)?], &config, |tree| tree.copy(program, "pause", 0o755))
}

/// An image like the official `golang` ones, made from this machine's toolchain and git, as an OCI layout. With a build cache its name says
/// so, and that is where BuildKit's stages compile (`/cache/build`), as a company has it in a toolchain of its own. Blocks.
pub(super) fn golang(toolchain: &Toolchain, cache: Option<&Path>) -> Result<PathBuf> {
    let env = [
        "PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        &format!("GOLANG_VERSION={}", toolchain.version()),
        "GOTOOLCHAIN=local",
        "GOPATH=/go",
    ];
    let config = Config { entrypoint: Vec::new(), env: env.map(Into::into).into(), user: "" };
    let root = toolchain.root();
    let git = GIT.map(Path::new);
    let [program, helper] = git.map(fs::read);
    let of_git = Sha256::digest([program.context("cannot read git")?, helper.context("cannot read git's helper for HTTPS")?].concat());
    let key = [root.as_os_str().as_encoded_bytes(), toolchain.version().as_bytes(), &fs::read(AUTHORITIES)?, &of_git].map(<[u8]>::to_vec);
    let name = if cache.is_some() { "golang-with-cache" } else { "golang" };
    cached(name, &key.each_ref().map(Vec::as_slice), &config, |tree| {
        system_files(tree, &fs::read(AUTHORITIES)?)?;
        for path in ["go", "go/bin", "go/src"] {
            tree.directory(path, 0o1777)?;
        }
        let mut files: Vec<PathBuf> = git.map(Path::to_owned).into();
        for program in git {
            files.extend(libraries(program)?);
        }
        files.sort();
        files.dedup();
        for file in files {
            tree.copy(&file, file.to_string_lossy().trim_start_matches('/'), 0o755)?;
        }
        // The toolchain's own tests and documents are more than half of it and build nothing.
        let skipped = |path: &Path| path.starts_with("test") || path.starts_with("api") || path.starts_with("doc");
        tree.copy_tree(root, "usr/local/go", &|path| skipped(path) || path.ends_with("testdata"))?;
        let Some(cache) = cache else { return Ok(()) };
        tree.directory("cache", 0o755)?;
        tree.copy_tree(cache, "cache/build", &|_| false)
    })
}

/// An image with one program of this machine, the libraries that it names, the machine's authorities and one more, as an OCI
/// layout in `layout`. Blocks.
pub(super) fn program(binary: &Path, authority: &str, layout: &Path) -> Result<()> {
    let authorities = [&fs::read(AUTHORITIES)?, b"\n".as_slice(), authority.as_bytes()].concat();
    let name = binary.file_name().context("the program has no name")?.to_string_lossy().into_owned();
    let config = Config { entrypoint: vec![format!("/{name}")], env: Vec::new(), user: NOBODY };
    let libraries = libraries(binary)?;
    if layout.exists() {
        fs::remove_dir_all(layout)?;
    }
    write(layout, &config, |tree| {
        system_files(tree, &authorities)?;
        for library in &libraries {
            tree.copy(library, library.to_string_lossy().trim_start_matches('/'), 0o755)?;
        }
        tree.copy(binary, &name, 0o755)
    })
}

/// An image with `buildctl` in its path, as BuildKit's own has it, as an OCI layout in `layout`. Blocks.
pub(super) fn buildctl(program: &Path, layout: &Path) -> Result<()> {
    let config = Config { entrypoint: Vec::new(), env: vec!["PATH=/usr/bin".into()], user: NOBODY };
    write(layout, &config, |tree| {
        system_files(tree, b"")?;
        tree.copy(program, "usr/bin/buildctl", 0o755)
    })
}

/// An image like BuildKit's own: the daemon, its client, and the runc of this machine. As an OCI layout in `layout`. Blocks.
pub(super) fn buildkitd([daemon, client, runc]: [&Path; 3], layout: &Path) -> Result<()> {
    let config = Config { entrypoint: vec!["buildkitd".into()], env: vec!["PATH=/usr/bin".into()], user: "0:0" };
    let authorities = fs::read(AUTHORITIES)?;
    write(layout, &config, |tree| {
        system_files(tree, &authorities)?;
        for library in libraries(runc)? {
            tree.copy(&library, library.to_string_lossy().trim_start_matches('/'), 0o755)?;
        }
        tree.copy(runc, "usr/bin/buildkit-runc", 0o755)?;
        tree.copy(client, "usr/bin/buildctl", 0o755)?;
        tree.copy(daemon, "usr/bin/buildkitd", 0o755)
    })
}

/// Bits of capabilities (`linux/capability.h`). Debian's mappers are setuid, and as root may not write the maps of a container's user.
const CAP_SETGID: u32 = 1 << 6;
const CAP_SETUID: u32 = 1 << 7;

/// What BuildKit's rootless image consists of.
pub(super) struct Rootless<'a> {
    /// The daemon, its client, and the runc of this machine.
    pub(super) buildkit: [&'a Path; 3],
    /// What starts the daemon.
    pub(super) rootlesskit: &'a Path,
    /// `buildctl-daemonless.sh`, of BuildKit's sources.
    pub(super) daemonless: &'a Path,
    /// The shell and what that script calls.
    pub(super) busybox: &'a Path,
    /// `newuidmap` and `newgidmap`.
    pub(super) mappers: [&'a Path; 2],
}

/// An image like BuildKit's own whose tag ends in `-rootless`, for the user 1000. As an OCI layout in `layout`. Blocks.
pub(super) fn rootless_buildkit(parts: &Rootless<'_>, layout: &Path) -> Result<()> {
    let Rootless { buildkit: [daemon, client, runc], rootlesskit, daemonless, busybox, mappers } = parts;
    let env = ["PATH=/usr/bin:/bin", "HOME=/home/user", "USER=user", "XDG_RUNTIME_DIR=/run/user/1000", "TMPDIR=/home/user/.local/tmp"];
    let config =
        Config { entrypoint: ["rootlesskit", "buildkitd"].map(Into::into).into(), env: env.map(Into::into).into(), user: "1000:1000" };
    let mut of_this_machine = libraries(runc)?;
    for mapper in mappers {
        of_this_machine.extend(libraries(mapper)?);
    }
    of_this_machine.sort();
    of_this_machine.dedup();
    write(layout, &config, |tree| {
        tree.directory("tmp", 0o1777)?;
        tree.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")?;
        tree.file("etc/group", 0o644, b"root:x:0:\nuser:x:1000:\n")?;
        for file in ["etc/subuid", "etc/subgid"] {
            tree.file(file, 0o644, b"user:100000:65536\n")?;
        }
        tree.file(AUTHORITIES.trim_start_matches('/'), 0o644, &fs::read(AUTHORITIES)?)?;
        for library in &of_this_machine {
            tree.copy(library, library.to_string_lossy().trim_start_matches('/'), 0o755)?;
        }
        for (program, name) in [(daemon, "buildkitd"), (client, "buildctl"), (runc, "buildkit-runc"), (rootlesskit, "rootlesskit")] {
            tree.copy(program, &format!("usr/bin/{name}"), 0o755)?;
        }
        tree.copy(daemonless, "usr/bin/buildctl-daemonless.sh", 0o755)?;
        for (mapper, (name, capability)) in mappers.iter().zip([("newuidmap", CAP_SETUID), ("newgidmap", CAP_SETGID)]) {
            tree.copy_with(mapper, &format!("usr/bin/{name}"), capability)?;
        }
        tree.copy(busybox, "bin/busybox", 0o755)?;
        ["sh", "awk", "cat", "expr", "id", "mktemp", "rm", "sleep"].iter().try_for_each(|name| tree.link(&format!("bin/{name}"), "busybox"))
    })
}

/// An image like Kaniko's own whose tag ends in `-debug`: the executor, authorities and busybox, as root. As an OCI layout in `layout`. Blocks.
pub(super) fn kaniko([executor, busybox]: [&Path; 2], layout: &Path) -> Result<()> {
    let env = ["HOME=/root", "PATH=/usr/local/bin:/kaniko:/busybox", "SSL_CERT_DIR=/kaniko/ssl/certs", "DOCKER_CONFIG=/kaniko/.docker/"];
    let config = Config { entrypoint: vec!["/kaniko/executor".into()], env: env.map(Into::into).into(), user: "0:0" };
    write(layout, &config, |tree| {
        tree.directory("kaniko/.docker", 0o777)?;
        tree.file("kaniko/ssl/certs/ca-certificates.crt", 0o644, &fs::read(AUTHORITIES)?)?;
        for library in libraries(busybox)? {
            tree.copy(&library, library.to_string_lossy().trim_start_matches('/'), 0o755)?;
        }
        // It does what it is called.
        tree.copy(busybox, "busybox/cp", 0o755)?;
        tree.copy(executor, "kaniko/executor", 0o755)
    })
}

/// An image with a Go build cache in `/cache` and nothing else, as teams have one to begin with. Blocks.
pub(super) fn go_cache(cache: &Path) -> Result<PathBuf> {
    let config = Config { entrypoint: Vec::new(), env: Vec::new(), user: "" };
    cached("go-cache", &[cache.as_os_str().as_encoded_bytes()], &config, |tree| {
        tree.directory("cache", 0o755)?;
        tree.copy_tree(cache, "cache", &|_| false)
    })
}

fn system_files(tree: &mut Tree, authorities: &[u8]) -> Result<()> {
    tree.directory("tmp", 0o1777)?;
    tree.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")?;
    tree.file("etc/group", 0o644, b"root:x:0:\nnonroot:x:65532:\n")?;
    tree.file("etc/nsswitch.conf", 0o644, b"hosts: files dns\n")?;
    tree.file(AUTHORITIES.trim_start_matches('/'), 0o644, authorities)
}

/// The shared libraries of a program by their paths on this machine, the loader among them; none for a static one.
fn libraries(binary: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(binary).output().context("cannot start `ldd`")?;
    // It ends with status 1 for a static program, and says nothing else that would help.
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    Ok(listed.lines().filter_map(path).collect())
}

/// The layout `<cache>/images/<name>-<hash of key>`, written by `fill` when it is not there yet.
fn cached(name: &str, key: &[&[u8]], config: &Config, fill: impl FnOnce(&mut Tree) -> Result<()>) -> Result<PathBuf> {
    let mut hash = Sha256::new();
    for part in key {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let layout = run::cache()?.join("images").join(format!("{name}-{}", hex::encode(&hash.finalize()[..10])));
    if !layout.exists() {
        write(&layout, config, fill)?;
    }
    Ok(layout)
}
