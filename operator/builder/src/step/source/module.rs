//! Is there a Go program where the request says there is one?
//!
//! Only what can be said without a compiler: a `go.mod`, a folder, a `package main`. Build constraints are the compiler's.

use super::error::SourceError;
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// A message names no more than this.
const SUGGESTIONS: usize = 5;

/// What the Go module says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Its path.
    pub module: String,
    /// Its `go` directive.
    pub go_directive: Option<String>,
}

/// Looks at the module in the folder `sub_path` of the work tree `root`, and at `package` in it.
pub fn inspect(root: &Path, sub_path: &str, package: &str, submodules: &[PathBuf]) -> Result<Module, SourceError> {
    let folder = relative("source.subPath", sub_path)?;
    let package_folder = folder.join(relative("go.package", package)?);
    for (field, value, path) in [("source.subPath", sub_path, &folder), ("go.package", package, &package_folder)] {
        if let Some(submodule) = submodules.iter().find(|submodule| path.starts_with(submodule)) {
            return Err(SourceError::Submodule { field, value: value.to_owned(), submodule: submodule.clone() });
        }
        if !stays_inside(root, path) {
            return Err(SourceError::Path { field, value: value.to_owned() });
        }
    }
    let Ok(text) = fs::read_to_string(root.join(&folder).join("go.mod")) else {
        let hint = suggest(&modules(root), "", "; go.mod is in", "; no folder has one");
        return Err(SourceError::NoModule { sub_path: sub_path.to_owned(), hint });
    };
    let found = parse_go_mod(&text).ok_or_else(|| SourceError::NamelessModule { sub_path: sub_path.to_owned() })?;
    match main_problem(root, &folder, &package_folder) {
        None => Ok(found),
        Some(problem) => {
            let hint = suggest(&main_packages(&root.join(&folder)), "./", "; main packages are", "; this module has no main package");
            Err(SourceError::NoMain { package: package.to_owned(), problem, hint })
        }
    }
}

/// The module in the folder `sub_path`, if there is one: a Dockerfile of the repository's own can make its program of anything.
pub fn found(root: &Path, sub_path: &str) -> Module {
    let folder = relative("source.subPath", sub_path).ok().filter(|folder| stays_inside(root, folder));
    let text = folder.and_then(|folder| fs::read_to_string(root.join(folder).join("go.mod")).ok());
    text.and_then(|text| parse_go_mod(&text)).unwrap_or_default()
}

/// The module path in a go.mod.
pub(crate) fn module_path(go_mod: &str) -> Option<String> {
    parse_go_mod(go_mod).map(|found| found.module)
}

/// What is wrong with a main package, if something is.
fn main_problem(root: &Path, module: &Path, package: &Path) -> Option<String> {
    let nested = package.ancestors().take_while(|folder| *folder != module).find(|folder| root.join(folder).join("go.mod").is_file());
    if let Some(nested) = nested {
        return Some(format!("is in another module: set `source.subPath` to {nested:?} and `go.package` relative to it"));
    }
    if !root.join(package).is_dir() {
        return Some("is not a folder of the module".to_owned());
    }
    match package_name(&root.join(package)) {
        Some(name) if name == "main" => None,
        Some(name) => Some(format!("is the package `{name}`, not a main package")),
        None => Some("has no Go files".to_owned()),
    }
}

/// The path as it stands below a root, or an error where it would leave it.
fn relative(field: &'static str, value: &str) -> Result<PathBuf, SourceError> {
    let mut path = PathBuf::new();
    for component in Path::new(value).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            _ => return Err(SourceError::Path { field, value: value.to_owned() }),
        }
    }
    Ok(path)
}

/// Whether a path is inside even after its links were followed. What does not exist is.
fn stays_inside(root: &Path, path: &Path) -> bool {
    match (root.canonicalize(), root.join(path).canonicalize()) {
        (Ok(root), Ok(path)) => path.starts_with(root),
        _ => true,
    }
}

