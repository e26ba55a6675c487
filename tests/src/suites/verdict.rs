//! What does a test program's output say? The lines of libtest, which libtest-mimic prints as well.

/// The numbers of its `test result:` lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) results: usize,
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) ignored: usize,
    /// The tests under `failures:`.
    pub(super) failures: Vec<String>,
    /// Why tests are ignored.
    pub(super) reasons: Vec<String>,
}

impl Verdict {
    pub(super) fn read(output: &str) -> Self {
        let mut verdict = Self::default();
        let mut in_failures = false;
        for line in output.lines() {
            if line.starts_with("test result: ") {
                verdict.results += 1;
                verdict.passed += before(line, " passed;");
                verdict.failed += before(line, " failed;");
                verdict.ignored += before(line, " ignored;");
            } else if let Some(reason) = reason(line) {
                verdict.reasons.push(reason.to_owned());
            }
            in_failures = match line {
                "failures:" => true,
                // The list of names is indented; the output of each stands before it, under headings.
                _ => in_failures && !line.starts_with("test result: "),
            };
            if let Some(name) =
                line.strip_prefix("    ").filter(|name| in_failures && !name.is_empty() && !name.contains(char::is_whitespace))
            {
                verdict.failures.push(name.to_owned());
            }
        }
        verdict
    }

    /// How far a program is: tests that have ended, and those of them that have failed.
    pub(super) fn so_far(output: &str) -> String {
        let ended = || output.lines().filter(|line| line.starts_with("test ") && line.contains(" ... "));
        match ended().filter(|line| line.ends_with(" FAILED")).count() {
            0 => format!("{} tests have ended", ended().count()),
            failed => format!("{} tests have ended, {failed} FAILED", ended().count()),
        }
    }
}

/// The number before a word.
fn before(line: &str, word: &str) -> usize {
    let digits = line.split_once(word).map_or("", |(head, _)| head);
    digits.rsplit(|letter: char| !letter.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// Why tests are ignored, as our programs say it (`ignored: ...`) and as libtest does (`test x ... ignored, ...`).
fn reason(line: &str) -> Option<&str> {
    if line.starts_with("test ") {
        return line.split_once(" ... ignored, ").map(|(_, why)| why);
    }
    line.split_once("ignored: ").filter(|(who, _)| who.is_empty() || who.ends_with(" are ") || who.ends_with(" is ")).map(|_| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_failures_and_reasons_are_read() {
        let output = "BuildKit and Kaniko are ignored: the lab needs root\n\nrunning 3 tests\ntest a::b ... ok\ntest slow ... ignored, it takes an hour\ntest c ... FAILED\n\n\
                      failures:\n\n---- c ----\nleft:\n    {\"a\": 1}\n\n\nfailures:\n    c\n\n\
                      test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 4 filtered out; finished in 2.50s\n";
        let verdict = Verdict::read(output);
        assert_eq!((verdict.results, verdict.passed, verdict.failed, verdict.ignored), (1, 1, 1, 1));
        assert_eq!(verdict.failures, ["c"]);
        assert_eq!(verdict.reasons, ["BuildKit and Kaniko are ignored: the lab needs root", "it takes an hour"]);
        assert_eq!(Verdict::so_far(output), "3 tests have ended, 1 FAILED");
        assert_eq!(Verdict::so_far("running 2 tests\ntest a::b ... ok\n"), "1 tests have ended");
        assert_eq!(Verdict::read("thread 'main' panicked\n"), Verdict::default());
    }
}
