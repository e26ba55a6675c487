//! What can be in no stage of a Dockerfile, whatever it is built for?

use super::Linter;
use super::images::{Kind, is_plain};
use super::parse::{Dockerfile, Flag, From, Instruction, Stage};
use crate::System;
use regex::Regex;
use std::sync::LazyLock;

/// The platform on which a buildkitd on Linux runs commands.
const LINUX: &str = "linux/amd64";
/// That of one on Windows. On Linux a stage of it can hold files, and run nothing.
const WINDOWS: &str = "windows/amd64";
/// Names of variables that say that their value is a secret, as BuildKit's own check has them.
static SECRET: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("(?i)(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)").ok());
static PUBLIC: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("(?i)(?:_|^)public(?:_|$)").ok());

impl Linter<'_> {
    pub(super) fn every_stage(&mut self, file: &Dockerfile) {
        for instruction in file.global.iter().chain(file.stages.iter().flat_map(|stage| &stage.instructions)) {
            match instruction.keyword.as_str() {
                "ARG" => self.variables(instruction, pairs(&words(&instruction.rest))),
                "ENV" => self.variables(instruction, environment(&instruction.rest)),
                "ONBUILD" => {
                    let why = "it would be carried out in builds of others, where nobody has looked at it; write its instruction where it is meant";
                    self.add(instruction.lines.0, "ONBUILD", why);
                }
                _ => {}
            }
        }
        for (index, stage) in file.stages.iter().enumerate() {
            let (is_last, before) = (index + 1 == file.stages.len(), &file.stages[..index]);
            if !is_last {
                self.earlier_from(&stage.from, before);
            }
            let elsewhere = self.images.system == System::Linux && stage.from.platform.as_deref() == Some(WINDOWS);
            let runs_nothing = !is_last && elsewhere;
            for instruction in &stage.instructions {
                match instruction.keyword.as_str() {
                    "COPY" => self.copies_from(instruction, before),
                    "ADD" if !is_last => self.adds(instruction),
                    "RUN" if runs_nothing => {
                        let why = "its stage is of Windows (--platform=windows/amd64), in which nothing can run on a Linux machine; it can only be copied from";
                        self.add(instruction.lines.0, "RUN", why);
                    }
                    "RUN" => self.run(instruction, before),
                    _ => {}
                }
            }
        }
    }

    /// The image of a stage before the last.
    fn earlier_from(&mut self, from: &From, before: &[Stage]) {
        let (line, image) = (from.lines.0, from.image.as_str());
        let what = format!("FROM {image}");
        if image == "scratch" || names_a_stage(image, before) {
            return;
        }
        if !is_plain(image) {
            self.add(line, what, "what this becomes can be changed elsewhere; write the image out");
            return;
        }
        if self.images.kind(image) == Kind::Loose {
            self.add(line, what.clone(), loose(&self.images.toolchain));
        }
        match (self.images.system, from.platform.as_deref()) {
            (_, Some(WINDOWS | "$BUILDPLATFORM" | "${BUILDPLATFORM}")) => {}
            (System::Linux, Some(LINUX)) | (System::Windows, None) => {}
            (System::Linux, Some(platform)) => {
                let why = "use --platform=linux/amd64 (or $BUILDPLATFORM), on which the build runs";
                self.add(line, format!("FROM --platform={platform}"), why);
            }
            (System::Windows, Some(platform)) => {
                let why = "the buildkitd of a Windows node runs nothing of another system; leave it out, or build by one on Linux (build.buildkit.address)";
                self.add(line, format!("FROM --platform={platform}"), why);
            }
            (System::Linux, None) => {
                let why = "without a platform it is the image for Windows, in which nothing can run on a Linux machine; add --platform=linux/amd64";
                self.add(line, what, why);
            }
        }
    }

    fn run(&mut self, instruction: &Instruction, before: &[Stage]) {
        let line = instruction.lines.0;
        for Flag { name, value } in &instruction.flags {
            let what = format!("RUN --{name}={value}");
            match name.as_str() {
                "security" if value != "sandbox" => self.add(line, what, "it would run as root of the build machine; leave it out"),
                "network" if value == "host" => {
                    self.add(line, what, "it would be in the network of the build machine, with all that listens there; leave it out");
                }
                "device" => self.add(line, what, "devices of the build machine are none of a build's; leave it out"),
                "mount" => self.mount(line, value, before),
                _ => {}
            }
        }
    }

    fn mount(&mut self, line: usize, value: &str, before: &[Stage]) {
        let part = |name: &str| value.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        if part("type") == Some("ssh") {
            self.add(line, "RUN --mount=type=ssh", "no SSH agent is handed on; use https and go.modules.secretRef (type=secret,id=netrc)");
        }
        if let Some(from) = part("from") {
            self.elsewhere(line, &format!("RUN --mount=from={from}"), from, before);
        }
    }

    fn copies_from(&mut self, instruction: &Instruction, before: &[Stage]) {
        for Flag { value, .. } in instruction.flags.iter().filter(|flag| flag.name == "from") {
            self.elsewhere(instruction.lines.0, &format!("COPY --from={value}"), value, before);
        }
    }

    fn adds(&mut self, instruction: &Instruction) {
        let fixed = instruction.flags.iter().any(|flag| flag.name == "checksum");
        if let Some(url) = remote(instruction).filter(|_| !fixed) {
            let why = "nothing says what is behind it tomorrow; add --checksum=sha256:..., or put the file into the repository";
            self.add(instruction.lines.0, format!("ADD {}", without_userinfo(&url)), why);
        }
    }

    /// Files are taken from an earlier stage, or from an image that is pinned.
    fn elsewhere(&mut self, line: usize, what: &str, from: &str, before: &[Stage]) {
        let numbered = from.parse::<usize>().is_ok_and(|number| number < before.len());
        let pinned = is_plain(from) && from.contains("@sha256:");
        if !numbered && !names_a_stage(from, before) && !pinned {
            self.add(
                line,
                what,
                "it is no earlier stage, and as an image nothing says what it is tomorrow; pin it by digest (@sha256:...)",
            );
        }
    }

    fn variables(&mut self, instruction: &Instruction, variables: Vec<(String, String)>) {
        for (name, _) in variables {
            let fits = |form: &Option<Regex>| form.as_ref().is_some_and(|form| form.is_match(&name));
            if fits(&SECRET) && !fits(&PUBLIC) {
                let why =
                    "what it holds stays in the image's history or in the builder's cache; do without it, or rename it if it is no secret";
                self.add(instruction.lines.0, format!("{} {name}", instruction.keyword), why);
            }
        }
    }
}

