//! Which number does this lab have, and what is left of labs that are gone?
//!
//! `${XDG_CACHE_HOME:-~/.cache}/gowindows-lab/run/<N>/` is the run directory of lab N and `run/<N>.lock` its lock: held by the
//! process that owns the lab for as long as it lives. A directory whose lock is free was left behind by a crash; whoever comes
//! first takes the lock and cleans up. Lock files stay: removing one would let two processes hold "the" lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::network::Network;
use super::progress::Progress;
use super::record::Record;
use super::{cleaning, network};

/// More labs than this never run at once on one machine.
const NUMBERS: std::ops::RangeInclusive<u8> = 1..=50;

/// A reserved number with its run directory. Dropping it takes away all that was recorded in it.
#[derive(Debug)]
pub struct Run {
    number: u8,
    dir: PathBuf,
    record: Record,
    // Released last, after the cleaning: fields are dropped after `drop`.
    _lock: File,
}

impl Run {
    /// Cleans up after labs that are gone, then takes the first free number whose addresses nobody uses. Blocks.
    pub fn reserve(progress: &Progress) -> Result<Self> {
        let runs = cache()?.join("run");
        fs::create_dir_all(&runs).with_context(|| format!("cannot make {}", runs.display()))?;
        clean_abandoned(&runs, progress)?;
        let routes = network::routes()?;
        for number in NUMBERS {
            let Some(lock) = try_lock(&runs, number)? else { continue };
            if !Network::is_free(number, &routes) {
                continue;
            }
            let dir = runs.join(number.to_string());
            fs::create_dir_all(dir.join("logs")).with_context(|| format!("cannot make {}", dir.display()))?;
            let record = Record::open(&dir)?;
            return Ok(Self { number, dir, record, _lock: lock });
        }
        bail!("no lab number from {NUMBERS:?} is free: end other labs, or see `ip route` for what covers 10.201.0.0/16 and above")
    }

    /// N of `gwlabN`.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The directory that holds all state of this lab. Gone with the lab, but for its logs.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What this lab has put on the machine.
    pub fn record(&self) -> &Record {
        &self.record
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let logs = logs_of(&self.dir);
        if let Err(error) = cleaning::clean(&self.dir, &logs) {
            eprintln!("lab {} was not taken away completely, the next start tries again: {error:#}", self.number);
        }
    }
}

/// The lab's part of the user's cache: `${XDG_CACHE_HOME:-~/.cache}/gowindows-lab`.
pub fn cache() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let base = base.context("neither XDG_CACHE_HOME nor HOME is an absolute path: set one, the lab's tools are kept there")?;
    Ok(base.join("gowindows-lab"))
}

/// Where the logs of the last lab with this run directory's number are kept after its end: `<cache>/logs/<N>`.
fn logs_of(dir: &Path) -> PathBuf {
    let number = dir.file_name().unwrap_or_default();
    dir.parent().and_then(Path::parent).unwrap_or(dir).join("logs").join(number)
}

fn clean_abandoned(runs: &Path, progress: &Progress) -> Result<()> {
    for number in NUMBERS {
        let dir = runs.join(number.to_string());
        if !dir.exists() {
            continue;
        }
        if let Some(_lock) = try_lock(runs, number)? {
            progress.say(format!("cleaning up after lab {number}, which did not end properly"));
            cleaning::clean(&dir, &logs_of(&dir)).with_context(|| format!("cannot clean up after lab {number}"))?;
        }
    }
    Ok(())
}

fn try_lock(runs: &Path, number: u8) -> Result<Option<File>> {
    let path = runs.join(format!("{number}.lock"));
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}
