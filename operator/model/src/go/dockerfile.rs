//! Which Dockerfile compiles the program in a container builder?
//!
//! ```text
//! FROM <toolchain by digest> AS standard
//!   of BuildKit alone: what most programs link of the standard library, compiled once for all objects with these variables and tags
//! FROM <toolchain by digest> AS compile
//!   modules/   every go.mod, go.sum, go.work of the repository, and the download: cached until one of them changes. It alone has
//!              credentials, where there are some: what compiles asks nobody then
//!   src/       the source, and exactly the `go build` of every other engine ([`Compile`])
//! FROM scratch
//!   the program, alone
//! ```
//!
//! Where buildkitd is on Windows the toolchain is a Windows image, folders have drives, and there is no stage `standard`; all else is the same.
//! Kaniko runs commands in the root of its own container, which is one of the toolchain already: there the stage begins `FROM scratch`, and
//! nothing is pulled or unpacked.
//!
//! The Windows image is not made here: what a builder makes of a Windows base is never the same twice, or broken. No value can leave its
//! place: commands and copies are in their JSON form, variables are quoted, everything else consists of harmless characters, and a
//! control character is refused. There is no `# syntax=` line, hence no frontend from elsewhere.

use super::compile::Compile;
use super::credentials::{self, Credentials};
use gowindows_crds::v1alpha1::NodeSystem;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use thiserror::Error;

/// Where the build context has the files that name modules.
pub const MODULES: &str = "modules";
/// Where it has the whole source.
pub const SOURCE: &str = "src";
/// Parsers of Dockerfiles read lines of at most 64 KiB (Go's `bufio.Scanner`).
const LONGEST_LINE: usize = 60_000;
/// Where BuildKit's stages have compiled packages.
const COMPILED: &str = "/cache/build";
/// Where Kaniko's commands find modules that another container has downloaded, in the same volume as with engine Go.
const DOWNLOADED: &str = "/cache/mod";
/// Where the source is in the compile stage.
const WORK: &str = "/build/src";
/// Where the program is in the compile stage.
const OUT: &str = "/build/out";
/// Scratch space there.
const TMP: &str = "/tmp";
/// Where programs are in images of Go: in the official ones, then where every other program is. What an image says itself of its `PATH` a
/// stage that begins `FROM scratch` does not know.
const PATH: &str = "/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is generated from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Generated {
    /// The system that the builder runs commands on.
    #[serde(default, skip_serializing_if = "is_linux")]
    pub system: NodeSystem,
    /// The toolchain image, pinned by digest.
    pub toolchain: String,
    /// How the program is compiled.
    pub compile: Compile,
    /// The module's folder.
    pub sub_path: String,
    /// Where modules come from: `GOPROXY` and its relatives.
    pub module_sources: Vec<(String, String)>,
    /// That BuildKit has credentials, for the command that downloads modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// That modules are in the cache that Kaniko's container mounts: what downloads them there has credentials that its commands must not see.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub downloaded: bool,
    /// What reads it.
    pub builder: Builder,
}

/// What reads a Dockerfile, and where it has the caches of compiler and modules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Builder {
    /// In a container of the toolchain. Caches are in `/cache/by-root`, which it mounts: the go command of other builds, which is not root, could
    /// not write what root left there. Where layers are kept at a registry they are of whom this names alone, and hold the modules.
    Kaniko(Option<String>),
    /// Compiled packages are in a cache mount with this id, which begins as the layer with the standard library; modules in a
    /// layer, which BuildKit keeps as long as no file changes that names modules.
    BuildKit(String),
}

fn is_linux(system: &NodeSystem) -> bool {
    *system == NodeSystem::Linux
}

