//! How are the findings shown?

use super::{Platform, Verified};
use serde_json::{Value, json};
use std::fmt::Write as _;
use windows_image::verify::{Finding, Verdict};

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "pass",
        Verdict::Warning => "warning",
        Verdict::NotChecked => "unchecked",
        Verdict::Failed => "FAIL",
    }
}

/// The findings as JSON.
///
/// # Errors
/// Never in practice.
pub fn json(verified: &Verified) -> serde_json::Result<String> {
    let Verified { image, digest, platforms } = verified;
    let finding = |finding: &Finding| {
        let Finding { rule, verdict, message } = finding;
        json!({"rule": rule.id(), "result": word(*verdict).to_lowercase(), "found": message, "source": rule.source()})
    };
    let platform = |platform: &Platform| {
        let Platform { os_version, release, digest, findings } = platform;
        let findings: Vec<Value> = findings.iter().map(finding).collect();
        json!({"osVersion": os_version, "release": release, "digest": digest, "findings": findings})
    };
    let platforms: Vec<Value> = platforms.iter().map(platform).collect();
    let all = json!({"image": image, "digest": digest, "passed": verified.passed(), "platforms": platforms});
    serde_json::to_string_pretty(&all).map(|json| json + "\n")
}

/// One table per release, and a last line that says what came of it.
pub fn table(verified: &Verified) -> String {
    let Verified { image, digest, platforms } = verified;
    let mut text = String::new();
    let _ = writeln!(text, "{:<9}{}\n{:<9}{digest}", "image", one_line(image), "digest");
    for Platform { os_version, release, digest, findings } in platforms {
        let _ = writeln!(text, "\nwindows/amd64 {} {}", one_line(os_version), release.unwrap_or_default());
        if let Some(digest) = digest {
            let _ = writeln!(text, "{digest}");
        }
        let _ = writeln!(text, "\n{:<11}{:<16}FOUND, AND WHERE THE RULE COMES FROM", "RESULT", "RULE");
        for Finding { rule, verdict, message } in findings {
            let _ = writeln!(text, "{:<11}{:<16}{}\n{:27}{}", word(*verdict), rule.id(), one_line(message), "", rule.source());
        }
    }
    let count = |verdict: Verdict| {
        let all = platforms.iter().flat_map(|platform| &platform.findings);
        all.filter(|finding| finding.verdict == verdict).count()
    };
    let (failed, warnings, unchecked) = (count(Verdict::Failed), count(Verdict::Warning), count(Verdict::NotChecked));
    let _ =
        writeln!(text, "\n{}: {failed} failed, {warnings} warnings, {unchecked} unchecked", if failed == 0 { "passed" } else { "FAILED" });
    text
}

/// Names in an image are those of a stranger: they must not move the cursor of a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use windows_image::Digest;
    use windows_image::verify::Rule;

    fn verified() -> Verified {
        let findings = vec![
            Finding::of(Rule::Platform, true, "windows/amd64"),
            Finding::of(Rule::User, false, "no user is named\u{1b}[2J"),
            Finding::new(Rule::LayerAcl, Verdict::Warning, "not strict"),
        ];
        let platform = Platform { os_version: "10.0.20348.1".into(), release: Some("ltsc2022"), digest: None, findings };
        Verified { image: "r.example/a:v1".into(), digest: Digest::of(b""), platforms: vec![platform] }
    }

    #[test]
    fn the_table_names_result_rule_and_source() {
        let table = table(&verified());
        let row = "FAIL       user            no user is named?[2J\n                           kubelet security_context_windows.go";
        assert!(table.contains(row), "{table}");
        assert!(table.ends_with("\nFAILED: 1 failed, 1 warnings, 0 unchecked\n"), "{table}");
    }

    #[test]
    fn json_says_the_same() {
        let value: Value = serde_json::from_str(&json(&verified()).expect("JSON")).expect("JSON");
        assert_eq!((&value["passed"], &value["platforms"][0]["findings"][1]["result"]), (&json!(false), &json!("fail")));
        assert_eq!(value["platforms"][0]["findings"][2]["rule"], "layer-acl");
    }
}
