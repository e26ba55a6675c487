//! What is the operator made of? Each crate in it has a licence that may be shipped, comes from crates.io, and speaks TLS through one library.
//!
//! `deny.toml` says the same to cargo-deny, which also knows advisories, and which a release runs.

use spdx::{Expression, LicenseReq, ParseMode};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of these the text is all that is owed.
const LICENCES: [&str; 8] =
    ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "ISC", "Zlib", "Unicode-3.0"];

/// Another TLS stack, or what leads to one.
const BANNED: [&str; 8] = ["openssl", "openssl-sys", "native-tls", "hyper-tls", "ring", "schannel", "security-framework", "mbedtls"];

/// More is a sign that something large came in beside what was wanted.
const MOST: usize = 400;

/// A crate of the program, as it is compiled here.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    /// Where it is from, where that is not crates.io.
    from: Option<String>,
    licence: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Those that are in the program or make it, tests and their tools left out.
fn crates() -> BTreeSet<Crate> {
    let arguments = ["tree", "--locked", "--package", "gowindows", "--edges", "normal,build", "--prefix", "none", "--format", "{p}|{l}"];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(read).collect()
}

/// `rustls v0.23.1|MIT`, `konst_proc_macros v0.2 (proc-macro)|Zlib`, `gowindows v0.1.0 (/folder)|Apache-2.0 (*)`.
fn read(line: &str) -> Crate {
    let (package, licence) = line.trim_end_matches(" (*)").split_once('|').expect("a licence");
    let mut words = package.split_whitespace();
    let (name, version) = (words.next().expect("a name"), words.next().expect("a version"));
    let from = words.find(|word| *word != "(proc-macro)").map(|word| word.trim_matches(['(', ')']).to_owned());
    Crate { name: name.into(), version: version.into(), from, licence: licence.into() }
}

fn is_allowed(licence: &str) -> bool {
    let listed = |wanted: &LicenseReq| LICENCES.contains(&wanted.to_string().as_str());
    Expression::parse_mode(licence, ParseMode::LAX).is_ok_and(|expression| expression.evaluate(listed))
}

#[test]
fn every_crate_may_be_shipped_and_is_from_crates_io() {
    let crates = crates();
    for Crate { name, version, from, licence } in &crates {
        assert!(is_allowed(licence), "{name} {version} has the licence {licence:?}");
        let ours = from.as_ref().is_none_or(|from| Path::new(from).starts_with(root().canonicalize().expect("a folder")));
        assert!(ours, "{name} {version} is from {from:?}");
    }
    let names: BTreeSet<&str> = crates.iter().map(|of| of.name.as_str()).collect();
    assert!(names.contains("gowindows-core") && names.contains("kube-client"), "the list is the program's");
    assert!(crates.len() <= MOST, "{} crates", crates.len());
}

#[test]
fn there_is_one_way_to_speak_tls() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for of in crates() {
        versions.entry(of.name).or_default().insert(of.version);
    }
    let banned: Vec<_> = BANNED.iter().filter(|name| versions.contains_key(**name)).collect();
    assert!(banned.is_empty(), "{banned:?} is in the program");
    for one in ["rustls", "aws-lc-rs", "reqwest", "hyper", "kube-client"] {
        assert_eq!(versions.get(one).map(BTreeSet::len), Some(1), "{one}: {:?}", versions.get(one));
    }
}

#[test]
fn cargo_deny_is_told_the_same() {
    let told = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    for word in LICENCES.iter().chain(&BANNED) {
        assert!(told.contains(&format!("\"{word}\"")), "deny.toml does not name {word}");
    }
}

#[test]
fn licences_are_read_as_they_are_meant() {
    for good in ["MIT OR GPL-3.0-only", "MIT/Apache-2.0", "Apache-2.0 WITH LLVM-exception", "ISC AND (Apache-2.0 OR OpenSSL)"] {
        assert!(is_allowed(good), "{good}");
    }
    for bad in ["GPL-3.0-only", "MIT AND GPL-2.0-only", "AGPL-3.0-or-later", "", "Proprietary"] {
        assert!(!is_allowed(bad), "{bad}");
    }
}
