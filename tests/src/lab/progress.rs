//! What is the lab doing right now, and for how long already?
//!
//! A cold start takes many minutes. Nobody should wonder whether it hangs: every step prints when it ends, and one that takes
//! longer than `HEARTBEAT` says again and again that it still runs.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest silence of a running step.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A step shorter than this is not worth a line of its own.
const WORTH_A_LINE: Duration = Duration::from_millis(500);

/// Prints lines about the lab's steps, each with the time since the beginning. Clones print to the same place.
#[derive(Clone)]
pub struct Progress {
    print: Arc<dyn Fn(&str) + Send + Sync>,
    began: Instant,
}

impl Progress {
    /// Hands every line, without a line break, to `print`.
    pub fn new(print: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { print: Arc::new(print), began: Instant::now() }
    }

    /// Prints to standard error, so that standard output stays the program's own.
    pub fn stderr() -> Self {
        Self::new(|line| eprintln!("{line}"))
    }

    /// Prints to standard output, for a program whose product the lines are.
    pub fn stdout() -> Self {
        Self::new(|line| println!("{line}"))
    }

    /// Prints nothing.
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// Prints one line.
    pub fn say(&self, text: impl AsRef<str>) {
        (self.print)(&format!("lab {:>5.1}s  {}", self.began.elapsed().as_secs_f64(), text.as_ref()));
    }

    /// Runs `work` and prints what it was and how long it took; while it runs, a line at least every `HEARTBEAT`.
    pub async fn step<T, E>(&self, what: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let started = Instant::now();
        let mut heartbeat = tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT, HEARTBEAT);
        tokio::pin!(work);
        let result = loop {
            tokio::select! {
                result = &mut work => break result,
                _ = heartbeat.tick() => self.say(format!("{what} ... {:.0} s", started.elapsed().as_secs_f64())),
            }
        };
        let took = started.elapsed();
        match &result {
            Ok(_) if took < WORTH_A_LINE => {}
            Ok(_) => self.say(format!("{what}: done in {:.1} s", took.as_secs_f64())),
            Err(_) => self.say(format!("{what}: failed after {:.1} s", took.as_secs_f64())),
        }
        result
    }
}
