//! How does one Windows program run by itself, without a node and a pod?
//!
//! For tests that ask Windows' own functions something. As in a container, the shared prefix lies below a writable layer, and the program and
//! all that Wine starts for it are processes of their own, which end with it. It has this machine's network.

use std::path::Path;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::{
    overlay::Overlay,
    prefix::{self, Prefix},
    process::UNSHARE,
    record::Record,
};

/// A disk for programs that run one after the other. Dropping it removes what they have written.
#[derive(Debug)]
pub struct Alone {
    prefix: Prefix,
    overlay: Overlay,
}

impl Alone {
    /// Makes it in the new folder `folder`, over the prefix that is kept in `prefixes`, or made there if there is none. Needs root.
    pub async fn prepare(prefixes: &Path, folder: &Path, record: &dyn Record) -> Result<Self> {
        let prefix = Prefix::prepare(prefixes).await?;
        let overlay = Overlay::mount(folder, &prefix.folder, &[], record).context("make a disk over the Wine prefix")?;
        Ok(Self { prefix, overlay })
    }

    /// The command that runs `program`, a file of this machine.
    pub fn command(&self, program: &Path) -> Command {
        let Self { prefix: Prefix { loader, .. }, overlay } = self;
        let mut command = Command::new(UNSHARE);
        command.args(["--fork", "--kill-child=SIGKILL", "--pid", "--mount-proc", "--"]).arg(loader).arg(program);
        command.env_clear().envs(prefix::environment(loader, &overlay.root(), &overlay.temporary()));
        command
    }
}
