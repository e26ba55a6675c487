//! The house holds: what is pure has no client, no runtime, no clock and no randomness, and imports point one way.

use std::path::{Path, PathBuf};

/// Modules that are pure, and what they may import of this crate.
const PURE: [(&str, &[&str]); 7] = [
    ("attest/provenance.rs", &["image"]),
    ("attest/statement.rs", &["image"]),
    ("decide", &["attest", "observe", "render", "image", "settings", "step", "decide"]),
    ("render", &["decide", "settings", "step", "image", "render"]),
    ("image", &["image"]),
    ("report", &["decide", "observe", "image", "report"]),
    ("redact.rs", &[]),
];

/// What a pure module names of other crates would give it a client, a runtime, a clock or randomness.
const IMPURE: [&str; 14] = [
    "kube::Client",
    "kube::Api",
    "kube::api",
    "kube::runtime",
    "tokio",
    "reqwest",
    "oci_client",
    "gix",
    "std::net",
    "std::fs",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "rand::",
];

fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = std::fs::read_dir(path).expect("a folder of the crate");
    entries
        .flat_map(|entry| sources(&entry.expect("an entry").path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

/// The product's lines of a file: without comments and without what stands behind `#[cfg(test)]`.
fn product_lines(path: &Path) -> Vec<String> {
    if path.components().any(|part| part.as_os_str() == "tests.rs" || part.as_os_str() == "tests") {
        return Vec::new();
    }
    let text = std::fs::read_to_string(path).expect("a source file");
    let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
    lines.filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned).collect()
}

#[test]
fn pure_modules_stay_pure() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (module, allowed) in PURE {
        for file in sources(&root.join(module)) {
            for line in product_lines(&file) {
                wrong.extend(IMPURE.iter().filter(|name| line.contains(*name)).map(|name| format!("{}: {name}: {line}", file.display())));
                let imported = line.split("crate::").skip(1).filter_map(|rest| rest.split([':', '{', ';', ' ', '(', ')', ',']).next());
                let imported = imported.filter(|name| !name.is_empty() && !allowed.contains(name));
                wrong.extend(imported.map(|name| format!("{}: crate::{name} is not for {module}", file.display())));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_act_and_clients_write() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let writes = ["PatchParams", "PostParams", "DeleteParams", ".patch(", ".create(", ".patch_status("];
    for module in ["observe", "controller"] {
        for file in sources(&root.join(module)) {
            for line in product_lines(&file) {
                assert!(!writes.iter().any(|write| line.contains(write)), "{}: {line}", file.display());
            }
        }
    }
}
