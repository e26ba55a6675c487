//! The house holds: crates and rooms point one way, what is pure stays pure, a plan holds values and no objects, and only `act` writes.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates of the product, each with its folder and the crates that it may use.
const CRATES: [(&str, &str, &[&str]); 7] = [
    (
        "gowindows",
        "operator/controller",
        &["gowindows-core", "gowindows-clients", "gowindows-builder", "gowindows-model", "gowindows-crds"],
    ),
    ("gowindows-core", "operator/core", &["gowindows-model", "windows-image", "gowindows-crds"]),
    ("gowindows-builder", "operator/builder", &["gowindows-clients", "gowindows-model", "windows-image", "gowindows-crds"]),
    ("gowindows-clients", "operator/clients", &["gowindows-model", "windows-image", "gowindows-crds"]),
    ("gowindows-model", "operator/model", &["windows-image", "gowindows-crds"]),
    ("windows-image", "operator/windows-image", &[]),
    ("gowindows-crds", "crds", &[]),
];

/// Crates without a client, a runtime, a clock, files or randomness.
const PURE: [&str; 3] = ["gowindows-core", "gowindows-model", "windows-image"];

/// What would give a pure crate one of these, as a dependency.
const IMPURE_CRATES: [&str; 5] = ["tokio", "reqwest", "gix", "kube", "kube-client"];

/// What would give it one of these from the standard library, or from a crate that it has for something else.
const IMPURE_NAMES: [&str; 7] = ["std::fs", "std::net", "std::process", "SystemTime", "Instant", "Timestamp::now", "rand::"];

/// The rooms of each crate. A file uses rooms further down, and its own: a list cannot hold a circle.
const ROOMS: [(&str, &[&str]); 6] = [
    ("gowindows", &["controller", "act", "observe"]),
    ("gowindows-core", &["pass", "status", "tuning", "rollout", "publish", "build", "source", "kinds", "read", "wording", "pace"]),
    ("gowindows-builder", &["verify", "build", "step", "layers", "progress"]),
    ("gowindows-clients", &["oci", "git", "identity", "attest"]),
    (
        "gowindows-model",
        &[
            "ports",
            "plan",
            "facts",
            "attest",
            "inputs",
            "request",
            "question",
            "access",
            "wire",
            "settings",
            "binding",
            "go",
            "conversions",
            "call_error",
            "names",
            "redact",
        ],
    ),
    (
        "windows-image",
        &[
            "own_dockerfile",
            "verify_layer",
            "loadable_files",
            "sbom",
            "artifact",
            "content",
            "sizes",
            "verify",
            "read_back",
            "assemble",
            "notes",
            "configure",
            "standard",
            "files",
            "base",
            "config",
            "layer",
            "assembly",
            "compression",
            "warnings",
            "imports",
            "pclntab",
            "build_info",
            "pe",
            "pe_file",
            "security",
            "descriptor",
            "windows_apis",
            "windows_path",
            "release",
            "gzip",
            "manifest",
            "digest",
            "flavor",
            "system",
        ],
    ),
];

