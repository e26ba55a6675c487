//! Is the program the one that was asked for?
//!
//! What a compile stage leaves could be anything. Go's linker writes into each program which package it is, from which modules
//! with which checksums, by which Go release and with which settings; all of it is held against what was asked for and against
//! the source's `go.sum`. A program that lies about itself in every point can still be made, by who controls the compiler's
//! image: that image is pinned by digest and named in the provenance. Linker flags are not in a program that was compiled with
//! `-trimpath`, and neither is the commit: without a stamp equal sources give equal programs, and the provenance binds it.

use super::assemble_error::AssembleError;
use super::source::module_path;
use gowindows_model::go::compile::Compile;
use gowindows_model::wire::assemble::Expected;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use windows_image::build_info::{BuildInfo, Module};

/// The modules that the source pins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pinned {
    /// Checksums by path and version: `go.sum`.
    sums: BTreeMap<(String, String), String>,
    /// Path and version: `vendor/modules.txt`.
    vendored: BTreeSet<(String, String)>,
}

/// A file of sums is no larger than this.
const LARGEST: u64 = 64 * 1024 * 1024;
/// Settings with a dash that may be there; any other changes the program and was not asked for.
const KNOWN: [&str; 5] = ["-buildmode", "-compiler", "-pgo", "-tags", "-trimpath"];
/// Variables that Go writes into the program.
const RECORDED: [&str; 4] = ["CGO_ENABLED", "GOAMD64", "GOARCH", "GOOS"];

impl Pinned {
    /// Reads what the source in `root` pins for the module in its folder `sub_path`. In a workspace (`go.work`) the sums of all its
    /// modules count.
    ///
    /// # Errors
    /// A file that is there cannot be read.
    pub fn read(root: &Path, sub_path: &str) -> io::Result<Self> {
        let module = root.join(sub_path);
        let mut pinned = Self::default();
        pinned.add_sums(&module.join("go.sum"))?;
        for line in text(&module.join("vendor/modules.txt"))?.lines() {
            let mut words = line.strip_prefix("# ").unwrap_or_default().split(" => ").last().unwrap_or_default().split(' ');
            if let (Some(path), Some(version)) = (words.next(), words.next()) {
                pinned.vendored.insert((path.to_owned(), version.to_owned()));
            }
        }
        let workspace = module.ancestors().take_while(|folder| folder.starts_with(root)).find(|folder| folder.join("go.work").is_file());
        if let Some(workspace) = workspace {
            pinned.add_sums(&workspace.join("go.work.sum"))?;
            pinned.add_sums_below(workspace)?;
        }
        Ok(pinned)
    }

    fn add_sums_below(&mut self, folder: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => self.add_sums_below(&entry.path())?,
                kind if kind.is_file() && entry.file_name() == "go.sum" => self.add_sums(&entry.path())?,
                _ => {}
            }
        }
        Ok(())
    }

    fn add_sums(&mut self, file: &Path) -> io::Result<()> {
        self.add(&text(file)?);
        Ok(())
    }

    fn add(&mut self, text: &str) {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            if let (Some(path), Some(version), Some(sum)) = (words.next(), words.next(), words.next()) {
                self.sums.insert((path.to_owned(), version.to_owned()), sum.to_owned());
            }
        }
    }

    fn complaint(&self, module: &Module) -> Option<String> {
        let compiled = module.replace.as_deref().unwrap_or(module);
        // A folder of the source, which the commit pins.
        if compiled.version.is_empty() || compiled.version == "(devel)" {
            return None;
        }
        let name = (compiled.path.clone(), compiled.version.clone());
        let pinned = self.sums.get(&name);
        match pinned {
            // Go writes no sum of what was vendored.
            _ if compiled.sum.is_empty() && (pinned.is_some() || self.vendored.contains(&name)) => None,
            Some(pinned) if *pinned == compiled.sum => None,
            Some(pinned) => Some(format!("module {} {} has the checksum {}, and go.sum says {pinned}", name.0, name.1, compiled.sum)),
            None => Some(format!("module {} {} is not in the source's go.sum", name.0, name.1)),
        }
    }
}

fn text(file: &Path) -> io::Result<String> {
    match std::fs::metadata(file) {
        Ok(found) if found.is_file() && found.len() <= LARGEST => std::fs::read_to_string(file),
        Ok(found) if found.is_file() => Err(io::Error::other(format!("{} has more than {LARGEST} bytes", file.display()))),
        _ => Ok(String::new()),
    }
}

