//! How is Windows asked? By a program that is built of Microsoft's library (`tests/tools/windows-layer`) and runs under Wine.

use crate::access::{Asker, Entry};
use anyhow::{Context, Result, ensure};
use gowindows_tests::lab::host::tail;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::record::Record;
use gowindows_tests::lab::run::{Run, cache};
use gowindows_tests::lab::tools::{Tools, WINDOWS_LAYER};
use gowindows_wine_node::Alone;
use std::io::{Seek, Write};
use std::time::Duration;

const ADMINISTRATORS: &str = "S-1-5-32-544";
const USERS: &str = "S-1-5-32-545";
/// It takes a second.
const PATIENCE: Duration = Duration::from_secs(120);

/// Wine, and the program.
pub struct Windows {
    tools: Tools,
    alone: Alone,
    // Dropped last: its record has what a crash would leave.
    _run: Run,
}

impl Windows {
    /// Makes a disk of Wine's. Needs root.
    pub async fn open() -> Result<Self> {
        let progress = Progress::stderr();
        let tools = Tools::ensure(&[WINDOWS_LAYER], &progress).await?;
        let run = tokio::task::spawn_blocking(move || Run::reserve(&progress)).await??;
        let alone = Alone::prepare(&cache()?.join("wine"), &run.dir().join("wine"), &Record::open(run.dir())?).await?;
        Ok(Self { tools, alone, _run: run })
    }

    /// What Windows would be given for each entry of a layer, an uncompressed tar, and what may be done with it.
    pub async fn read(&self, layer: &[u8]) -> Result<Vec<Entry>> {
        let mut file = tempfile::tempfile()?;
        file.write_all(layer)?;
        file.rewind()?;
        let mut command = self.alone.command(self.tools.path("windows-layer.exe")?);
        let output = tokio::time::timeout(PATIENCE, command.stdin(file).kill_on_drop(true).output());
        let output = output.await.context("windows-layer.exe does not end")??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "windows-layer.exe: {}: {}", output.status, tail(&said, 2000));
        let text = String::from_utf8(output.stdout)?;
        let mut lines = text.lines();
        is_ordinary(&serde_json::from_str(lines.next().context("windows-layer.exe said nothing")?)?)?;
        lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }
}

/// Windows has been asked whether it is an administrator, by the program; here is what it is.
fn is_ordinary(asker: &Asker) -> Result<()> {
    let Asker { user, enabled, deny_only } = asker;
    let has = |groups: &[String], group: &str| groups.iter().any(|one| one == group);
    ensure!(user != ADMINISTRATORS && !has(enabled, ADMINISTRATORS) && has(deny_only, ADMINISTRATORS), "an administrator: {asker:?}");
    ensure!(has(enabled, USERS), "not one of Users, as ContainerUser is: {asker:?}");
    Ok(())
}
