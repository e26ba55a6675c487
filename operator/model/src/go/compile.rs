//! With which arguments and which environment is the Go program compiled?
//!
//! The command line and the cluster both ask here: a different flag would be a different program, hence a different digest.
//! The fixed flags are MUST 21 of the image's design (no cgo but where it is asked for, amd64 v1, trimmed paths, no version-control stamp, no build id).
//! `-mod` is left to Go on purpose: its default is `readonly`, or `vendor` where the module has a vendor folder.

use gowindows_crds::v1alpha1::NodeSystem;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use thiserror::Error;

/// One compilation of one main package for `windows/amd64`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Compile {
    /// The main package, relative to the module's folder. Example: `./cmd/storefront`.
    pub package: String,
    /// Build tags of the user.
    pub tags: Vec<String>,
    /// Linker flags of the user, each `-X importpath.name=value`, placeholders already expanded.
    pub ldflags: Vec<String>,
    /// Variables of the user; they win over the fixed ones (`GOAMD64`).
    pub env: Vec<(String, String)>,
    /// Leave out symbol table and debug information.
    pub strip: bool,
    /// Put the time zone database into the program.
    pub timezone_data: bool,
    /// With C code, by the C compiler of the toolchain.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cgo: bool,
}

/// Why a linker flag cannot be handed to Go.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidLinkFlag {
    /// Only string variables may be set.
    #[error("the linker flag {0:?} is not of the form `-X importpath.name=value`, the only one that is allowed")]
    NotAVariable(String),
    /// `go build -ldflags` knows two quotes and no escapes.
    #[error("the linker flag {0:?} has both ' and \" in it, or a control character: Go has no way to quote that; leave one of them out")]
    Unquotable(String),
}

/// Variables that change the program and that a person's shell may hold: the command line removes them before it adds
/// [`Compile::environment`], so that only what is declared counts.
pub const AMBIENT: [&str; 4] = ["GOFLAGS", "GOEXPERIMENT", "GOFIPS140", "GODEBUG"];

impl Compile {
    /// The argument vector, `go` first. `out_dir` is an existing folder, in the spelling of the compiler's system: Go itself names the program
    /// there.
    pub fn argv(&self, out_dir: &str) -> Vec<String> {
        let mut argv: Vec<String> = ["go", "build", "-trimpath", "-buildvcs=false"].map(String::from).to_vec();
        argv.extend(self.tags_argument());
        argv.extend(["-ldflags".into(), self.link_flags()]);
        let separator = if out_dir.ends_with(['/', '\\']) { "" } else { "/" };
        argv.extend(["-o".into(), format!("{out_dir}{separator}"), self.package.clone()]);
        argv
    }

    /// The argument vector that has what most programs link of the standard library in the cache, `go` first: the same for all programs
    /// with the same variables and tags.
    pub fn standard_library_argv(&self) -> Vec<String> {
        let mut argv: Vec<String> = ["go", "build", "-trimpath"].map(String::from).to_vec();
        argv.extend(self.tags_argument());
        argv.extend(["encoding/json", "log/slog", "net/http"].map(String::from));
        argv
    }

    /// The argument vector that tests packages, `go` first. A package that takes longer than `limit` ends with the names of its tests.
    pub fn test_argv(&self, packages: &[String], limit: Duration) -> Vec<String> {
        // Of the output only the end is kept: after the first package that failed, nothing more is to be said.
        let mut argv: Vec<String> = ["go", "test", "-failfast"].map(String::from).to_vec();
        argv.push(format!("-timeout={}s", limit.as_secs().max(1)));
        argv.extend(self.tags_argument());
        argv.extend(packages.iter().cloned());
        argv
    }

    /// The argument vector that has the modules of a program in the cache, `go` first. It compiles and runs nothing of the source, and says
    /// nothing.
    pub fn modules_argv(&self, package: &str) -> Vec<String> {
        self.list_argv(&[], &[package.to_owned()])
    }

    /// The same for tests.
    pub fn modules_of_tests_argv(&self, packages: &[String]) -> Vec<String> {
        self.list_argv(&["-test"], packages)
    }

