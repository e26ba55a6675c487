//! The documents say what the code does: every rule with its source, every known message with its cause.

use gowindows_core::read::KNOWN_ERRORS;
use std::path::Path;
use windows_image::verify::Rule;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(path).expect("a document")
}

#[test]
fn every_rule_is_documented_with_its_source() {
    let text = document("verify.md");
    for rule in Rule::ALL {
        let row = text.lines().find(|line| line.starts_with(&format!("| `{}` |", rule.id())));
        assert!(row.is_some_and(|row| row.ends_with(&format!("| {} |", rule.source()))), "{rule:?}: {row:?}");
    }
}

#[test]
fn every_known_message_is_documented_with_cause_and_remedy() {
    let text = document("verify.md");
    for row in KNOWN_ERRORS {
        assert!(text.contains(&format!("| {} | {} |", row.cause, row.remedy)), "{row:?}");
    }
}