/// Module path and `go` directive of a go.mod; none where it names no module. Both may stand in a block.
fn parse_go_mod(text: &str) -> Option<Module> {
    let (mut module, mut go_directive, mut block) = (None, None, None);
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let mut words = line.split_whitespace();
        let (verb, value) = match (block, words.next()) {
            (_, None) => continue,
            (Some(_), Some(")")) => {
                block = None;
                continue;
            }
            (Some(verb), value) => (verb, value),
            (None, Some(verb)) => (verb, words.next()),
        };
        match (verb, value) {
            (verb, Some("(")) => block = Some(verb),
            ("module", Some(value)) => module = Some(value.trim_matches(['"', '`']).to_owned()),
            ("go", Some(value)) => go_directive = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(Module { module: module.filter(|module| !module.is_empty())?, go_directive })
}

/// The name of the package in a folder: `main` if any file says so.
fn package_name(folder: &Path) -> Option<String> {
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder).ok()?.flatten() {
        if is_source(&entry.file_name()) {
            let text = fs::read(entry.path()).unwrap_or_default();
            names.extend(package_clause(&String::from_utf8_lossy(&text)).map(str::to_owned));
        }
    }
    names.sort_by_key(|name| name != "main");
    names.into_iter().next()
}

fn is_source(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.ends_with(".go") && !name.ends_with("_test.go") && !name.starts_with(['_', '.'])
}

/// The name in the package clause of a Go file; none where there is none, or where the file says that it is never built.
fn package_clause(text: &str) -> Option<&str> {
    let mut rest = text.trim_start_matches('\u{feff}');
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix("//") {
            let (line, after) = comment.split_once('\n').unwrap_or((comment, ""));
            let constraint = line.strip_prefix("go:build ").or_else(|| line.trim_start().strip_prefix("+build "));
            if constraint.is_some_and(|constraint| constraint.trim() == "ignore") {
                return None;
            }
            rest = after;
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/")?.1;
        } else {
            let name = rest.strip_prefix("package")?.strip_prefix([' ', '\t'])?.trim_start();
            return name.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty());
        }
    }
}

/// Folders with a go.mod.
fn modules(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(root, Path::new(""), &mut |folder, path| {
        if folder.join("go.mod").is_file() {
            found.push(path.to_owned());
        }
        found.len() < SUGGESTIONS
    });
    found
}

/// Folders with a main package that belong to the module in `root`.
fn main_packages(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(root, Path::new(""), &mut |folder, path| {
        let foreign =
            !path.as_os_str().is_empty() && path.ancestors().any(|at| !at.as_os_str().is_empty() && root.join(at).join("go.mod").is_file());
        if !foreign && package_name(folder).is_some_and(|name| name == "main") {
            found.push(path.to_owned());
        }
        found.len() < SUGGESTIONS
    });
    found
}

/// Visits the folders that the go command looks at, in order, until `visit` (whole path, path below the root) has enough.
/// Links are not followed.
fn walk(root: &Path, path: &Path, visit: &mut impl FnMut(&Path, &Path) -> bool) -> bool {
    let folder = root.join(path);
    if !visit(&folder, path) {
        return false;
    }
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.file_name()).collect();
    names.sort();
    let skipped = |name: &OsStr| {
        let name = name.to_string_lossy();
        name.starts_with(['.', '_']) || ["testdata", "vendor", "node_modules"].contains(&name.as_ref())
    };
    names.iter().filter(|name| !skipped(name)).all(|name| walk(root, &path.join(name), visit))
}

