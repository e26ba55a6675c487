//! Can the Dockerfile of a user's own make the Windows image, and which one is handed to BuildKit?
//!
//! ```text
//! text -> instructions -> rules of every stage, and of the last one -> findings, each with its line
//!                                                                   -> the same text, its base and toolchain by digest
//! ```
//!
//! What BuildKit makes of a Windows base on Linux can be broken without a word (`COPY --link`, `FROM scratch`), differ on the node from
//! what was meant (`CMD`, `WORKDIR`), or fail with words that name no cause (`RUN`). All of it is found here before anything is built. The
//! image is verified after it as well: a rule that is got round makes no bad image. Pure: no client, no runtime, no clock.

mod images;
mod last_stage;
mod parse;
mod pinned;
mod stages;

pub use images::{Base, Images};
pub use pinned::pinned;

use parse::Dockerfile;
use std::fmt;

/// A Dockerfile is no larger than this.
pub const LARGEST: u64 = 256 * 1024;
/// From here on a message has no room for reasons.
const LONGEST_REASONS: usize = 1400;

/// What cannot be in a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The line on which its instruction begins, from 1.
    pub line: usize,
    /// What stands there.
    pub what: String,
    /// Why it cannot, and what to do.
    pub why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.what, self.why)
    }
}

/// All findings in one sentence: each with its line, and with its reason as far as there is room.
pub fn sentence(findings: &[Finding]) -> String {
    let mut sentence = String::new();
    for finding in findings {
        let separator = if sentence.is_empty() { "" } else { "; " };
        sentence.push_str(separator);
        if sentence.len() < LONGEST_REASONS {
            sentence.push_str(&finding.to_string());
        } else {
            sentence.push_str(&format!("line {}: {}", finding.line, finding.what));
        }
    }
    sentence
}

/// Everything in a Dockerfile that cannot be there, in the order of lines; empty for one that can be built.
pub fn lint(text: &str, images: &Images) -> Vec<Finding> {
    let file = match Dockerfile::read(text) {
        Ok(file) => file,
        Err((line, why)) => return vec![Finding { line, what: "it cannot be read".into(), why: shown(&why) }],
    };
    let mut linter = Linter { images, findings: Vec::new() };
    linter.frontend(text, file.first_line());
    linter.every_stage(&file);
    if let Some((last, before)) = file.stages.split_last() {
        linter.last_stage(last, before);
    }
    linter.findings.sort();
    linter.findings.dedup();
    linter.findings
}

struct Linter<'a> {
    images: &'a Images,
    findings: Vec<Finding>,
}

impl Linter<'_> {
    fn add(&mut self, line: usize, what: impl Into<String>, why: impl Into<String>) {
        self.findings.push(Finding { line, what: shown(&what.into()), why: why.into() });
    }

    /// A frontend is a program that buildkitd fetches and runs. BuildKit looks for its name in the comments at the top, in several spellings.
    fn frontend(&mut self, text: &str, first: usize) {
        for (index, line) in text.lines().take(first - 1).enumerate() {
            let comment = line.trim_start_matches('\u{feff}').trim_start().trim_start_matches(['#', '/']).trim_start().to_ascii_lowercase();
            if comment.strip_prefix("syntax").is_some_and(|rest| rest.trim_start().starts_with('=')) {
                let why = "no frontend is fetched from elsewhere, the one that is built into buildkitd is used; leave it out";
                self.add(index + 1, line.trim(), why);
            }
        }
    }
}

/// The part of the Dockerfile that stands in a message.
fn shown(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(160).collect();
    if text.chars().count() > 160 {
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests;