/// Why there is no Dockerfile.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidDockerfile {
    /// It could end its line.
    #[error("{what} {value:?} holds a character that a Dockerfile cannot hold there")]
    Character {
        /// Whose value.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// Parsers would not read it.
    #[error(
        "the go command of this build has {length} bytes, and a Dockerfile takes lines of {LONGEST_LINE} at most; set fewer go.ldflags"
    )]
    Line {
        /// Bytes.
        length: usize,
    },
}

impl Generated {
    /// The Dockerfile. `vendored`: the source holds its modules, nothing is to be downloaded.
    ///
    /// # Errors
    /// A value that has no place in a Dockerfile.
    pub fn text(&self, vendored: bool) -> Result<String, InvalidDockerfile> {
        let Self { system: _, toolchain: _, compile, sub_path, module_sources, credentials, downloaded, builder } = self;
        let folder = if sub_path == "." { WORK.to_owned() } else { format!("{WORK}/{sub_path}") };
        let (mount, compiled, modules) = match builder {
            Builder::Kaniko(_) if *downloaded => (String::new(), "/cache/by-root/build", DOWNLOADED),
            Builder::Kaniko(None) => (String::new(), "/cache/by-root/build", "/cache/by-root/mod"),
            Builder::Kaniko(Some(_)) => (String::new(), "/cache/by-root/build", "/build/mod"),
            Builder::BuildKit(id) => {
                let id = plain("cache", id)?;
                // Of a cache that begins as a layer nothing is known on Windows.
                let begins = if is_linux(&self.system) { format!(",from=standard,source={COMPILED}") } else { String::new() };
                (format!("--mount=type=cache,id={id},target={COMPILED}{begins} "), COMPILED, "/build/mod")
            }
        };
        let secrets = credentials.map(Credentials::run_mounts).unwrap_or_default();
        let sources = if *downloaded { credentials::downloaded() } else { module_sources.clone() };
        let fixed = [("GOPATH", "/build/go"), ("GOCACHE", compiled), ("GOMODCACHE", modules)];
        let fixed = fixed.into_iter().map(|(name, value)| (name.to_owned(), self.named(value)));
        let mut text = String::from("# Generated by gowindows: it compiles one program; the image is assembled elsewhere.\n");
        let mut line = |content: String| {
            let _ = writeln!(text, "{content}");
        };
        self.beginning()?.into_iter().for_each(&mut line);
        for pair in self.home().into_iter().chain(fixed).chain(sources).chain(compile.environment()) {
            line(variable(pair)?);
        }
        if !is_linux(&self.system) {
            line(format!("WORKDIR {TMP}"));
        }
        line(format!("WORKDIR {OUT}"));
        line(format!("WORKDIR {}", plain("source.subPath", &folder)?));
        if !vendored && !downloaded {
            line(format!("COPY {}", list(&[format!("{MODULES}/"), format!("{WORK}/")])?));
            line(format!("RUN {secrets}{}", list(&["go", "mod", "download"].map(String::from))?));
        }
        if credentials.is_some() {
            let alone = credentials::environment(None).into_iter().chain(credentials::downloaded());
            alone.map(variable).collect::<Result<Vec<_>, _>>()?.into_iter().for_each(&mut line);
        }
        line(format!("COPY {}", list(&[format!("{SOURCE}/"), format!("{WORK}/")])?));
        line(format!("RUN {mount}{}", list(&compile.argv(&self.named(OUT)))?));
        line("FROM scratch".into());
        line(format!("COPY --from=compile {}", list(&[format!("{OUT}/"), "/".to_owned()])?));
        match text.lines().map(str::len).max() {
            Some(length) if length > LONGEST_LINE => Err(InvalidDockerfile::Line { length }),
            _ => Ok(text),
        }
    }