    fn list_argv(&self, more: &[&str], packages: &[String]) -> Vec<String> {
        let mut argv: Vec<String> =
            ["go", "list", "-deps"].iter().chain(more).chain(&["-f", "{{\"\"}}"]).map(ToString::to_string).collect();
        argv.extend(self.tags_argument());
        argv.extend(packages.iter().cloned());
        argv
    }

    fn tags_argument(&self) -> Vec<String> {
        let timezones = self.timezone_data.then_some("timetzdata");
        let tags: Vec<&str> = timezones.into_iter().chain(self.tags.iter().map(String::as_str)).collect();
        if tags.is_empty() { Vec::new() } else { vec!["-tags".into(), tags.join(",")] }
    }

    /// The variables to add to the compiler's environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment_for("windows", self.cgo)
    }

    /// The variables to add to the environment of tests: they run where they are compiled.
    pub fn test_environment(&self, system: NodeSystem) -> Vec<(String, String)> {
        match system {
            // What is there of C is for Windows.
            NodeSystem::Linux => self.environment_for("linux", false),
            NodeSystem::Windows => self.environment_for("windows", self.cgo),
        }
    }

    fn environment_for(&self, system: &str, cgo: bool) -> Vec<(String, String)> {
        // GOFLAGS says nothing new, but being set it hides what `go env -w` may have stored.
        let fixed = [
            ("CGO_ENABLED", if cgo { "1" } else { "0" }),
            ("GOOS", system),
            ("GOARCH", "amd64"),
            ("GOAMD64", "v1"),
            ("GOTOOLCHAIN", "local"),
            ("GOFLAGS", "-buildvcs=false"),
        ];
        let overridden = |name: &str| self.env.iter().any(|(theirs, _)| theirs == name);
        let mut environment: Vec<(String, String)> =
            fixed.iter().filter(|(name, _)| !overridden(name)).map(|(name, value)| (name.to_string(), value.to_string())).collect();
        environment.extend(self.env.iter().cloned());
        environment
    }

    /// Refuses linker flags that Go would misread.
    ///
    /// # Errors
    /// The first flag that is not `-X name=value`, or that cannot be quoted.
    pub fn check(&self) -> Result<(), InvalidLinkFlag> {
        for flag in &self.ldflags {
            let variable = flag.strip_prefix("-X ").map(str::trim_start).unwrap_or_default();
            let name_ends = variable.find('=').unwrap_or(0);
            if name_ends == 0 || variable[..name_ends].contains(char::is_whitespace) {
                return Err(InvalidLinkFlag::NotAVariable(flag.clone()));
            }
            if variable.contains(char::is_control) || (variable.contains('\'') && variable.contains('"')) {
                return Err(InvalidLinkFlag::Unquotable(flag.clone()));
            }
        }
        Ok(())
    }

    fn link_flags(&self) -> String {
        let mut flags: Vec<String> = Vec::new();
        if self.strip {
            flags.extend(["-s".into(), "-w".into()]);
        }
        flags.push("-buildid=".into());
        for flag in &self.ldflags {
            let variable = flag.strip_prefix("-X").unwrap_or(flag).trim_start();
            flags.extend(["-X".into(), quoted(variable)]);
        }
        flags.join(" ")
    }
}

