//! A registry on loopback.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_util::task::AbortOnDropHandle;

use crate::lab::progress::Progress;
use crate::lab::tools::{REGISTRY, Tools};

/// crane's registry: it keeps everything in memory and chooses a free port where none is named. Dropping it ends it.
pub struct Registry {
    /// `127.0.0.1:port`
    pub host: String,
    _process: Child,
    _log: AbortOnDropHandle<()>,
}

impl Registry {
    /// Starts it.
    pub async fn start(progress: &Progress) -> Result<Self> {
        Self::start_at(0, progress).await
    }

    /// Starts it at this port.
    pub async fn start_at(port: u16, progress: &Progress) -> Result<Self> {
        let tools = Tools::ensure(&[REGISTRY], progress).await?;
        let mut command = Command::new(tools.path("crane")?);
        command.args(["registry", "serve", "--address", &format!("127.0.0.1:{port}")]).stdin(Stdio::null()).stdout(Stdio::null());
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
        Ok(Self { host, _process: process, _log: log })
    }
}
