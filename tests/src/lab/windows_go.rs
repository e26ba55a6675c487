//! Where does a Windows node get Go from?
//!
//! From an image like the official `golang` ones for Windows, made of this machine's toolchain: the go command, compiler, linker, assembler,
//! vet and cgo compiled for Windows (a minute, once per toolchain; kept in the cache), and the standard library's sources. It lies over one of the
//! lab's bases.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::go::{MODULES, Toolchain, go};
use super::kept::keep;
use super::windows_base::{Blob, WindowsLayer, publish_tools};
use super::{host, run};

/// Where the official images have it.
const ROOT: &str = "Files/Program Files/Go";
const TOOLS: [&str; 6] = ["cmd/go", "cmd/compile", "cmd/link", "cmd/asm", "cmd/vet", "cmd/cgo"];
/// What it is beside sources and programs.
const BESIDE: [&str; 2] = ["VERSION", "go.env"];

/// Pushes the image for a version of Windows to `lab/golang-windows` of `registry` and returns its reference by digest.
pub async fn publish(registry: &str, toolchain: &Toolchain, os_version: &str) -> Result<String> {
    let toolchain = toolchain.clone();
    let layer = tokio::task::spawn_blocking(move || layer(&toolchain)).await??;
    let path = r"PATH=C:\Windows\system32;C:\Windows;C:\Program Files\Go\bin";
    publish_tools(registry, "lab/golang-windows", os_version, layer, path).await
}

fn layer(toolchain: &Toolchain) -> Result<(Blob, String)> {
    let (tools, root) = (tools(toolchain)?, toolchain.root());
    let mut layer = WindowsLayer::new();
    for folder in ["Files", "Files/Program Files", ROOT, &format!("{ROOT}/bin"), &format!("{ROOT}/pkg"), &format!("{ROOT}/pkg/tool")] {
        layer.directory(folder)?;
    }
    let of_windows = format!("{ROOT}/pkg/tool/windows_amd64");
    layer.directory(&of_windows)?;
    for tool in TOOLS {
        let program = format!("{}.exe", tool.trim_start_matches("cmd/"));
        let folder = if tool == "cmd/go" { format!("{ROOT}/bin") } else { of_windows.clone() };
        layer.content(&format!("{folder}/{program}"), &fs::read(tools.join(&program))?)?;
    }
    for name in BESIDE {
        layer.content(&format!("{ROOT}/{name}"), &fs::read(root.join(name)).with_context(|| format!("read {name} of the toolchain"))?)?;
    }
    add(&mut layer, &root.join("pkg/include"), &format!("{ROOT}/pkg/include"))?;
    add(&mut layer, &root.join("src"), &format!("{ROOT}/src"))?;
    layer.finish()
}

/// A folder without what builds nothing: tests, and the toolchain's own sources.
fn add(layer: &mut WindowsLayer, from: &Path, to: &str) -> Result<()> {
    layer.directory(to)?;
    let mut entries: Vec<_> = fs::read_dir(from).with_context(|| format!("list {}", from.display()))?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
        let is_folder = path.is_dir();
        if name == "testdata" || name.ends_with("_test.go") || is_folder && path.ends_with("src/cmd") {
            continue;
        }
        let to = format!("{to}/{name}");
        if is_folder { add(layer, &path, &to)? } else { layer.content(&to, &fs::read(&path)?)? }
    }
    Ok(())
}

/// The folder with the toolchain's programs for Windows.
fn tools(toolchain: &Toolchain) -> Result<PathBuf> {
    let kept = run::cache()?.join(format!("go-for-windows-{}-{}-tools", toolchain.version(), TOOLS.len()));
    keep(&kept, |unfinished| {
        fs::create_dir(unfinished)?;
        let mut command = go(&Path::new(MODULES).join("pause"))?;
        command.envs([("CGO_ENABLED", "0"), ("GOOS", "windows"), ("GOARCH", "amd64"), ("GOAMD64", "v1"), ("GOFLAGS", "")]);
        host::run(command.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(unfinished).args(TOOLS)).map(drop)
    })?;
    Ok(kept)
}