/// One element of a list that Go splits again: a quote only opens one at its start, and there are no escapes inside
/// (`cmd/internal/quoted`).
fn quoted(element: &str) -> String {
    let bare = !element.is_empty() && !element.contains(char::is_whitespace) && !element.starts_with(['\'', '"']);
    match (bare, element.contains('\'')) {
        (true, _) => element.to_string(),
        (false, false) => format!("'{element}'"),
        (false, true) => format!("\"{element}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile() -> Compile {
        Compile { package: ".".into(), tags: vec![], ldflags: vec![], env: vec![], strip: true, timezone_data: true, cgo: false }
    }

    /// `quoted.Split` of Go, to prove what it makes of our quoting.
    fn split_like_go(line: &str) -> Vec<String> {
        let mut rest = line.trim_start();
        let mut fields = Vec::new();
        while let Some(first) = rest.chars().next() {
            let (field, after) = match first {
                '\'' | '"' => rest[1..].split_once(first).expect("a closing quote"),
                _ => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
            };
            fields.push(field.to_string());
            rest = after.trim_start();
        }
        fields
    }

    #[test]
    fn the_default_flags_are_the_documented_ones() {
        let argv = compile().argv("/build/out");
        let expected =
            ["go", "build", "-trimpath", "-buildvcs=false", "-tags", "timetzdata", "-ldflags", "-s -w -buildid=", "-o", "/build/out/", "."];
        assert_eq!(argv, expected);
    }

    /// With `-mod=mod` the go command would write into `go.sum` what it is to be held against.
    #[test]
    fn what_go_sum_does_not_lock_is_not_built() {
        let words = compile().argv("/build/out");
        assert!(!words.iter().any(|word| word.contains("-mod")), "Go's default is readonly, or vendor: {words:?}");
        let environment = compile().environment();
        let of = |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!((of("GOFLAGS"), of("GOINSECURE")), (Some("-buildvcs=false"), None));
    }

    #[test]
    fn opt_outs_leave_only_what_reproducibility_needs() {
        let argv = Compile { strip: false, timezone_data: false, ..compile() }.argv("out/");
        assert_eq!(argv, ["go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-buildid=", "-o", "out/", "."]);
    }

    #[test]
    fn tests_get_the_tags_of_the_program_and_run_where_they_are() {
        let compile = Compile { tags: vec!["extra".into()], ..compile() };
        let argv = compile.test_argv(&["./...".into(), "./cmd/shop".into()], Duration::from_secs(90));
        assert_eq!(argv, ["go", "test", "-failfast", "-timeout=90s", "-tags", "timetzdata,extra", "./...", "./cmd/shop"]);
        let differing =
            compile.environment().into_iter().filter(|variable| !compile.test_environment(NodeSystem::Linux).contains(variable));
        assert_eq!(differing.collect::<Vec<_>>(), [("GOOS".to_owned(), "windows".to_owned())]);
    }

    #[test]
    fn c_code_is_compiled_where_it_is_asked_for_and_on_windows_alone() {
        let with = Compile { cgo: true, ..compile() };
        let is = |environment: Vec<(String, String)>, value: &str| environment.contains(&("CGO_ENABLED".into(), value.into()));
        assert!(is(with.environment(), "1") && is(with.test_environment(NodeSystem::Windows), "1"));
        assert!(is(with.test_environment(NodeSystem::Linux), "0") && is(compile().test_environment(NodeSystem::Windows), "0"));
        let text = |compile: &Compile| serde_json::to_string(compile).expect("JSON");
        assert!(text(&with).contains("cgo") && !text(&compile()).contains("cgo"), "older fingerprints stay");
    }

    #[test]
    fn values_survive_gos_own_splitting() {
        let values = ["plain", "two words", "it's", "it's two", "say \"hi\" twice", "\"quoted\"", "tab\there", "a=b=c", ""];
        for value in values {
            let variable = format!("main.text={value}");
            let flags = Compile { ldflags: vec![format!("-X {variable}")], ..compile() }.link_flags();
            assert_eq!(split_like_go(&flags), ["-s", "-w", "-buildid=", "-X", &variable], "{flags}");
        }
    }

    #[test]
    fn what_cannot_be_quoted_or_is_no_variable_is_refused() {
        let check = |flag: &str| Compile { ldflags: vec![flag.into()], ..compile() }.check();
        assert_eq!(check("-X main.version=two words"), Ok(()));
        assert!(matches!(check("-X main.v='\""), Err(InvalidLinkFlag::Unquotable(_))));
        assert!(matches!(check("-X main.v=a\nb"), Err(InvalidLinkFlag::Unquotable(_))));
        for flag in ["-H windowsgui", "-X main.v", "-X =v", "-X a b=c", "-extldflags=-X a=b"] {
            assert!(matches!(check(flag), Err(InvalidLinkFlag::NotAVariable(_))), "{flag}");
        }
    }

    #[test]
    fn a_declared_variable_replaces_the_fixed_one() {
        let environment = Compile { env: vec![("GOAMD64".into(), "v3".into())], ..compile() }.environment();
        let levels: Vec<_> = environment.iter().filter(|(name, _)| name == "GOAMD64").collect();
        assert_eq!(levels, [&("GOAMD64".to_string(), "v3".to_string())]);
        assert!(environment.contains(&("CGO_ENABLED".into(), "0".into())));
    }
}