    /// What stands before the compile stage, and how that begins.
    fn beginning(&self) -> Result<Vec<String>, InvalidDockerfile> {
        let toolchain = plain("toolchain", &self.toolchain)?;
        if let Builder::Kaniko(owner) = &self.builder {
            let comment = format!("# Read in a container of {toolchain}, whose root is where commands run.");
            let mut lines = vec![comment, "FROM scratch AS compile".into()];
            if let Some(owner) = owner {
                // Kaniko finds a layer by the words above it: what it does not begin with, and whose it is, has to be among them.
                lines.push(format!("LABEL dev.gowindows.toolchain={toolchain} dev.gowindows.owner={}", plain("cache", owner)?));
            }
            lines.push(variable(("PATH".into(), PATH.into()))?);
            return Ok(lines);
        }
        let (from, user) = (format!("FROM {}{toolchain}", self.platform()), format!("USER {}", self.user()));
        let mut lines = Vec::new();
        if is_linux(&self.system) {
            // Nothing of one object alone may stand here, or it is compiled for each.
            lines.extend([format!("{from} AS standard"), user.clone()]);
            for pair in [("GOCACHE".into(), COMPILED.into())].into_iter().chain(self.compile.environment()) {
                lines.push(variable(pair)?);
            }
            lines.push(format!("RUN {}", list(&self.compile.standard_library_argv())?));
        }
        lines.extend([format!("{from} AS compile"), user]);
        Ok(lines)
    }

    /// A folder of the compile stage, as commands there spell it. A Dockerfile itself takes them without a drive on both systems.
    fn named(&self, folder: &str) -> String {
        match self.system {
            NodeSystem::Linux => folder.to_owned(),
            NodeSystem::Windows => format!("C:{folder}").replace('/', r"\"),
        }
    }

    /// Of Windows images the one is taken that is for buildkitd's own version, which no name of a platform says in full.
    fn platform(&self) -> &'static str {
        if is_linux(&self.system) { "--platform=linux/amd64 " } else { "" }
    }

    /// Who may write below the root.
    fn user(&self) -> &'static str {
        if is_linux(&self.system) { "0" } else { "ContainerAdministrator" }
    }

    /// Variables with the compiler's home and its scratch space.
    fn home(&self) -> Vec<(String, String)> {
        let tmp = |name: &str| (name.to_owned(), self.named(TMP));
        match self.system {
            NodeSystem::Linux => credentials::environment(self.credentials).into_iter().chain([tmp("TMPDIR")]).collect(),
            NodeSystem::Windows => ["TMP", "TEMP", "USERPROFILE"].map(tmp).into(),
        }
    }
}

/// A word outside of quotes: nothing in it means anything to a Dockerfile.
fn plain<'a>(what: &'static str, value: &'a str) -> Result<&'a str, InvalidDockerfile> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._-/:@+".contains(c);
    let fits = !value.is_empty() && !value.starts_with('-') && value.chars().all(harmless);
    if fits { Ok(value) } else { Err(InvalidDockerfile::Character { what, value: value.to_owned() }) }
}

fn variable((name, value): (String, String)) -> Result<String, InvalidDockerfile> {
    Ok(format!("ENV {}={}", plain("variable", &name)?, quoted(&value)?))
}

/// A value in double quotes, in which only `\`, `"` and `$` mean something.
fn quoted(value: &str) -> Result<String, InvalidDockerfile> {
    if value.chars().any(char::is_control) {
        return Err(InvalidDockerfile::Character { what: "variable", value: value.to_owned() });
    }
    let escaped = value.chars().flat_map(|c| if r#"\"$"#.contains(c) { vec!['\\', c] } else { vec![c] });
    Ok(format!("\"{}\"", escaped.collect::<String>()))
}

/// The JSON form of a command or a copy: nothing in it is expanded, nothing goes through a shell.
fn list(words: &[String]) -> Result<String, InvalidDockerfile> {
    match words.iter().find(|word| word.chars().any(char::is_control)) {
        Some(word) => Err(InvalidDockerfile::Character { what: "the go command's argument", value: word.clone() }),
        None => Ok(serde_json::Value::from(words).to_string()),
    }
}

#[cfg(test)]
#[path = "dockerfile/tests.rs"]
mod tests;
