//! What does the end of the output of `go test` mean? Which test failed, where, and with which words.
//!
//! A test may print anything, also what looks like a failed download: what a package printed that ran is its own fault.

use super::go_output::{clip, first_place, names_a_place, toolchain_said};
use gowindows_crds::conditions::Reason;

/// The reason and a sentence for people.
pub(super) fn meaning(output: &str) -> (Reason, String) {
    let package = failed_package(output);
    let test = failed_test(output);
    let what = match (&test, package) {
        (Some(test), Some(package)) => format!("Test {test} of {package}"),
        (Some(test), None) => format!("Test {test}"),
        (None, Some(package)) => format!("The tests of {package}"),
        (None, None) => return does_not_compile(output),
    };
    let words = words(output, test.as_deref()).map(|words| format!(": {words}")).unwrap_or_default();
    (Reason::TestsFailed, format!("{what} failed{words}. Push a commit whose tests pass; it is built at once."))
}

fn does_not_compile(output: &str) -> (Reason, String) {
    toolchain_said(output).unwrap_or_else(|| {
        let first = first_place(output);
        let message =
            format!("The tests do not compile, or `go vet` objects to them: {first}. Push a commit that mends it; it is built at once.");
        (Reason::CompileError, message)
    })
}

/// Of a package whose tests ran: `FAIL\texample.com/shop/till\t0.005s`.
fn failed_package(output: &str) -> Option<&str> {
    let ran = |line: &&str| !line.ends_with("[build failed]") && !line.ends_with("[setup failed]");
    output.lines().filter(ran).find_map(|line| line.strip_prefix("FAIL\t")?.split(['\t', ' ']).next())
}

/// The first test that is named as failed, with its innermost part; else the one that ran when time was up, or whose stack is shown.
fn failed_test(output: &str) -> Option<String> {
    let named = || output.lines().filter_map(|line| line.trim_start().strip_prefix("--- FAIL: ")?.split(" (").next());
    let first = named().next().map(|first| {
        named().fold(first, |test, next| if next.strip_prefix(test).is_some_and(|rest| rest.starts_with('/')) { next } else { test })
    });
    let mut lines = output.lines();
    let running = || lines.find(|line| line.trim() == "running tests:").and_then(|_| lines.next()?.trim().split(" (").next());
    first.or_else(running).or_else(|| output.lines().find_map(in_stack)).map(clip)
}

/// `example.com/shop/till.TestTotal(0x27)` in the stack of a panic.
fn in_stack(line: &str) -> Option<&str> {
    let (function, _) = line.rsplit_once('(')?;
    let (package, name) = function.rsplit_once('.')?;
    let is_test =
        ["Test", "Fuzz", "Example"].iter().any(|start| name.starts_with(start)) && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    (is_test && package.contains('/') && !package.starts_with(char::is_whitespace)).then_some(name)
}

/// The panic, or the first place after the test's name.
fn words(output: &str, test: Option<&str>) -> Option<String> {
    let panic = output.lines().find(|line| line.starts_with("panic: "));
    let named =
        |line: &str| test.is_none_or(|test| line.trim_start().strip_prefix("--- FAIL: ").is_some_and(|rest| rest.starts_with(test)));
    let said = output.lines().skip_while(|line| !named(line)).find(|line| names_a_place(line) && !line.contains(" +0x"));
    panic.or(said).map(clip)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go 1.26 prints; a tail may begin anywhere.
    const FAILED: &str = "ok  \texample.com/shop/a\t0.004s\n--- FAIL: TestTotal (0.00s)\n    --- FAIL: TestTotal/with_cake (0.00s)\n        till_test.go:3: total is 3, want 4\n--- FAIL: TestTotals (0.00s)\n    till_test.go:9: dial tcp: connection refused\nFAIL\nFAIL\texample.com/shop/till\t0.005s\nFAIL\n";
    const PANICKED: &str = "panic: assignment to entry in nil map [recovered, repanicked]\n\ngoroutine 6 [running]:\npanic({0x55a7a0?, 0x6cae30?})\n\t/usr/local/go/src/runtime/panic.go:860 +0x13a\nexample.com/shop/till.TestBoom(0x270dbf4786c8?)\n\t/build/src/till/x_test.go:3 +0x28\nFAIL\texample.com/shop/till\t0.006s\nFAIL\n";
    const HANGS: &str = "panic: test timed out after 2s\n\trunning tests:\n\t\tTestHang (2s)\n\ngoroutine 19 [running]:\ntesting.(*M).startAlarm.func1()\n\t/usr/local/go/src/testing/testing.go:2802 +0x354\nFAIL\texample.com/shop/till\t2.009s\nFAIL\n";

    #[test]
    fn the_test_its_package_and_its_words_are_named() {
        for (output, says) in [
            (FAILED, "Test TestTotal/with_cake of example.com/shop/till failed: till_test.go:3: total is 3, want 4. Push"),
            (
                PANICKED,
                "Test TestBoom of example.com/shop/till failed: panic: assignment to entry in nil map [recovered, repanicked]. Push",
            ),
            (HANGS, "Test TestHang of example.com/shop/till failed: panic: test timed out after 2s. Push"),
            ("dial tcp: i/o timeout\nFAIL\texample.com/shop/till\t0.01s\nFAIL\n", "The tests of example.com/shop/till failed. Push"),
        ] {
            let (reason, message) = meaning(output);
            assert_eq!(reason, Reason::TestsFailed, "{output}");
            assert!(message.starts_with(says), "{message}");
        }
    }

    #[test]
    fn a_cut_trace_still_names_the_test() {
        let end = PANICKED.find("goroutine").expect("there");
        assert!(meaning(&PANICKED[end..]).1.starts_with("Test TestBoom of example.com/shop/till failed."));
    }

    #[test]
    fn what_did_not_run_has_another_reason() {
        let vetted = "# example.com/shop/till\n# [example.com/shop/till]\ntill/x_test.go:4:25: fmt.Printf format %d has arg \"x\" of wrong type string\nFAIL\texample.com/shop/till [build failed]\nFAIL\n";
        let (reason, message) = meaning(vetted);
        assert!(reason == Reason::CompileError && message.contains("till/x_test.go:4:25: fmt.Printf"), "{message}");
        let download = "go: example.com/flour@v1.0.0: Get \"https://proxy.example.com\": dial tcp: connection refused\nFAIL\texample.com/shop/till [setup failed]\n";
        assert_eq!(meaning(download).0, Reason::ModuleDownloadFailed);
    }
}