/// The aspects of a pass: what one hands to another is a type of the model.
const ASPECTS: [&str; 5] = ["source", "build", "publish", "rollout", "tuning"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of a crate: its path below `src`, its product's lines.
struct File {
    path: Vec<String>,
    lines: Vec<String>,
}

impl File {
    /// The first part of its path: its room.
    fn room(&self) -> &str {
        self.path.first().map_or("", |part| part.strip_suffix(".rs").unwrap_or(part))
    }

    /// How many modules its own is below the crate's root.
    fn depth(&self) -> usize {
        let is_mod = self.path.last().is_some_and(|name| name == "mod.rs");
        self.path.len() - usize::from(is_mod)
    }

    /// The names that stand behind `crate::`, or behind as many `super::` as lead there.
    fn used(&self) -> Vec<String> {
        let supers = "super::".repeat(self.depth());
        let text = self.lines.join("\n");
        let mut used = Vec::new();
        for start in ["crate::", supers.as_str()] {
            for rest in text.split(start).skip(1) {
                let inside = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
                let names: Vec<&str> = inside.map_or_else(|| vec![rest], |inside| inside.split(',').collect());
                let name =
                    |text: &str| text.trim().split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default().to_owned();
                used.extend(names.into_iter().map(name).filter(|name| !name.is_empty() && name != "super"));
            }
        }
        used
    }
}

fn files(folder: &str) -> Vec<File> {
    let source = root().join(folder).join("src");
    let mut found = Vec::new();
    collect(&source, &mut Vec::new(), &mut found);
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

fn collect(folder: &Path, below: &mut Vec<String>, found: &mut Vec<File>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the crate") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        below.push(name.clone());
        if path.is_dir() && name != "tests" {
            collect(&path, below, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(File { path: below.clone(), lines: product_lines(&path) });
        }
        below.pop();
    }
}

/// Without comments, and without what stands behind `#[cfg(test)]`.
fn product_lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a source file");
    let mut lines = Vec::new();
    let mut all = text.lines().peekable();
    while let Some(line) = all.next() {
        if line.starts_with("#[cfg(test)]") {
            if all.peek().is_some_and(|next| next.trim_end().ends_with('{')) {
                break;
            }
            all.next();
        } else if !line.trim_start().starts_with("//") {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// Which room an item is from that the crate shows at its root.
fn shown_at_root(folder: &str) -> BTreeMap<String, String> {
    let lib = product_lines(&root().join(folder).join("src/lib.rs")).join("\n");
    let mut shown = BTreeMap::new();
    for item in lib.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next()) {
        let (room, items) = item.split_once("::").expect("a path");
        for name in items.trim_matches(['{', '}']).split(',') {
            shown.insert(name.trim().to_owned(), room.to_owned());
        }
    }
    shown
}

#[test]
fn crates_use_those_that_the_layout_names_and_pure_ones_have_no_client_and_no_runtime() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let said = Command::new(cargo).args(["metadata", "--no-deps", "--format-version", "1", "--offline"]).current_dir(root()).output();
    let said = said.expect("cargo runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let metadata: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    for (name, folder, allowed) in CRATES {
        let package = packages.iter().find(|package| package["name"] == name).unwrap_or_else(|| panic!("a crate {name}"));
        let manifest = package["manifest_path"].as_str().expect("a path");
        assert!(manifest.ends_with(&format!("{folder}/Cargo.toml")), "{manifest}");
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        for dependency in dependencies.iter().filter(|dependency| dependency["kind"].is_null()) {
            let used = dependency["name"].as_str().expect("a name");
            let ours = CRATES.iter().any(|(name, ..)| *name == used);
            assert!(!ours || allowed.contains(&used), "{name} uses {used}");
            assert!(!PURE.contains(&name) || !IMPURE_CRATES.contains(&used), "{name} is pure and uses {used}");
        }
    }
    let known = |package: &Value| CRATES.iter().any(|(name, ..)| package["name"] == *name);
    let ours = packages.iter().filter(|package| package["manifest_path"].as_str().is_some_and(|path| path.contains("/operator/")));
    assert!(ours.clone().all(known), "a crate that the layout does not name: {:?}", ours.map(|one| &one["name"]).collect::<Vec<_>>());
}

#[test]
fn rooms_use_rooms_further_down() {
    let mut wrong = Vec::new();
    for (name, rooms) in ROOMS {
        let (_, folder, _) = CRATES.iter().find(|(known, ..)| *known == name).expect("a crate");
        let shown = shown_at_root(folder);
        let position = |room: &str| rooms.iter().position(|known| *known == room);
        for file in files(folder).iter().filter(|file| !["lib", "main"].contains(&file.room())) {
            let Some(own) = position(file.room()) else {
                wrong.push(format!("{name}: {} is no room of the list", file.room()));
                continue;
            };
            for used in file.used() {
                let room = shown.get(&used).unwrap_or(&used);
                if position(room).is_some_and(|other| other < own) {
                    wrong.push(format!("{name}: {} uses {room}, which stands above it", file.path.join("/")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn aspects_do_not_use_each_other() {
    for file in files("operator/core").iter().filter(|file| ASPECTS.contains(&file.room())) {
        let used = file.used();
        let others: Vec<&String> = used.iter().filter(|used| ASPECTS.contains(&used.as_str()) && *used != file.room()).collect();
        assert!(others.is_empty(), "{} uses {others:?}", file.path.join("/"));
    }
}

#[test]
fn what_is_pure_has_no_clock_no_files_and_no_randomness() {
    for (name, folder, _) in CRATES.iter().filter(|(name, ..)| PURE.contains(name)) {
        for file in files(folder) {
            for line in &file.lines {
                let found = IMPURE_NAMES.iter().find(|word| line.contains(*word));
                assert!(found.is_none(), "{name}: {}: {line}", file.path.join("/"));
            }
        }
    }
}

/// Objects are rendered right before they are written: nobody reads an annotation back to learn what was decided.
#[test]
fn a_plan_holds_no_object_of_kubernetes() {
    let plan: Vec<File> = files("operator/model").into_iter().filter(|file| file.room() == "plan").collect();
    assert!(plan.len() > 3, "the plan's types are where they are looked for");
    for file in plan {
        for line in &file.lines {
            assert!(!line.contains("k8s_openapi::api") && !line.contains("ObjectMeta"), "{}: {line}", file.path.join("/"));
        }
    }
}

#[test]
fn only_act_writes() {
    let writes = ["PatchParams", "PostParams", "DeleteParams", ".patch(", ".create(", ".patch_status("];
    // Asking for a token of a ServiceAccount is a POST that changes nothing.
    let asks = ["observe", "identities.rs"];
    for file in files("operator/controller").iter().filter(|file| file.room() != "act" && file.path != asks) {
        for line in &file.lines {
            assert!(!writes.iter().any(|write| line.contains(write)), "{}: {line}", file.path.join("/"));
        }
    }
}

/// A pass finds what belongs to its object by indexes. What looks at all objects of a store is named here, and is none of a pass.
#[test]
fn no_pass_looks_through_a_whole_store() {
    let may = [
        // A scrape counts the objects.
        vec!["controller", "telemetry.rs"],
        // When a node changes.
        vec!["observe", "nodes.rs"],
        // The queue for slots is that of all objects, and one keeps it.
        vec!["observe", "watched.rs"],
    ];
    for file in files("operator/controller") {
        let text = file.lines.join("\n");
        let looks = text.contains(".state()");
        assert!(!looks || may.contains(&file.path.iter().map(String::as_str).collect()), "{} looks through a store", file.path.join("/"));
        let all = text.contains("stores.jobs.all(") || text.contains("stores.images.all(") || text.contains("stores.pods.all(");
        assert!(!all || file.path == ["observe", "queue.rs"], "{} looks at all objects", file.path.join("/"));
    }
    let slots = files("operator/controller").into_iter().filter(|file| file.lines.iter().any(|line| line.contains("cluster.queue(")));
    assert_eq!(slots.map(|file| file.path.join("/")).collect::<Vec<_>>(), ["controller/slots.rs"], "one keeps the queue");
}

/// One place says what belongs to what (`read/ours.rs`), and one writes it. Whoever compares a uid, a label or a name by himself forgets a part.
#[test]
fn one_function_says_which_job_and_which_pod_is_ours() {
    let may = ["operator/core/read/ours.rs", "operator/core/build/render/job.rs"];
    let words = ["owner_references", "ownerReferences", "OwnerReference", "controller_owner_ref", "LABEL_IMAGE_UID"];
    for (_, folder, _) in CRATES {
        for file in files(folder) {
            let path = format!("{folder}/{}", file.path.join("/"));
            let found = words.iter().find(|word| file.lines.iter().any(|line| line.contains(*word)));
            // A label on what we create, for people and selectors.
            let writes = path == "operator/core/build/render/test_job.rs" || path == "crds/names.rs";
            assert!(found.is_none() || may.contains(&path.as_str()) || (writes && found == Some(&"LABEL_IMAGE_UID")), "{path}: {found:?}");
        }
    }
}
