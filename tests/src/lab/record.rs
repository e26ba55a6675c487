//! What has this lab put on the machine that would outlive it?
//!
//! One text file, `record`, in the lab's run directory: one line per thing, appended before or right after the thing is made.
//! Whoever finds the file of a lab that is gone can take everything away by it (see `super::cleaning`).

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Something that stays on the machine until it is taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    /// A program. The start time tells it from a later program with the same id.
    Pid(ProcessId),
    /// A mount point.
    Mount(PathBuf),
    /// A named network namespace, as in `/run/netns/<name>`.
    Netns(String),
    /// A network interface of the host.
    Link(String),
    /// A cgroup below the root of every hierarchy, without a leading slash; with all that is in it.
    Cgroup(String),
    /// An iptables rule of the host: the table, then the chain and the rule as after `-A`.
    Iptables(Vec<String>),
}

/// A program that cannot be mistaken for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessId {
    /// The process id.
    pub pid: u32,
    /// When it began, in clock ticks since the machine's start: field 22 of `/proc/<pid>/stat`.
    pub started: u64,
}

impl ProcessId {
    /// The program that has the id `pid` now; none when there is none, or when it is dead and only waits to be reaped.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses and may hold anything, so count from the last one.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        Some(Self { pid, started: fields.get(19)?.parse().ok()? })
    }

    /// Whether this very program still runs.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(id) => write!(f, "pid {} {}", id.pid, id.started),
            Self::Mount(path) => write!(f, "mount {}", path.display()),
            Self::Netns(name) => write!(f, "netns {name}"),
            Self::Link(name) => write!(f, "link {name}"),
            Self::Cgroup(name) => write!(f, "cgroup {name}"),
            Self::Iptables(rule) => write!(f, "iptables {}", rule.join(" ")),
        }
    }
}

impl Thing {
    fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ')?;
        Some(match kind {
            "pid" => {
                let (pid, started) = rest.split_once(' ')?;
                Self::Pid(ProcessId { pid: pid.parse().ok()?, started: started.parse().ok()? })
            }
            "mount" => Self::Mount(rest.into()),
            "netns" => Self::Netns(rest.into()),
            "link" => Self::Link(rest.into()),
            "cgroup" => Self::Cgroup(rest.into()),
            "iptables" => Self::Iptables(rest.split(' ').map(Into::into).collect()),
            _ => return None,
        })
    }
}

/// The record of one lab. Several may be open on the same directory, also in several threads.
#[derive(Debug)]
pub struct Record {
    file: File,
}

impl Record {
    /// Opens, or begins, the record of the lab whose run directory is `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("record");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self { file: file.with_context(|| format!("cannot open {}", path.display()))? })
    }

    /// Appends one thing.
    pub fn note(&self, thing: Thing) -> Result<()> {
        // One write of one short line in append mode: lines of several writers never mix.
        (&self.file).write_all(format!("{thing}\n").as_bytes()).with_context(|| format!("cannot record `{thing}`"))
    }

    /// Notes the program `pid`; nothing to note when it has already ended.
    pub fn note_pid(&self, pid: u32) -> Result<()> {
        ProcessId::of(pid).map_or(Ok(()), |id| self.note(Thing::Pid(id)))
    }

    /// All that was noted in `dir`, in the order in which it was made. A line that was cut short by a crash is left out.
    pub fn read(dir: &Path) -> Result<Vec<Thing>> {
        let path = dir.join("record");
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(text.lines().filter_map(Thing::parse).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let things = [
            Thing::Pid(ProcessId::of(std::process::id()).expect("this process runs")),
            Thing::Mount("/a b/c".into()),
            Thing::Netns("gwlab1".into()),
            Thing::Link("gwlab1".into()),
            Thing::Cgroup("gwlab1".into()),
            Thing::Iptables(["nat", "POSTROUTING", "-j", "MASQUERADE"].map(String::from).into()),
        ];
        let record = Record::open(dir.path()).expect("a record");
        for thing in things.clone() {
            record.note(thing).expect("noted");
        }
        assert_eq!(Record::read(dir.path()).expect("read"), things);
    }

    #[test]
    fn a_process_id_used_again_is_another_program() {
        let me = ProcessId::of(std::process::id()).expect("this process runs");
        assert!(me.is_alive());
        assert!(!ProcessId { started: me.started + 1, ..me }.is_alive());
    }
}
