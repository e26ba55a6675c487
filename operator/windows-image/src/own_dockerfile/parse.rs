//! What does a Dockerfile consist of? Lines, continuations, comments, flags and here-documents are read as BuildKit's own parser reads them
//! (`frontend/dockerfile/parser`, 0.32).

use regex::Regex;
use std::sync::LazyLock;

/// Every instruction there is.
const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];
/// A comment at the top that is meant for the parser.
static DIRECTIVE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^#\s*((?i:syntax|check|escape))\s*=\s*(.+?)\s*$").ok());
/// A word that begins a here-document.
static HERE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[0-9]*<<(-?)\s*([^<]+)$").ok());

/// What is wrong on which line, from 1.
pub(super) type Unreadable = (usize, String);

#[derive(Debug, Default)]
pub(super) struct Dockerfile {
    /// What the `escape` directive says; none where there is none.
    pub escape: Option<char>,
    /// Instructions before the first stage.
    pub global: Vec<Instruction>,
    pub stages: Vec<Stage>,
}

#[derive(Debug)]
pub(super) struct Stage {
    pub from: From,
    pub instructions: Vec<Instruction>,
}

/// The beginning of a stage.
#[derive(Debug)]
pub(super) struct From {
    /// First and last line.
    pub lines: (usize, usize),
    pub platform: Option<String>,
    pub image: String,
    pub name: Option<String>,
}

#[derive(Debug)]
pub(super) struct Instruction {
    /// First and last line, here-documents not counted.
    pub lines: (usize, usize),
    /// In upper case.
    pub keyword: String,
    pub flags: Vec<Flag>,
    /// What follows the flags, on one line.
    pub rest: String,
}

#[derive(Debug)]
pub(super) struct Flag {
    pub name: String,
    pub value: String,
}

impl Instruction {
    /// The elements of its JSON form; none where it has another form.
    pub fn json(&self) -> Option<Vec<String>> {
        serde_json::from_str(&self.rest).ok()
    }

    /// Its words, in whichever form.
    pub fn words(&self) -> Vec<String> {
        self.json().unwrap_or_else(|| self.rest.split_whitespace().map(str::to_owned).collect())
    }
}

impl Dockerfile {
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let escape = escape(text);
        let mut file = Self { escape, ..Self::default() };
        let mut lines = Lines { all: text.lines().collect(), at: 0, escape: escape.unwrap_or('\\') };
        while let Some(instruction) = lines.instruction()? {
            let line = instruction.lines.0;
            match (instruction.keyword.as_str(), file.stages.last_mut()) {
                ("FROM", _) => file.stages.push(Stage { from: From::read(instruction)?, instructions: Vec::new() }),
                (_, Some(stage)) => stage.instructions.push(instruction),
                ("ARG", None) => file.global.push(instruction),
                (keyword, None) => return Err((line, format!("{keyword} stands before the first FROM"))),
            }
        }
        if file.stages.is_empty() { Err((lines.at.max(1), "it has no FROM".into())) } else { Ok(file) }
    }

    /// The line of the first instruction.
    pub fn first_line(&self) -> usize {
        let first = self.global.first().map(|instruction| instruction.lines.0);
        first.or(self.stages.first().map(|stage| stage.from.lines.0)).unwrap_or(1)
    }
}

impl From {
    fn read(instruction: Instruction) -> Result<Self, Unreadable> {
        let Instruction { lines, flags, rest, keyword: _ } = instruction;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let (image, name) = match words.as_slice() {
            [image] => (*image, None),
            [image, r#as, name] if r#as.eq_ignore_ascii_case("as") => (*image, Some((*name).to_owned())),
            _ => return Err((lines.0, "FROM takes the name of an image, and AS with the name of the stage".into())),
        };
        let platform = flags.into_iter().find(|flag| flag.name == "platform").map(|flag| flag.value);
        Ok(Self { lines, platform, image: image.to_owned(), name })
    }
}

/// Directives stand at the very top; the first line that is none ends them.
fn escape(text: &str) -> Option<char> {
    let form = DIRECTIVE.as_ref()?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_start);
    let directives = lines.map_while(|line| form.captures(line));
    let mut escapes = directives.filter(|found| found[1].eq_ignore_ascii_case("escape"));
    escapes.next().and_then(|found| found[2].chars().next()).filter(|mark| ['`', '\\'].contains(mark))
}

struct Lines<'a> {
    all: Vec<&'a str>,
    /// The next one, from 0.
    at: usize,
    escape: char,
}

