//! Where does the Windows part of a container come from?
//!
//! From Wine: one prefix (a registry and a `drive_c` with Wine's own system files), made once by `wineboot`
//! and kept. It is never written again: each container has it as the lowest layer of an overlay.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::layer::DRIVE;

/// Go asks this DLL for random bytes; Wine 8 has none.
const RANDOM: &str = include_str!("bcryptprimitives.c");
const COMPILER: &str = "x86_64-w64-mingw32-gcc";
/// Left out of the prefix: .NET and the HTML engine want downloads, the menu builder wants a desktop.
const OVERRIDES: &str = "mscoree=;mshtml=;winemenubuilder.exe=";
/// Where Debian and others put the loader of 64-bit programs.
const LOADERS: [&str; 4] = ["/usr/lib/wine/wine64", "/usr/bin/wine64", "/usr/local/bin/wine64", "/usr/bin/wine"];

/// Wine as it is installed, and the prefix that all containers share.
#[derive(Clone, Debug)]
pub struct Prefix {
    /// The program that loads Windows programs.
    pub loader: PathBuf,
    /// The prefix.
    pub folder: PathBuf,
}

impl Prefix {
    /// Finds the prefix in the folder `kept`, or makes it: about 15 s and 700 MB. Another process that makes it is waited for.
    pub async fn prepare(kept: &Path) -> Result<Self> {
        let loader = LOADERS.iter().map(PathBuf::from).find(|path| path.exists());
        let loader = loader.context("Wine is missing: install the Debian packages wine and wine64")?;
        let version = Command::new(&loader).arg("--version").output().await.context("run wine64 --version")?;
        let key = hex::encode(Sha256::digest([&version.stdout, RANDOM.as_bytes(), OVERRIDES.as_bytes()].concat()));
        let prefix = Self { loader, folder: kept.join(&key[..16]) };
        fs::create_dir_all(kept).with_context(|| format!("create {}", kept.display()))?;
        let lock = File::create(prefix.folder.with_extension("lock"))?;
        let _lock = tokio::task::spawn_blocking(|| Flock::lock(lock, FlockArg::LockExclusive)).await?.map_err(|(_, error)| error)?;
        if !prefix.folder.exists() {
            prefix.make().await.context("make the Wine prefix")?;
        }
        Ok(prefix)
    }

    async fn make(&self) -> Result<()> {
        let unfinished = Self { loader: self.loader.clone(), folder: self.folder.with_extension("unfinished") };
        if unfinished.folder.exists() {
            fs::remove_dir_all(&unfinished.folder)?;
        }
        fs::create_dir_all(&unfinished.folder)?;
        let mut boot = Command::new(&self.loader);
        succeed(boot.args(["wineboot", "--init"]).env_clear().envs(unfinished.environment(&unfinished.folder))).await?;
        let mut end = Command::new("wineserver");
        succeed(end.arg("--wait").envs(unfinished.environment(&unfinished.folder))).await?;
        unfinished.add_random_numbers().await?;
        // Names the temporary folder of this prefix' server: each container must have its own.
        for entry in fs::read_dir(&unfinished.folder)?.flatten() {
            let name = entry.file_name();
            if name == "wineserver" {
                fs::remove_file(entry.path())?;
            } else if name.to_string_lossy().starts_with("wine-") {
                fs::remove_dir_all(entry.path())?;
            }
        }
        fs::rename(&unfinished.folder, &self.folder).context("keep the prefix")
    }

    async fn add_random_numbers(&self) -> Result<()> {
        let system = self.folder.join(DRIVE).join("windows/system32");
        ensure!(system.is_dir(), "wineboot made no {}", system.display());
        let library = system.join("bcryptprimitives.dll");
        if library.exists() {
            return Ok(());
        }
        let source = self.folder.join("bcryptprimitives.c");
        fs::write(&source, RANDOM)?;
        let mut compile = Command::new(COMPILER);
        compile.args(["-shared", "-O2", "-s", "-o"]).arg(&library).arg(&source).arg("-ladvapi32");
        succeed(&mut compile).await.context("install the Debian package gcc-mingw-w64-x86-64-win32")
    }

    /// The environment that makes Wine use the prefix `folder`, keep its sockets in `temporary`, and stay silent.
    /// There is no display in it.
    pub fn environment(&self, temporary: &Path) -> Vec<(&'static str, OsString)> {
        environment(&self.loader, &self.folder, temporary)
    }
}

/// [`Prefix::environment`] for another folder, such as a container's overlay.
pub fn environment(loader: &Path, prefix: &Path, temporary: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("HOME", prefix.into()),
        ("TMPDIR", temporary.into()),
        ("WINEDEBUG", "-all".into()),
        ("WINEDLLOVERRIDES", OVERRIDES.into()),
        ("WINELOADER", loader.into()),
        ("WINEPREFIX", prefix.into()),
    ]
}

async fn succeed(command: &mut Command) -> Result<()> {
    let output = command.output().await.with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
