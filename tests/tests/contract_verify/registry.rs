//! A registry on loopback, with a base in it.

use anyhow::{Context, Result};
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::tools::{REGISTRY, Tools};
use gowindows_tests::lab::windows_base::{Base, Flavor, publish_release};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_util::task::AbortOnDropHandle;

/// The base, below the registry's host.
pub const BASE: &str = "windows/nanoserver:ltsc2022";
const OS_VERSION: &str = "10.0.20348.5499";

/// crane's registry: it keeps everything in memory and chooses a free port.
pub struct Registry {
    /// `127.0.0.1:port`
    pub host: String,
    _process: Child,
    _log: AbortOnDropHandle<()>,
}

impl Registry {
    pub async fn start() -> Result<Self> {
        let tools = Tools::ensure(&[REGISTRY], &Progress::stderr()).await?;
        let mut command = Command::new(tools.path("crane")?);
        command.args(["registry", "serve", "--address", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().context("start the registry")?;
        let mut lines = BufReader::new(process.stderr.take().context("its log")?).lines();
        let port = tokio::time::timeout(Duration::from_secs(60), async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, port)) = line.split_once("serving on port ") {
                    return Ok(port.trim().to_owned());
                }
            }
            anyhow::bail!("the registry ended at once")
        });
        let host = format!("127.0.0.1:{}", port.await.context("the registry names no port after 60 s")??);
        // Read on, or it would stand still once the pipe is full.
        let log = AbortOnDropHandle::new(tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} }));
        let base = Base::generate(Flavor::Nanoserver, OS_VERSION, 1 << 20)?;
        publish_release(&host, Flavor::Nanoserver, "ltsc2022", &base).await?;
        Ok(Self { host, _process: process, _log: log })
    }
}
