//! The documents say what the code does: every rule with its source, every known message with its cause, every case of security with its tests.

use gowindows_core::read::KNOWN_ERRORS;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use windows_image::verify::Rule;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).expect("a document")
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

/// The cases that the table has to have: the first letters of their ids, and how many there are.
const CASES: [(&str, usize); 3] = [("SP", 26), ("AZ", 12), ("SE", 9)];

/// Crates and suites, and where their tests are.
const PLACES: [(&str, &str); 12] = [
    ("gowindows", "operator/controller"),
    ("gowindows-builder", "operator/builder"),
    ("gowindows-clients", "operator/clients"),
    ("gowindows-core", "operator/core"),
    ("gowindows-crds", "crds"),
    ("gowindows-model", "operator/model"),
    ("windows-image", "operator/windows-image"),
    ("contract_git", "tests/tests/contract_git"),
    ("contract_registry", "tests/tests/contract_registry"),
    ("lab_engines", "tests/tests/lab/engines"),
    ("lab_thread", "tests/tests/lab/thread"),
    ("sim_thread", "tests/tests/sim_thread"),
];

/// Of each case of docs/security.md the tests that its row names, with the place of each.
fn cases() -> BTreeMap<String, Vec<(String, String)>> {
    let mut cases = BTreeMap::new();
    for row in document("security.md").lines().filter(|line| CASES.iter().any(|(id, _)| line.starts_with(&format!("| {id}")))) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, tried, happens, shown] = cells[..] else { panic!("a row has four cells: {row}") };
        assert!(!tried.is_empty() && !happens.is_empty() && !shown.is_empty(), "{row}");
        assert!(cells.iter().all(|cell| cell.len() <= 160), "a cell has 160 characters at most: {row}");
        let quoted = shown.split('`').skip(1).step_by(2);
        let named = quoted.map(|part| part.split_once(": ").unwrap_or_else(|| panic!("a place and its tests: {part}")));
        let tests = named.flat_map(|(place, names)| names.split(", ").map(|name| (place.to_owned(), name.to_owned())));
        assert!(cases.insert(id.to_owned(), tests.collect()).is_none(), "{id} has two rows");
    }
    cases
}

/// The tests of a folder: functions with `#[test]`, and those that a suite lists by themselves.
fn tests_below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.append(&mut tests_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.append(&mut tests_in(&std::fs::read_to_string(&path).expect("a source file")));
        }
    }
    found
}

fn tests_in(text: &str) -> BTreeSet<String> {
    let (mut found, mut marked) = (BTreeSet::new(), false);
    for line in text.lines().map(str::trim_start) {
        let word = |rest: &str| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default().to_owned();
        marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        if let Some(name) = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn ")) {
            found.extend(marked.then(|| word(name)));
            marked = false;
        }
        // `trial("name", ...)` of a simulation; `module::name,` among the scenarios of a lab.
        found.extend(line.strip_prefix("trial(\"").map(word));
        let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let path = line.strip_suffix(',').and_then(|path| path.split_once("::"));
        found.extend(path.filter(|(module, name)| is_word(module) && is_word(name)).map(|(_, name)| name.to_owned()));
    }
    found
}

fn corpus() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("tests/corpus/bad_specs.yaml")).expect("the corpus");
    let names = text.lines().filter_map(|line| line.strip_prefix("- {name: ")?.split(',').next());
    names.map(str::to_owned).collect()
}

#[test]
fn every_case_of_security_names_tests_that_are_there() {
    let cases = cases();
    let expected: BTreeSet<String> = CASES.iter().flat_map(|(id, count)| (1..=*count).map(move |number| format!("{id}{number}"))).collect();
    assert_eq!(cases.keys().cloned().collect::<BTreeSet<_>>(), expected);
    let mut known = BTreeMap::from([("corpus", corpus())]);
    known.extend(PLACES.map(|(place, folder)| (place, tests_below(&root().join(folder)))));
    for (id, tests) in &cases {
        assert!(!tests.is_empty(), "{id} names no test");
        for (place, name) in tests {
            let there = known.get(place.as_str()).unwrap_or_else(|| panic!("{id}: no such crate or suite: {place}"));
            assert!(there.contains(name), "{id}: {place} has no test {name}");
        }
    }
}

/// What counts as a test, and what does not.
#[test]
fn tests_are_found_by_what_runs_them() {
    let text = r#"
        #[test]
        fn one() {}
        fn helper() {}
        #[tokio::test(flavor = "multi_thread")]
        /// Why.
        async fn two() {}
        trial("three", module::helper),
        failures::four,
        use module::helper;
        Reason::Helper,
    "#;
    assert_eq!(tests_in(text).into_iter().collect::<Vec<_>>(), ["four", "one", "three", "two"]);
}
