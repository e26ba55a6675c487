//! What does a process cost? From `/proc`, so that it is of this process alone.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Clock ticks a second in `/proc`, on every architecture of Linux that the lab runs on.
const TICKS: u64 = 100;

/// What a process has in memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// The most that it ever was.
    pub peak: u64,
}

/// The processor time that a process has used, by itself and in the kernel.
pub fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    cpu_of(&text).with_context(|| format!("{path} is not as expected: {text}"))
}

/// What a process has in memory.
pub fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    memory_of(&text).with_context(|| format!("{path} is not as expected: {text}"))
}

fn cpu_of(stat: &str) -> Option<Duration> {
    // The program's name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 1000 / TICKS))
}

fn memory_of(status: &str) -> Option<Memory> {
    let bytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    };
    Some(Memory { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_understood() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 150 25 0 0 20 0 3 0 100 1000 10 18446744073709551615";
        assert_eq!(cpu_of(stat), Some(Duration::from_millis(1750)));
        let status = "Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n";
        assert_eq!(memory_of(status), Some(Memory { resident: 1 << 20, peak: 2 << 20 }));
        assert_eq!((cpu_of("42 gone"), memory_of("Name:\tx\n")), (None, None));
    }

    #[test]
    fn of_this_process_both_are_known() -> Result<()> {
        let memory = memory(std::process::id())?;
        assert!(memory.resident > 0 && memory.peak >= memory.resident);
        cpu(std::process::id()).map(drop)
    }
}