/// Holds a program against what was asked for, and against the source in the folder `root`.
///
/// # Errors
/// [`AssembleError::Mismatch`] names the first difference; [`AssembleError::ReadSource`].
pub fn check(info: &Result<BuildInfo, String>, expected: &Expected, root: &Path) -> Result<(), AssembleError> {
    let info = info.as_ref().map_err(|error| AssembleError::Mismatch(error.clone()))?;
    let folder = root.join(&expected.sub_path);
    let failed = |name: &str| {
        let file = folder.join(name);
        |source| AssembleError::ReadSource { file, source }
    };
    let go_mod = std::fs::read_to_string(folder.join("go.mod")).map_err(failed("go.mod"))?;
    let pinned = Pinned::read(root, &expected.sub_path).map_err(failed("go.sum"))?;
    let complaint = complaint(info, expected, &module_path(&go_mod).unwrap_or_default(), &pinned);
    complaint.map_or(Ok(()), |complaint| Err(AssembleError::Mismatch(complaint)))
}

/// What the program says of itself that is not as asked, in one sentence; none if all is.
fn complaint(info: &BuildInfo, expected: &Expected, module: &str, pinned: &Pinned) -> Option<String> {
    let Expected { compile, go_version, sub_path: _ } = expected;
    let differs =
        |what: &str, found: &str, asked: &str| (found != asked).then(|| format!("{what} is {found:?} and {asked:?} was asked for"));
    differs("its module", &info.main.path, module)
        .or_else(|| differs("its main package", &info.path, &import_path(module, &compile.package)))
        .or_else(|| other_release(&info.go_version, go_version.as_deref()?))
        .or_else(|| settings(info, compile))
        .or_else(|| info.deps.iter().find_map(|dep| pinned.complaint(dep)))
}

/// `./cmd/x` in module `m` is `m/cmd/x`.
fn import_path(module: &str, package: &str) -> String {
    let relative = package.starts_with('.') || package.is_empty();
    let inside = package.trim_start_matches("./").trim_matches('/');
    match inside {
        "" | "." => module.to_owned(),
        _ if relative => format!("{module}/{inside}"),
        _ => package.to_owned(),
    }
}

fn other_release(found: &str, asked: &str) -> Option<String> {
    let rest = found.strip_prefix("go").and_then(|version| version.strip_prefix(asked));
    let same = rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()));
    (!same).then(|| format!("its Go release is {found:?} and Go {asked} was asked for"))
}