impl Lines<'_> {
    fn instruction(&mut self) -> Result<Option<Instruction>, Unreadable> {
        let mut text = String::new();
        while let Some(line) = self.all.get(self.at) {
            let line = if self.at == 0 { line.trim_start_matches('\u{feff}') } else { line }.trim_start();
            let start = self.at + 1;
            self.at += 1;
            let (mut part, mut goes_on) = if line.starts_with('#') { (String::new(), false) } else { self.continued(line) };
            if !goes_on && part.trim().is_empty() {
                continue;
            }
            text.push_str(&part);
            while goes_on && self.at < self.all.len() {
                let line = self.all[self.at];
                self.at += 1;
                // Comments and blank lines do not end an instruction.
                if line.trim_start().starts_with('#') || line.trim().is_empty() {
                    continue;
                }
                (part, goes_on) = self.continued(line);
                text.push_str(&part);
            }
            let instruction = self.read(&text, (start, self.at))?;
            if ["ADD", "COPY", "ONBUILD", "RUN"].contains(&instruction.keyword.as_str()) {
                self.skip_here_documents(&text, start)?;
            }
            return Ok(Some(instruction));
        }
        Ok(None)
    }

    /// A line without the mark at its end, and whether there was one. A mark before it takes its meaning away.
    fn continued(&self, line: &str) -> (String, bool) {
        let trimmed = line.trim_end_matches([' ', '\t', '\r']);
        match trimmed.strip_suffix(self.escape) {
            Some(rest) if !rest.ends_with(self.escape) => (rest.to_owned(), true),
            _ => (line.to_owned(), false),
        }
    }

    fn read(&self, text: &str, lines: (usize, usize)) -> Result<Instruction, Unreadable> {
        let text = text.trim();
        let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let keyword = keyword.to_ascii_uppercase();
        if !KEYWORDS.contains(&keyword.as_str()) {
            return Err((lines.0, format!("{keyword:?} is no instruction")));
        }
        let (flags, rest) = self.flags(rest);
        Ok(Instruction { lines, keyword, flags, rest: rest.trim().to_owned() })
    }

    /// The words at the start that begin with two dashes, and what follows them.
    fn flags(&self, text: &str) -> (Vec<Flag>, String) {
        let mut flags = Vec::new();
        let mut rest = text.trim_start();
        while rest.starts_with("--") {
            let (word, after) = self.flag(rest);
            rest = after.trim_start();
            match word.strip_prefix("--") {
                Some("") | None => break,
                Some(flag) => {
                    let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
                    flags.push(Flag { name: name.to_owned(), value: value.to_owned() });
                }
            }
        }
        (flags, rest.to_owned())
    }

    /// A word with its quotes and marks taken away, and what follows it.
    fn flag<'t>(&self, text: &'t str) -> (String, &'t str) {
        let (mut word, mut quote) = (String::new(), None);
        let mut letters = text.char_indices();
        while let Some((at, letter)) = letters.next() {
            match (quote, letter) {
                (None, letter) if letter.is_whitespace() => return (word, &text[at..]),
                (None, '\'' | '"') => quote = Some(letter),
                (Some(mark), letter) if mark == letter => quote = None,
                (_, letter) if letter == self.escape => word.extend(letters.next().map(|(_, letter)| letter)),
                (_, letter) => word.push(letter),
            }
        }
        (word, "")
    }

    fn skip_here_documents(&mut self, text: &str, start: usize) -> Result<(), Unreadable> {
        for (name, chomp) in here_documents(text) {
            loop {
                let Some(line) = self.all.get(self.at) else {
                    return Err((start, format!("the here-document {name:?} has no end")));
                };
                self.at += 1;
                let line = if chomp { line.trim_start_matches('\t') } else { line };
                if line.trim_end_matches('\r') == name {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The names of the here-documents that an instruction begins, and whether tabs before their lines do not count.
fn here_documents(text: &str) -> Vec<(String, bool)> {
    let Some(form) = HERE.as_ref().filter(|_| text.contains("<<")) else { return Vec::new() };
    let words = shell_words(text).unwrap_or_default();
    let found = words.iter().filter_map(|word| form.captures(word));
    let name = |raw: &str| raw.chars().filter(|c| !['"', '\'', '\\'].contains(c)).collect::<String>();
    found.map(|found| (name(&found[2]), &found[1] == "-")).filter(|(name, _)| !name.is_empty()).collect()
}

/// Words as a shell has them, quotes kept; none where a quote is not closed, for then BuildKit finds none either.
fn shell_words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, letter) if letter.is_whitespace() => {
                words.push(std::mem::take(&mut word));
                continue;
            }
            (None | Some('"'), '\\') => {
                word.push(letter);
                word.extend(letters.next());
                continue;
            }
            (None, '\'' | '"') => quote = Some(letter),
            (Some(mark), letter) if mark == letter => quote = None,
            _ => {}
        }
        word.push(letter);
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    quote.is_none().then_some(words)
}