fn loose(toolchain: &str) -> String {
    let name = toolchain.split('@').next().unwrap_or_default();
    format!(
        "nothing says what it is tomorrow; pin it by digest (@sha256:...), or name the toolchain of the object, which is pinned: {name}"
    )
}

pub(super) fn names_a_stage(name: &str, before: &[Stage]) -> bool {
    before.iter().filter_map(|stage| stage.from.name.as_ref()).any(|known| known.eq_ignore_ascii_case(name))
}

/// What of an `ADD` is fetched from elsewhere, or may be.
pub(super) fn remote(add: &Instruction) -> Option<String> {
    let mut sources = add.words();
    sources.pop();
    sources.into_iter().find(|source| {
        let source = source.to_ascii_lowercase();
        source.contains("://") || source.starts_with("git@") || source.starts_with("github.com/") || source.contains('$')
    })
}

/// A URL may hold a password.
pub(super) fn without_userinfo(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}***{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}

/// Names and values of an `ENV`, also of the old form `ENV name value`.
pub(super) fn environment(arguments: &str) -> Vec<(String, String)> {
    let words = words(arguments);
    match words.split_first() {
        Some((name, rest)) if !name.contains('=') => vec![(name.clone(), rest.join(" "))],
        _ => pairs(&words),
    }
}

fn pairs(words: &[String]) -> Vec<(String, String)> {
    let pair = |word: &String| word.split_once('=').map_or((word.clone(), String::new()), |(name, value)| (name.into(), value.into()));
    words.iter().map(pair).collect()
}

/// Words as a Dockerfile has them: quotes hold blanks together and go.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut open) = (Vec::new(), String::new(), None, false);
    for c in text.chars() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (None, '\'' | '"') => (quote, open) = (Some(c), true),
            (None, c) if c.is_whitespace() => {
                if open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (_, c) => {
                word.push(c);
                open = true;
            }
        }
    }
    if open {
        words.push(word);
    }
    words
}