fn settings(info: &BuildInfo, compile: &Compile) -> Option<String> {
    let environment = compile.environment();
    let recorded = environment.iter().filter(|(name, _)| RECORDED.contains(&name.as_str()));
    let variables = recorded.map(|(name, value)| (name.as_str(), value.as_str()));
    let asked = variables.chain([("-trimpath", "true"), ("-compiler", "gc"), ("-buildmode", "exe")]);
    for (name, value) in asked {
        let found = info.setting(name).unwrap_or("unset");
        if found != value {
            return Some(format!("its setting {name} is {found} and {value} was asked for"));
        }
    }
    let set = |list: &str| list.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect::<BTreeSet<_>>();
    let timezones = compile.timezone_data.then_some("timetzdata".to_owned());
    let tags: BTreeSet<String> = timezones.into_iter().chain(compile.tags.iter().cloned()).collect();
    let found = info.setting("-tags").unwrap_or_default();
    if set(found) != tags {
        let tags: Vec<_> = tags.into_iter().collect();
        return Some(format!("its build tags are {found:?} and {:?} were asked for", tags.join(",")));
    }
    let strange = |(name, _): &&(String, String)| name.starts_with("vcs") || (name.starts_with('-') && !KNOWN.contains(&name.as_str()));
    info.settings.iter().find(strange).map(|(name, value)| format!("its setting {name}={value} was not asked for"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    fn info() -> String {
        format!(
            "path\tshop.example/shop/cmd/shop\nmod\tshop.example/shop\t(devel)\t\ndep\texample.com/a\tv1.0.0\t{SUM}\n\
             dep\texample.com/b\tv1.0.0\n=>\t./b\t\t\nbuild\t-buildmode=exe\nbuild\t-compiler=gc\nbuild\t-tags=timetzdata,extra\n\
             build\t-trimpath=true\nbuild\tDefaultGODEBUG=x=1\nbuild\tCGO_ENABLED=0\nbuild\tGOARCH=amd64\nbuild\tGOOS=windows\nbuild\tGOAMD64=v1\n"
        )
    }

    fn expected() -> Expected {
        let compile = Compile {
            package: "./cmd/shop".into(),
            tags: vec!["extra".into()],
            ldflags: vec!["-X main.version=1".into()],
            env: vec![],
            strip: true,
            timezone_data: true,
            cgo: false,
        };
        Expected { compile, go_version: Some("1.26".into()), sub_path: ".".into() }
    }

    fn pinned() -> Pinned {
        let mut pinned = Pinned::default();
        pinned.add(&format!("example.com/a v1.0.0 {SUM}\nexample.com/a v1.0.0/go.mod h1:other\n"));
        pinned
    }

    fn check(text: &str, release: &str) -> Option<String> {
        let info = BuildInfo::parse(release.into(), text).expect("build info");
        complaint(&info, &expected(), "shop.example/shop", &pinned())
    }

    #[test]
    fn what_was_asked_for_passes() {
        assert_eq!(check(&info(), "go1.26.8"), None);
        assert_eq!(check(&info(), "go1.26rc1 X:jsonv2"), None);
    }

    #[test]
    fn each_difference_is_named() {
        for (from, to, says) in [
            ("path\tshop.example/shop/cmd/shop", "path\tshop.example/shop/cmd/miner", "main package"),
            ("mod\tshop.example/shop", "mod\tshop.example/fork", "module"),
            ("example.com/a\tv1.0.0\t", "example.com/a\tv1.0.1\t", "not in the source's go.sum"),
            (SUM, "h1:AAAAQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "go.sum says"),
            (SUM, "", "example.com/a"),
            ("=>\t./b\t\t", "=>\texample.com/c\tv9.0.0\th1:x", "example.com/c v9.0.0"),
            ("GOOS=windows", "GOOS=linux", "GOOS is linux"),
            ("CGO_ENABLED=0", "CGO_ENABLED=1", "CGO_ENABLED is 1"),
            ("build\tGOAMD64=v1\n", "", "GOAMD64 is unset"),
            ("build\t-trimpath=true\n", "", "-trimpath is unset"),
            ("-trimpath=true", "-trimpath=true\nbuild\t-ldflags=-H windowsgui", "-ldflags=-H windowsgui was not asked for"),
            ("-trimpath=true", "-trimpath=true\nbuild\tvcs.revision=abc", "vcs.revision=abc was not asked for"),
            ("-tags=timetzdata,extra", "-tags=timetzdata", "build tags"),
            ("-compiler=gc", "-compiler=gccgo", "-compiler is gccgo"),
        ] {
            let changed = info().replace(from, to);
            assert_ne!(changed, info(), "{from}");
            // A module that was vendored has no sum, so its version must be pinned.
            let complaint = if to.is_empty() && from == SUM {
                check(&changed.replace("v1.0.0", "v1.0.2"), "go1.26.8")
            } else {
                check(&changed, "go1.26.8")
            };
            assert!(complaint.as_ref().is_some_and(|complaint| complaint.contains(says)), "{says:?}: {complaint:?}");
        }
        for release in ["go1.25.8", "go1.260", "devel go1.27-abc"] {
            assert!(check(&info(), release).is_some_and(|complaint| complaint.contains("Go release")), "{release}");
        }
    }

    #[test]
    fn import_paths_are_as_go_makes_them() {
        for (package, path) in [(".", "m"), ("./", "m"), ("./cmd/x", "m/cmd/x"), ("./cmd/x/", "m/cmd/x"), ("m/cmd/x", "m/cmd/x")] {
            assert_eq!(import_path("m", package), path, "{package}");
        }
    }

    #[test]
    fn sums_of_a_workspace_and_vendored_modules_count() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).and_then(|()| std::fs::write(path, text)).expect("written");
        };
        write("app/go.sum", "a v1 h1:a\n");
        write("lib/go.sum", "b v1 h1:b\n");
        write("app/vendor/modules.txt", "# c v1\n## explicit\nc/x\n# d v1 => e v2\n");
        let names = |pinned: &Pinned| pinned.sums.keys().map(|(path, _)| path.clone()).collect::<Vec<_>>();
        let alone = Pinned::read(root.path(), "app").expect("readable");
        assert_eq!(names(&alone), ["a"]);
        assert_eq!(alone.vendored, BTreeSet::from([("c".into(), "v1".into()), ("e".into(), "v2".into())]));
        write("go.work", "go 1.26\n");
        write("go.work.sum", "f v1 h1:f\n");
        assert_eq!(names(&Pinned::read(root.path(), "app").expect("readable")), ["a", "b", "f"]);
    }
}