/// The end of a sentence: what there is, written with `prefix`, or that there is nothing.
fn suggest(found: &[PathBuf], prefix: &str, words: &str, nothing: &str) -> String {
    let shown = |path: &PathBuf| match path.as_os_str().is_empty() {
        true => ".".to_owned(),
        false => format!("{prefix}{}", path.display()),
    };
    match found {
        [] => nothing.to_owned(),
        found => format!("{words} {}", found.iter().map(shown).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, text).expect("a file");
        }
        root
    }

    #[test]
    fn go_mod_is_read_as_the_go_command_reads_it() {
        let table = [
            ("module example.com/a\n\ngo 1.26\n", Some(("example.com/a", Some("1.26")))),
            (
                "// Deprecated: no.\nmodule \"example.com/a\" // x\n\ngo 1.26.1 // y\ntoolchain go1.26.3\n",
                Some(("example.com/a", Some("1.26.1"))),
            ),
            ("module (\n\texample.com/a\n)\nrequire (\n\tgo.uber.org/zap v1.0.0\n\tgo v2\n)\n", Some(("example.com/a", None))),
            ("go 1.26\n", None),
            ("module\n", None),
        ];
        for (text, expected) in table {
            let expected =
                expected.map(|(module, go): (&str, Option<&str>)| Module { module: module.into(), go_directive: go.map(str::to_owned) });
            assert_eq!(parse_go_mod(text), expected, "{text}");
        }
    }

    #[test]
    fn the_package_clause_comes_after_comments() {
        let table = [
            ("package main\n", Some("main")),
            ("\u{feff}// Copyright\n\n/* package x\n*/ package\tshop;import \"fmt\"\n", Some("shop")),
            ("//go:build windows\n\npackage main // x", Some("main")),
            ("//go:build ignore\n\npackage main", None),
            ("// +build ignore\n\npackage main", None),
            ("packages main", None),
            ("/* never ends package main", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(package_clause(text), expected, "{text}");
        }
    }

    #[test]
    fn modules_and_packages_are_found_or_named() {
        let root = tree(&[
            ("services/shop/go.mod", "module example.com/shop\ngo 1.26\n"),
            ("services/shop/cmd/shop/main.go", "package main\n"),
            ("services/shop/cmd/shop/main_test.go", "package main_test\n"),
            ("services/shop/cart/cart.go", "package cart\n"),
            ("services/shop/cart/generate.go", "//go:build ignore\n\npackage main\n"),
            ("services/shop/docs/readme.md", ""),
            ("services/shop/tools/go.mod", "module example.com/tools\n"),
            ("services/shop/tools/gen/main.go", "package main\n"),
            ("services/shop/vendor/x/main.go", "package main\n"),
            ("lib/go.mod", "module example.com/lib\n"),
            ("lib/lib.go", "package lib\n"),
            ("nameless/go.mod", "\n"),
        ]);
        let look = |sub_path: &str, package: &str| {
            inspect(root.path(), sub_path, package, &[PathBuf::from("third/party")]).map_err(|error| error.to_string())
        };
        let found = look("services/shop", "./cmd/shop").expect("the program");
        assert_eq!(found, Module { module: "example.com/shop".into(), go_directive: Some("1.26".into()) });
        let table = [
            (".", ".", "no go.mod in the folder \".\" of the repository; go.mod is in lib, nameless, services/shop, services/shop/tools"),
            ("services", ".", "no go.mod in the folder \"services\""),
            ("gone", ".", "no go.mod in the folder \"gone\""),
            ("nameless", ".", "no `module` line"),
            ("services/shop", ".", "\".\" has no Go files; main packages are ./cmd/shop"),
            ("services/shop", "./docs", "\"./docs\" has no Go files"),
            ("services/shop", "./cart", "\"./cart\" is the package `cart`, not a main package; main packages are ./cmd/shop"),
            ("services/shop", "./cmd/gone", "is not a folder of the module; main packages are ./cmd/shop"),
            ("services/shop", "./tools/gen", "is in another module: set `source.subPath` to \"services/shop/tools\""),
            ("lib", ".", "is the package `lib`, not a main package; this module has no main package"),
            ("../lib", ".", "subPath \"../lib\" must be a relative path"),
            ("/etc", ".", "subPath \"/etc\" must be a relative path"),
            ("services/shop", "../../lib", "package \"../../lib\" must be a relative path"),
            ("third/party", ".", "in the submodule \"third/party\""),
        ];
        for (sub_path, package, expected) in table {
            let message = look(sub_path, package).expect_err(expected);
            assert!(message.contains(expected), "{message}");
        }
    }
}
