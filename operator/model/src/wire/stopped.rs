//! Why did the operator stop a Job? One wire form, the value of the annotation `gowindows.dev/stopped`.

use gowindows_crds::conditions::Reason;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// Why a Job was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Somebody ordered it: `Cancelled`.
    Cancelled,
    /// A newer source or specification made it pointless: `Superseded`.
    Superseded,
    /// A stage, or the queue, took longer than its limit: `Timeout/<stage>`.
    Timeout {
        /// The stage; `queue` before the first one.
        stage: String,
    },
    /// Its pods were evicted because too little memory was set aside: `Evicted`.
    Evicted,
    /// The tests of this build did not pass: `Tests/<reason>`.
    TestsFailed(Reason),
    /// The build of these tests failed: `BuildFailed`.
    BuildFailed,
    /// A Job that this one waited for failed: `Part/<reason>`.
    PartFailed(Reason),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("Cancelled"),
            Self::Superseded => f.write_str("Superseded"),
            Self::Timeout { stage } => write!(f, "Timeout/{stage}"),
            Self::Evicted => f.write_str("Evicted"),
            Self::TestsFailed(reason) => write!(f, "Tests/{reason}"),
            Self::BuildFailed => f.write_str("BuildFailed"),
            Self::PartFailed(reason) => write!(f, "Part/{reason}"),
        }
    }
}

impl FromStr for Stopped {
    type Err = Infallible;

    /// Every value says that the Job was stopped; one of another version counts as an order.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (kind, detail) = text.split_once('/').unwrap_or((text, ""));
        Ok(match kind {
            "Superseded" => Self::Superseded,
            "Timeout" => Self::Timeout { stage: detail.to_owned() },
            "Evicted" => Self::Evicted,
            "Tests" => Self::TestsFailed(detail.parse().unwrap_or(Reason::TestsFailed)),
            "BuildFailed" => Self::BuildFailed,
            "Part" => Self::PartFailed(detail.parse().unwrap_or(Reason::Lost)),
            _ => Self::Cancelled,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_was_written_so_before() {
        let table = [
            (Stopped::Cancelled, "Cancelled"),
            (Stopped::Superseded, "Superseded"),
            (Stopped::Timeout { stage: "compile".into() }, "Timeout/compile"),
            (Stopped::Evicted, "Evicted"),
            (Stopped::TestsFailed(Reason::CompileError), "Tests/CompileError"),
            (Stopped::BuildFailed, "BuildFailed"),
            (Stopped::PartFailed(Reason::Timeout), "Part/Timeout"),
        ];
        for (stopped, text) in table {
            assert_eq!((stopped.to_string().as_str(), text.parse::<Stopped>()), (text, Ok(stopped)));
        }
        assert_eq!("Drained/node".parse::<Stopped>(), Ok(Stopped::Cancelled), "of another version");
    }
}
